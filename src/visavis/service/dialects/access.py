"""Who asks in a dialect, and in which gallery: the key decides, for requests name none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from starlette.datastructures import State

from visavis.service.problems import ProblemError
from visavis.service.routes.common import caller_of, service_of
from visavis.service.state import Caller

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery
    from visavis.api.records import IdentificationPoint


def caller_with(request: Request, token: str | None, scope: str, *, how: str) -> Caller:
    """Returns who sends a token.

    Args:
        request: the request.
        token: the token.
        scope: what the key must allow.
        how: how a client of the dialect sends a token.

    Raises:
        ProblemError: ``unauthorized``, ``forbidden`` without the scope, or ``rate-limit``.
    """
    found = caller_of(request, token, how=how)
    found.require(scope)
    return found


def gallery_of(request: Request, caller: Caller, token: str | None) -> Gallery:
    """Returns the only gallery of a key.

    In an open service with several galleries a gallery's name is taken in place of the token.

    Raises:
        ProblemError: ``unknown-gallery`` or ``several-galleries``.
    """
    service = service_of(request)
    own = [name for name in service.galleries if caller.sees(name)]
    if not service.keys and token in own:
        own = [name for name in own if name == token]
    if len(own) > 1:
        raise ProblemError(
            422, "several-galleries", "a key of several galleries" if service.keys
            else "several galleries", "use a key of one gallery: `visavis keys create --gallery "
            "NAME`" if service.keys else "send the name of a gallery as the key",
        )  # fmt: skip
    return service.gallery(own[0] if own else None, caller)[1]


def tell_fpir(state: State, point: IdentificationPoint | None) -> None:
    """Notes the rate in force of a search, for headers of the response and for the log.

    Requests of dialects name no rate, and their answers have no field for it.

    Args:
        state: of the request.
        point: threshold of the search; ``None``: there was none, in an empty gallery.
    """
    if point is not None:
        state.fpir = (point.fpir, point.fpir_ci[1])


def readable_name(name: str) -> str:
    """Returns the name of a new person without blanks at its ends.

    Raises:
        ProblemError: it was sent in bytes that are no text; decoding put U+FFFD in their place.
    """
    if "\ufffd" in name:
        raise ProblemError(
            400, "option", f"the name {name[:40]!a}, in bytes that are not UTF-8",
            "send it in UTF-8, percent-encoded in a query or form",
        )  # fmt: skip
    return name.strip()
