"""Who asks, and errors in CompreFace's shape: ``{"message": ..., "code": ...}``."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import Request
from starlette.responses import Response

from visavis.service.problems import ProblemError
from visavis.service.routes.common import caller_of, service_of
from visavis.service.state import Caller

_CODES: Final = {
    "no-face": (400, 28),
    "several-faces": (400, 31),
    "unauthorized": (404, 10),
    "forbidden": (404, 10),
    "unknown-gallery": (404, 10),
    "missing-key": (400, 20),
}
"""HTTP status and CompreFace's code, by the reason of a problem."""


def refuse(problem: ProblemError, _request_id: str) -> Response:
    """Returns the response to a refused request."""
    status, code = _CODES.get(problem.reason, (problem.status, 41 if problem.status >= 500 else 0))
    message = f"{problem.got}; {problem.remedy}"
    return Response(
        msgspec.json.encode({"message": message, "code": code}),
        status_code=status,
        media_type="application/json",
        headers={k: v for k, v in problem.headers.items() if k != "WWW-Authenticate"},
    )


def caller(request: Request, scope: str) -> Caller:
    """Returns who sends ``x-api-key``.

    Raises:
        ProblemError: the key is missing, not valid, or without that scope.
    """
    token = request.headers.get("x-api-key")
    if token is None and service_of(request).keys:
        raise ProblemError(400, "missing-key", "Missing header: x-api-key", "send a key's token")
    found = caller_of(request, token)
    found.require(scope)
    return found
