"""What people are shown: read models for the console. They change nothing, and none reads a ledger or a table from end to end."""
