"""Alembic's entry point: runs the outstanding revisions on the connection it is handed, in one transaction each."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_version",
    version_table_schema="portcullis",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
