"""Judges: what a completion costs. Higher is worse, except for reward models, which say so in their settings."""
