-- Purpose: Views, macros and tables, with the first of their columns or parameters.
WITH named AS (
    SELECT 'view' AS kind, v.view_name AS name,
        string_agg(c.column_name, ', ' ORDER BY c.column_index) AS columns
    FROM duckdb_views() AS v
    JOIN duckdb_columns() AS c ON c.table_oid = v.view_oid AND c.database_oid = v.database_oid
    WHERE NOT v.internal AND v.database_name = current_database() GROUP BY ALL
    UNION ALL
    SELECT 'table', t.table_name, string_agg(c.column_name, ', ' ORDER BY c.column_index)
    FROM duckdb_tables() AS t JOIN duckdb_columns() AS c USING (database_oid, table_oid)
    WHERE NOT t.internal AND t.database_name = current_database() GROUP BY ALL
    UNION ALL
    SELECT DISTINCT 'macro', function_name, array_to_string(parameters, ', ') FROM duckdb_functions()
    WHERE NOT internal AND database_name = current_database()
)
SELECT kind, name, if(length(columns) > 70, left(columns, 68) || ' …', columns) AS columns FROM named
ORDER BY kind = 'table', kind = 'macro', name
