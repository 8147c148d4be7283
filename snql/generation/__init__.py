"""Writing completions and reading finished texts, with our own decode loop around the model's forward pass."""
