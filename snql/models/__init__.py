"""Loading models with their adapters, and reading or overwriting their neurons."""
