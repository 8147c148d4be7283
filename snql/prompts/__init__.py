"""Prompt sets: reading files, and turning prompts into the exact token ids given to a model."""
