"""Arguments and options that several verbs share, so that they are called and explained the same everywhere."""

from datetime import datetime
from typing import Annotated, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

BIGGEST_ID = 2**63 - 1

AsJson: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative=(), show_default=False, help="Print one JSON document instead of text; errors too.")
]
Organization: TypeAlias = Annotated[str, Parameter(help="Id of the organization, as `directory.organization` has it.")]
Run: TypeAlias = Annotated[int, Parameter(help="Number of the run; `portcullis runs` lists them.", validator=Number(gte=1, lte=BIGGEST_ID))]
User: TypeAlias = Annotated[
    str, Parameter(name="--as", help="Id of the person who decides: an active member with a second factor, or with SSO only.")
]
Reason: TypeAlias = Annotated[str, Parameter(help="Why; kept with the run for whoever asks later.")]
Exempt: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(name="--exempt", negative=(), show_default=False, help="A kind of member to exempt; may be repeated."),
]
EffectiveAt: TypeAlias = Annotated[
    datetime | None,
    Parameter(
        show_default=False, help="From when it applies, such as 2027-01-15T09:00 (this machine's zone) or with +00:00; by default at once."
    ),
]
GraceDays: TypeAlias = Annotated[
    int | None,
    Parameter(show_default=False, help="How many days whoever joins later has time; by default none.", validator=Number(gte=0, lte=365)),
]
Limit: TypeAlias = Annotated[int, Parameter(help="Lines at most.", validator=Number(gte=1, lte=10_000))]
