"""Reports: figures, tables and a page to read, from what an analysis database holds."""
