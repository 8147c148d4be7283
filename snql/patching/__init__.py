"""Dynamic activation patching: changing only some neurons while a model writes."""
