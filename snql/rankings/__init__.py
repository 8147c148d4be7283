"""Stored rankings of neurons: evaluating expressions over them, comparing them, and how far they can be trusted."""
