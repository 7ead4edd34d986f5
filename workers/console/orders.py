"""What every order has in common: a reason, a way to say that it can't be done, and a page that says what was done."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from jobs.client import PortcullisError
from jobs.operators import Session
from jobs.store.ids import MalformedIdError
from jobs.store.steering import MalformedOrderError, Order, Refused, Stale, Unknown
from workers.console.refusals import Refusal, malformed, not_found, stale


def order_of(session: Session, form: FormData, *, back: str) -> Order:
    """Return who orders it and why, as a form says.

    Raises:
        Refusal: There is no reason, or too long a one.
    """
    reason = str(form.get("reason", "")).strip()
    if not reason:
        raise malformed("Nothing was done: say why. Every order is recorded with its reason", back=back)
    with in_words(back=back):
        return Order(actor=session.name, via="console", reason=reason)


def confirm(form: FormData, word: str, *, back: str) -> None:
    """Make sure that somebody typed what the form asked them to type.

    Raises:
        Refusal: They did not.
    """
    if str(form.get("confirmation", "")).strip().casefold() != word.casefold():
        raise malformed(f"Nothing was done: to confirm, type {word}", back=back)


@contextmanager
def in_words(*, back: str) -> Iterator[None]:
    """Turn what an order can come to into a page. Raises `Refusal`."""
    try:
        yield
    except Unknown as error:
        raise not_found(error.what, "Nothing was done. It may be mistyped, or gone by now.", back=back) from error
    except Refused as error:
        raise Refusal(HTTPStatus.CONFLICT, error.name, error.what, f"Nothing was done. {error.to_do}", back=back) from error
    except Stale as error:
        raise stale(error.what, back=back) from error
    except (MalformedOrderError, MalformedIdError) as error:
        raise malformed(f"Nothing was done: {error}", back=back) from error
    except PortcullisError as error:
        raise Refusal(
            HTTPStatus.CONFLICT, type(error).__name__, error.message, f"Nothing was done. {error.hint or ''}", back=back
        ) from error


def as_seen(form: FormData, now: object, *, back: str) -> None:
    """Make sure that a form still speaks of how things are: it carries what was shown.

    Raises:
        Refusal: Somebody acted meanwhile.
    """
    if str(form.get("seen", "")) != str(now):
        raise stale("Somebody acted meanwhile: this form was about how it was before", back=back)


def done(path: str, what: str, count: int | None = None) -> Response:
    """Lead to a page that says what was done, by a word of its template's."""
    words = {"done": what} | ({} if count is None else {"n": str(count)})
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}{urlencode(words)}", HTTPStatus.SEE_OTHER)
