"""The schema `portcullis`, step by step. Each revision is one SQL file; there is no way back but forward."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from alembic import context, op

if TYPE_CHECKING:
    import psycopg

FOLDER = Path(__file__).parent


def run_file(name: str) -> None:
    """Execute one SQL file of `versions/` as it stands, with the two id types filled in where it names them.

    The driver's own connection is used: SQLAlchemy would read `:name` and `%` inside function bodies as parameters.
    """
    types = context.config.attributes
    text = (FOLDER / "versions" / name).read_text(encoding="utf-8")
    for placeholder in ("member_id_type", "organization_id_type"):
        text = text.replace("{" + placeholder + "}", str(types[placeholder]))
    connection = cast("psycopg.Connection", op.get_bind().connection.driver_connection)
    connection.execute(text.encode())
