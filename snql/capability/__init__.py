"""What patching costs: perplexity and tasks under a patch, and how near it comes to the donor's distributions."""
