"""SQL by file name: one statement a file, its parameters described in its header, which a test compares with what PostgreSQL says."""

from importlib.resources import files

FOLDER = files("jobs.store") / "sql"


def statement(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
