"""Rows and words as text: one writer a format, and the rules that make text from models inert in each."""
