"""Runs the SQL file beside it."""

from jobs.store.migrations import run_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Forward only: a mistake is mended by the next migration."""
    run_file("0008_steering.sql")
