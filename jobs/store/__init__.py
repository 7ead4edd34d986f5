"""Everything that is kept, in PostgreSQL: one SQL statement a file, one module a table."""
