"""Errors as ``application/problem+json`` (RFC 9457), with the library's words."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Scope

from visavis import errors
from visavis.errors import VisavisError

MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final[tuple[tuple[type[VisavisError], int], ...]] = (
    (errors.BusyError, 429),
    (errors.ImageTooLargeError, 413),
    (errors.NotAnImageError, 415),
    (errors.UnknownModelError, 404),
    (errors.UnknownCalibrationError, 404),
    (errors.UnknownPersonError, 404),
    (errors.UnknownFaceError, 404),
    (errors.PersonExistsError, 409),
    (errors.ModelMismatchError, 409),
    (errors.GalleryDamagedError, 500),
    (errors.GalleryKeyError, 500),
    (errors.ErasureIncompleteError, 500),
    (errors.ModelDamagedError, 500),
    (errors.ModelUnavailableError, 500),
    (errors.ModelRefusedError, 500),
    (errors.TrainingError, 500),
    (errors.GalleryError, 409),
    (VisavisError, 422),
)
"""HTTP status of each class of errors; the first that fits."""

_RETRY: Final = 1.0
_SHUTTING: Final = (429, 503)


class ProblemError(Exception):
    """A refusal that the library has no class for.

    Args:
        status: HTTP status.
        reason: short stable name.
        got: what was given.
        remedy: what to do.
        headers: further response headers.
        **more: further members of the problem.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        got: str,
        remedy: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{got}; {remedy}")
        self.status, self.reason, self.got, self.remedy = status, reason, got, remedy
        self.headers, self.more = dict(headers or {}), more


def status_of(error: VisavisError) -> int:
    """Returns the HTTP status of an error of the library."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def as_problem(error: VisavisError) -> ProblemError:
    """Returns an error of the library as a problem."""
    status = status_of(error)
    headers = {"Retry-After": str(math.ceil(_RETRY))} if status in _SHUTTING else {}
    title = (inspect.getdoc(type(error)) or "").partition("\n")[0]
    return ProblemError(status, error.reason, error.got, error.remedy, headers=headers, title=title)


def document(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """Returns the members of a problem.

    ``type`` ends in ``reason``, which is stable; ``detail`` says what was given, ``remedy`` what
    to do, and ``instance`` names the request as the log does.
    """
    more = dict(problem.more)
    return {
        "type": f"urn:visavis:problem:{problem.reason}",
        "title": more.pop("title", None) or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.got,
        "remedy": problem.remedy,
        "reason": problem.reason,
        "instance": f"urn:visavis:request:{request_id}",
        **more,
    }


def response(problem: ProblemError, request_id: str) -> Response:
    """Returns the response to a request that is refused."""
    return Response(
        msgspec.json.encode(document(problem, request_id)),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


Respond = Callable[[Scope, ProblemError, str], Response]
"""Makes the response to a refused request, of its scope, the problem and its id."""


def install(app: FastAPI, respond: Respond) -> None:
    """Makes an application answer all its errors as problems, or as ``respond`` does."""

    def answer(request: Request, problem: ProblemError) -> Response:
        request.state.reason = problem.reason
        return respond(request.scope, problem, request.state.request_id)

    @app.exception_handler(ProblemError)
    async def _refused(request: Request, error: ProblemError) -> Response:
        return answer(request, error)

    @app.exception_handler(VisavisError)
    async def _library(request: Request, error: VisavisError) -> Response:
        return answer(request, as_problem(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][1:]) or one['loc'][0]}: {one['msg']}"
            for one in error.errors()[:5]
        )
        return answer(
            request,
            ProblemError(422, "option", _printable(wrong), "/openapi.json says what is accepted"),
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed(request) or headers.get("Allow", "")
        remedies = {
            404: "/openapi.json lists the routes",
            405: f"use {headers.get('Allow') or 'another method'}",
        }
        return answer(
            request,
            ProblemError(
                status,
                status.phrase.lower().replace(" ", "-"),
                f"{request.method} of this path: {status.phrase.lower()}",
                remedies.get(status, "see docs/service.md"),
                headers=headers,
            ),
        )


def _allowed(request: Request) -> str:
    """Returns the methods of a request's path in the OpenAPI document, ``""`` if it has none;
    Starlette names those of one route only."""
    paths, path = request.app.openapi()["paths"], request.url.path
    for template in (path, *paths):  # a literal path comes before a pattern that matches it
        if template in paths and compile_path(template)[0].fullmatch(path):
            return ", ".join(sorted(method.upper() for method in paths[template]))
    return ""


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:1000]
