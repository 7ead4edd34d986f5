"""Runs the SQL file beside it."""

from jobs.store.migrations import run_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Forward only: a mistake is mended by the next migration."""
    run_file("0016_factor_events.sql")
