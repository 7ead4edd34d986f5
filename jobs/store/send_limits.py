"""The sending limits that somebody has ordered."""

from jobs.store.database import Database
from jobs.store.statements import statement

READ = statement("read_send_limits")


async def read_send_limits(db: Database) -> dict[tuple[str, str], float]:
    """Return what is ordered, by scope and subject ('' is every one): letters a second, for `quota` letters in 24 hours."""
    return {(row["scope"], row["subject"]): row["amount"] for row in await db.fetch(READ)}
