"""Runs the SQL file beside it."""

from jobs.store.migrations import run_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Forward only: a mistake is mended by the next migration."""
    run_file("0007_policy_options.sql")
