"""Making aligned models: IA3 vectors on the down-projections, by fine-tuning and by preferences (SFT, DPO)."""
