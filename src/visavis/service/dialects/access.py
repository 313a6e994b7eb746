"""Who asks in a dialect, and in which gallery: the key decides, for requests name none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request

from visavis.service.problems import ProblemError
from visavis.service.routes.common import caller_of, service_of
from visavis.service.state import Caller

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery


def caller_with(request: Request, token: str | None, scope: str) -> Caller:
    """Returns who sends a token.

    Raises:
        ProblemError: ``unauthorized``, ``forbidden`` without the scope, or ``rate-limit``.
    """
    found = caller_of(request, token)
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
