"""What requests may say: paths, queries and bodies. Whatever is not named here is refused."""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from jobs.store.steering import LimitScope, PauseScope, Selection
from jobs.store.steering.orders import LONGEST_REASON

BIGGEST = 2**63 - 1
DIGITS = re.compile(r"[0-9]{1,19}")
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
VISIBLE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"


def _digits(given: Any) -> Any:
    """Let an address's number be digits and nothing else: `1_0`, ` 1` and `1.0` would be read as well."""
    if isinstance(given, str) and not DIGITS.fullmatch(given):
        raise ValueError("must be a whole number, in digits")
    return given


def _whole(given: Any) -> Any:
    """Take `7.0` for 7, as JSON Schema does."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


Number: TypeAlias = Annotated[int, Field(ge=1, le=BIGGEST), BeforeValidator(_whole)]
Spelled: TypeAlias = Annotated[int, Field(ge=1, le=BIGGEST), BeforeValidator(_digits)]
"""A number in a path or a query."""
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=255, pattern=PRINTABLE)]
Subject: TypeAlias = Annotated[str, Field(max_length=255, pattern=PRINTABLE)]
Before: TypeAlias = Annotated[Spelled | None, Field(description="Only those with a smaller number: `next_before` of the page before.")]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=200, description="How many at most."), BeforeValidator(_digits)]


class Question(BaseModel):
    """A path or a query."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Words(BaseModel):
    """A body, or a part of one: types as JSON has them, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Body(Words):
    """An order."""

    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON, pattern=VISIBLE)] = Field(
        description="Why; recorded with the token's name.", examples=["before the deployment"]
    )


class RunPath(Question):
    """Which run."""

    run_id: Spelled = Field(description="Number of the run.", examples=[1])


class BatchPath(Question):
    """Which batch."""

    batch_id: Spelled = Field(description="Number of the batch.", examples=[1])


class MemberPath(Question):
    """Which member."""

    user_id: Name = Field(description="Id as the main app has it.", examples=["1"])


class RunsQuery(Question):
    """Which runs."""

    before: Before = None
    state: Literal["running", "done", "cancelled"] | None = Field(default=None, description="Only runs in this state.")
    organization_id: Name | None = Field(default=None, description="Only runs of this organization.")
    limit: Limit = 50


class ActionsQuery(Question):
    """Which actions."""

    before: Before = None
    run_id: Spelled | None = Field(default=None, description="Only what was done to this run.")
    organization_id: Name | None = Field(default=None, description="Only what was done to this organization and its runs.")
    limit: Limit = 50


class DeadQuery(Question):
    """Which dead batches."""

    run_id: Spelled | None = Field(default=None, description="Only those of this run.")
    limit: Limit = 50


# What is paused.


class OneRun(Words):
    """One run."""

    scope: Literal["run"]
    run_id: Number = Field(examples=[1])


class OneOrganization(Words):
    """Whatever belongs to one organization, also later runs."""

    scope: Literal["organization"]
    organization_id: Name = Field(examples=["1"])


class OneQueue(Words):
    """`notify`: all letters; `enforce`: plans and sessions."""

    scope: Literal["queue"]
    queue: Literal["enforce", "notify"]


class Everything(Words):
    """Everything, also what is opened later."""

    scope: Literal["everything"]


Target: TypeAlias = Annotated[OneRun | OneOrganization | OneQueue | Everything, Field(discriminator="scope")]


class PauseBody(Body):
    """What to stop, or to let go on."""

    target: Target = Field(examples=[{"scope": "queue", "queue": "notify"}])

    @property
    def scope(self) -> PauseScope:
        """How much is meant."""
        return PauseScope(self.target.scope)

    @property
    def subject(self) -> str:
        """Which one is meant."""
        match self.target:
            case OneRun(run_id=run_id):
                return str(run_id)
            case OneOrganization(organization_id=organization):
                return organization
            case OneQueue(queue=queue):
                return queue
            case Everything():
                return ""


# Which dead batches are meant.


class ThisBatch(Words):
    """One batch."""

    batch_id: Number = Field(examples=[1])


class AllAlike(Words):
    """All that died of one cause."""

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]


class AllOfRun(Words):
    """All of one run."""

    run_id: Number = Field(examples=[1])


class All(Words):
    """All there are."""

    everything: Literal[True]


class DeadBody(Body):
    """Dead batches, and how many at most."""

    which: ThisBatch | AllAlike | AllOfRun | All = Field(examples=[{"run_id": 1}])
    most: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(_whole)] = Field(
        default=1_000, description="At most so many, the oldest first."
    )
    dry_run: bool = Field(default=False, description="Only count what would be acted on.")

    @property
    def selection(self) -> Selection:
        """What is meant."""
        return Selection(**self.which.model_dump())


# Everything else.


class CancelBody(Body):
    """Stop a run for good."""


class LimitBody(Body):
    """Which limit."""

    scope: Literal["relay", "organization", "domain", "quota"] = Field(description="What is limited; `quota`: letters in 24 hours.")
    subject: Subject = Field(default="", description="A relay (host:port), an organization's id, a domain; nothing for every one.")

    @property
    def limits(self) -> LimitScope:
        """What is limited."""
        return LimitScope(self.scope)


class SetLimitBody(LimitBody):
    """A limit."""

    amount: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(
        description="Letters a second; for `quota` letters in 24 hours; 0 is no limit.", examples=[20]
    )


class BreakerBody(Body):
    """A breaker to close."""

    scope: Literal["relay", "letter", "domain"]
    subject: Name = Field(examples=["signed_out"])
    hold_seconds: Annotated[float, Field(ge=1, le=604_800, allow_inf_nan=False)] | None = Field(
        default=None, description="For how long it may not open again."
    )


class DrainBody(Body):
    """A worker process to end."""

    worker: Name = Field(description="host:pid/queue, or host:pid.", examples=["host:1/notify"])
