"""Ways to score neurons: those of a contrast of two models, and those of one model on sets of prompts."""
