"""How the bundled models were made; in the repository only. ``python -m snql.organism.factory`` makes them again."""
