"""Runs the SQL file beside it."""

from jobs.store.migrations import run_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Forward only: a mistake is mended by the next migration."""
    run_file("0001_tables.sql")
