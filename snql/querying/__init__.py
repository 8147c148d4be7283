"""Anybody's SQL against a database, and the formats that its rows are written in."""
