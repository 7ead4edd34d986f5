"""The switch: see who would be hit, switch on, switch off. Each verb is one of the SQL functions, in a transaction of its own."""

from datetime import datetime, timedelta
from typing import Annotated, Any, cast

from cyclopts import Parameter

from jobs import client
from jobs.client import Id, PreviewRow, Verdict
from jobs.store import operations, steering
from jobs.store.ids import IdTypes, OrganizationId
from workers.cli.database import connected, read_id_types
from workers.cli.exit_codes import ExitCode
from workers.cli.options import AsJson, EffectiveAt, Exempt, GraceDays, Organization, Reason, User
from workers.cli.ordering import an_order
from workers.cli.report import describe, headline
from workers.cli.screen import moment, note, table, tell, tell_json
from workers.cli.screens import Quiet, choose_screen
from workers.cli.watching import exit_code, follow

MEANING = {
    Verdict.UNPROTECTED: "signed out, then asked to set up a second factor",
    Verdict.PROTECTED: "left alone, and told: they have a second factor",
    Verdict.SSO: "left alone, and told: they sign in by SSO only",
    Verdict.EXEMPT: "left alone, and told: their kind is exempted",
    Verdict.INACTIVE: "left alone, without a letter",
}


async def preview(organization: Organization, /, *, exempt: Exempt = (), as_json: AsJson = False) -> None:
    """See who would be affected, without changing anything.

    Counts every member by verdict and kind, and the sessions that would be ended. Needs DATABASE_URL only.

    ```console
    $ portcullis preview 42
    $ portcullis preview 42 --exempt service --json
    ```
    """
    async with connected() as db:
        organization_id = _organization(await read_id_types(db), organization)
        rows = await client.preview_second_factor(db, organization_id, exempt_kinds=exempt)
        policy = await operations.find_policy(db, OrganizationId(organization_id))
    run_id = policy.run_id if policy and policy.required else None
    if as_json:
        tell_json(_preview_document(organization_id, rows, run_id))
        return
    tell(*_preview_lines(organization, rows))
    if run_id is not None:
        note(f"A requirement stands already: `portcullis status {run_id}` shows its run.")


async def enforce(
    organization: Organization,
    /,
    *,
    as_: User,
    reason: Reason,
    exempt: Exempt = (),
    effective_at: EffectiveAt = None,
    grace_days: GraceDays = None,
    wait: Annotated[bool, Parameter(negative=(), show_default=False, help="Watch the run until it is over.")] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Switch on: make the second factor mandatory for an organization.

    From the commit on nobody without a second factor passes the gate. In the background their sessions are ended and every member gets
    one letter. With `--effective-at` all that happens then, and members are reminded 7 days and 1 day before. Repeating it changes
    nothing: while a requirement stands, its run is shown. See `portcullis preview` first. Needs DATABASE_URL only, and with `--wait` a
    conductor and workers that do the work.

    ```console
    $ portcullis enforce 42 --as 7 --reason "audit finding 12"
    $ portcullis enforce 42 --as 7 --reason "audit finding 12" --wait
    $ portcullis enforce 42 --as 7 --reason "audit finding 12" --effective-at 2027-01-15T09:00 --grace-days 14
    ```
    """
    order = an_order(reason, actor=as_)
    async with connected() as db:
        types = await read_id_types(db)
        async with db.transaction():
            run_id = await client.require_second_factor(
                db,
                _organization(types, organization),
                requested_by=_member(types, as_),
                reason=reason,
                exempt_kinds=exempt,
                effective_at=_aware(effective_at),
                grace=None if grace_days is None else timedelta(days=grace_days),
            )
            if is_new := await operations.is_new(db, run_id):
                await steering.note(db, order, "enforce", scope="organization", subject=organization, run_id=run_id)
        look = await operations.look(db, run_id)
    if not as_json:
        tell(_enforced(look.status, is_new=is_new))
    if wait:
        look = await follow(run_id, Quiet() if as_json else choose_screen(as_json=False))
    if as_json:
        tell_json({**look.status, "is_new": is_new})
    elif wait:
        tell(*describe(look))
    return exit_code(look) if wait else ExitCode.OK


async def lift(organization: Organization, /, *, as_: User, reason: Reason, as_json: AsJson = False) -> None:
    """Switch off: no longer ask for a second factor.

    Waits for the batches in flight; when it returns no further session will be ended. Letters that have not been begun are cancelled, and
    whoever was told that they are signed out is told that it is over. Needs DATABASE_URL only.

    ```console
    $ portcullis lift 42 --as 7 --reason "wrong organization"
    ```
    """
    order = an_order(reason, actor=as_)
    async with connected() as db:
        types = await read_id_types(db)
        organization_id = _organization(types, organization)
        async with db.transaction(isolation="read_committed"):
            await client.lift_second_factor(db, organization_id, requested_by=_member(types, as_), reason=reason)
            lifted = OrganizationId(organization_id)
            await steering.note(db, order, "lift", scope="organization", subject=organization, organization_id=lifted)
        policy = await operations.find_policy(db, OrganizationId(organization_id))
    stands = policy is not None and policy.required
    if as_json:
        tell_json({"organization_id": organization_id, "required": stands, "epoch": policy and policy.epoch})
    else:
        tell(f"Organization {organization} no longer requires a second factor; no further session will be ended.")


def _aware(moment: datetime | None) -> datetime | None:
    """Return a moment with its zone; one that was typed without counts as this machine's."""
    return moment.astimezone() if moment is not None and moment.tzinfo is None else moment


def _organization(types: IdTypes, given: str) -> Id:
    return cast("Id", types.to_organization(given))


def _member(types: IdTypes, given: str) -> Id:
    return cast("Id", types.to_member(given))


def _preview_document(organization_id: Id, rows: list[PreviewRow], run_id: int | None) -> dict[str, Any]:
    return {
        "organization_id": organization_id,
        "required_by_run": run_id,
        "members": sum(row.members for row in rows),
        "sessions": sum(row.sessions for row in rows),
        "rows": [{"verdict": row.verdict, "kind": row.kind, "members": row.members, "sessions": row.sessions} for row in rows],
    }


def _preview_lines(organization: str, rows: list[PreviewRow]) -> list[str]:
    if not rows:
        return [f"Organization {organization} has no members: nobody would be affected."]
    sessions, affected = sum(row.sessions for row in rows), sum(row.members for row in rows if row.verdict is Verdict.UNPROTECTED)
    cells = [(row.verdict, row.kind, row.members, row.sessions, MEANING[row.verdict]) for row in rows]
    return [
        *table(("VERDICT", "KIND", "MEMBERS", "SESSIONS ENDED", "THEY WOULD BE"), cells),
        f"{affected:,} of {sum(row.members for row in rows):,} members would be signed out, from {sessions:,} sessions.",
    ]


def _enforced(status: dict[str, Any], *, is_new: bool) -> str:
    run = status["run_id"]
    if is_new:
        return (
            f"Run {run} is opened: organization {status['organization_id']} requires a second factor from now on. `portcullis watch {run}`"
        )
    return f"A requirement stands already, since {moment(status['requested_at'])}; nothing was changed. {headline(status)}"
