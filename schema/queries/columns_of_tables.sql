-- Purpose: The columns of all tables but one, in their order, with their types.
SELECT c.table_name, c.column_name, c.data_type
FROM duckdb_columns() AS c SEMI JOIN duckdb_tables() USING (database_oid, table_oid)
WHERE c.database_name = current_database() AND NOT c.internal AND c.table_name <> $left_out
ORDER BY c.table_name, c.column_index
