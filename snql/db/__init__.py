"""The database: opening, migrating, and what each kind of record needs to be written and read."""

from snql.db.connection import Database

__all__ = ["Database"]
