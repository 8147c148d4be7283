"""``snql demo``: the paper's main experiment on the bundled models, and its findings in sentences."""
