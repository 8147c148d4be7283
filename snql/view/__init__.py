"""The database in a browser: pages on loopback, read-only, while jobs write."""
