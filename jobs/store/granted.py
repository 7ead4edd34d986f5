"""How the roles stand in a database, held against what `jobs.store.roles` says they should be."""

from jobs.store.database import Connection
from jobs.store.roles import CONTRACT, FUNCTIONS, GRANTED, IN_DIRECTORY, KEEPERS, STANDING, Grant, Role, grants


async def are_there(db: Connection) -> bool:
    """Return whether Portcullis's schema has been handed to its owner."""
    standing = await db.fetchrow(STANDING)
    return bool(standing["owner"] == Role.OWNER.sql_name)


async def find_faults(db: Connection) -> list[str]:
    """Return what is not as it should be, in words: roles, rights, functions."""
    standing = await db.fetchrow(STANDING)
    wanted = {role.sql_name for role in Role}
    faults = [f"the role {name} is missing" for name in sorted(wanted - set(standing["roles"] or ()))]
    functions = [row["function"] for row in await db.fetch(FUNCTIONS)]
    should, are = set(grants(functions)), {Grant(*row) for row in await db.fetch(GRANTED)}
    faults += [f"{_words(grant)} is missing" for grant in sorted(should - are)]
    faults += [f"{_words(grant)} is too much" for grant in sorted(are - should)]
    definers, public = set(standing["definers"] or ()), set(standing["public"] or ())
    faults += [f"the function {name} does not run with its owner's rights" for name in sorted({*CONTRACT, *KEEPERS} - definers)]
    faults += [f"the function {name} runs with its owner's rights" for name in sorted(definers - {*CONTRACT, *KEEPERS})]
    faults += [f"anybody may call the function {name}" for name in sorted(public)]
    return faults


async def find_left(db: Connection) -> list[str]:
    """Return statements that whoever owns the schema `directory` still has to run."""
    return [statement for statement, question in IN_DIRECTORY.items() if not await db.fetchval(question)]


def _words(grant: Grant) -> str:
    column = f" ({grant.column})" if grant.column else ""
    return f"{grant.privilege}{column} on {grant.thing} for {grant.role}"
