"""Errors as ``application/problem+json`` (RFC 9457), with the library's words."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Scope

from visavis import errors
from visavis.errors import VisavisError

if TYPE_CHECKING:
    from visavis.api.photos import DetectedPhoto
    from visavis.api.records import EnrollRow, IdentifiedPhoto, PhotoResult

    Row = TypeVar("Row", DetectedPhoto, EnrollRow, IdentifiedPhoto, PhotoResult)

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
    (errors.KeyFileError, 500),
    (errors.ModelDamagedError, 500),
    (errors.ModelUnavailableError, 500),
    (errors.ModelRefusedError, 500),
    (errors.TrainingError, 500),
    (errors.GalleryError, 409),
    (VisavisError, 422),
)
"""HTTP status of each class of errors; the first that fits."""

_REMEDIES: Final[tuple[tuple[str, str], ...]] = (
    ("rewind it with seek(0)", "send the bytes of the file"),
    ("pass it as str)", "send the bytes of a photo, as JPEG, PNG, WebP, GIF, TIFF, BMP or HEIC; "
     "URLs and paths are never opened"),
    ("base64.b64decode", "send the bytes of the file, or its base64 in JSON"),
    ("numpy.load", "send it as JPEG or PNG"),
    ("Limits(max_bytes=", "send the photo smaller, or of a higher JPEG compression; who runs the "
     "service sets the limit by --max-photo"),
    ("Limits(max_pixels=", "send the photo scaled down, about 2,000 pixels on the longer side are "
     "enough; who runs the service sets the limit by --megapixels"),
    ("the rule largest or central", "crop it to one person, or choose a face: faces=largest or "
     "faces=central"),
    ("`visavis people list", "GET /v1/people lists who is enrolled, with ids"),
    ("`visavis people show", "GET /v1/people/ID/photos lists the numbers of a person's faces"),
    ("all names: visavis models list", "GET /v1/models lists the models"),
    ("embedder from `visavis models list`", "GET /v1/models lists the models"),
    ("`visavis calibrate --list`", "GET /v1/calibrations lists them"),
    ("then pass --calibration", "POST photos like yours to /v1/calibrations?name=NAME, then pass "
     "calibration=NAME"),
    ("leave --model out", "leave the option model out"),
    ("visavis[heif]", "send it as JPEG or PNG; who runs the service can install visavis[heif]"),
)  # fmt: skip
"""What a remedy of the library for Python or the command line says, and what a client does."""

_OTHER_READER: Final = re.compile(r"\bvisavis [a-z]|(?<!\w)--[a-z]|pip install|VISAVIS_")
"""Marks of a remedy that a client can do nothing about."""

_TITLES: Final = {
    "archive": "The archive cannot be read",
    "archive-too-large": "The files of the archive are too large",
    "base64": "A photo in JSON is not in base64",
    "body-too-large": "The request is too large",
    "busy": "The service is busy",
    "content-encoding": "The body is compressed",
    "content-type": "The body is of a type that is not accepted",
    "duplicate-part": "A part of the form was sent twice",
    "forbidden": "The key does not allow this",
    "forbidden-host": "An open service answers on its own machine only",
    "forbidden-origin": "An open service answers its own pages only",
    "form": "The form cannot be read",
    "gallery-exists": "The name of the gallery is taken",
    "json": "The JSON body is not as described",
    "method-not-allowed": "The path does not have this method",
    "missing-part": "A part of the form is missing",
    "multipart": "The form cannot be read",
    "not-done": "The job is not done",
    "not-found": "There is no such path",
    "not-ready": "The service is not ready",
    "nothing-enrolled": "No photo was enrolled",
    "option": "An option has a value that is not accepted",
    "rate-limit": "The key sent too many requests",
    "request-timeout": "The request took too long to arrive",
    "text-part": "A text in place of a photo",
    "too-many-galleries": "There are too many galleries",
    "too-many-photos": "There are too many photos",
    "too-slow": "The answer took too long",
    "unauthorized": "A valid key is needed",
    "unexpected": "A bug in the service",
    "unknown-calibration": "There is no such calibration",
    "unknown-face": "There is no such face",
    "unknown-gallery": "There is no such gallery",
    "unknown-job": "There is no such job",
    "unknown-option": "Unknown option",
    "unknown-part": "Unknown part of the form",
    "upstream": "The upstream failed",
    "upstream-timeout": "The upstream took too long",
}
"""Title by the reason of a problem that is not an error of the library."""

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
    got, remedy = error.got, for_clients(error.remedy)
    if isinstance(error, errors.KeyFileError):  # told to those without a key, too: not its place
        got, remedy = "the service cannot read its keys", "ask who runs it: `visavis keys list`"
    return ProblemError(status, error.reason, got, remedy, headers=headers, title=title)


def for_clients(text: str) -> str:
    """Returns a remedy of the library, or a message that ends in one, in words for a client.

    >>> for_clients("photo 2 is empty; rewind it with seek(0) if it was read before")
    'photo 2 is empty; send the bytes of the file'
    """
    text = text.removesuffix(": `visavis calibrate`")  # after words that say enough
    for mark, remedy in _REMEDIES:
        if mark in text:
            got, separator, _ = text.partition(mark)[0].rpartition("; ")
            return f"{got}{separator}{remedy}"
    got, separator, remedy = text.rpartition("; ")
    if _OTHER_READER.search(remedy):
        return f"{got}{separator}ask who runs the service to do this: {remedy}"
    return text


def row_for_clients(row: Row) -> Row:
    """Returns the row of a photo, its message in words for a client."""
    return row if row.message is None else replace(row, message=for_clients(row.message))


def document(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """Returns the members of a problem.

    ``type`` ends in ``reason``, which is stable; ``detail`` says what was given, ``remedy`` what
    to do, and ``instance`` names the request as the log does.
    """
    more = dict(problem.more)
    return {
        "type": f"urn:visavis:problem:{problem.reason}",
        "title": more.pop("title", None)
        or _TITLES.get(problem.reason, HTTPStatus(problem.status).phrase),
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
            ProblemError(422, "option", _printable(wrong), _printable(_accepted(request, error))),
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
                f"{request.method} of this path is answered with: {status.phrase.lower()}",
                remedies.get(status, "see docs/service.md"),
                headers=headers,
            ),
        )


def parameters_of(request: Request) -> dict[str, dict[str, Any]]:
    """Returns what OpenAPI says about a route's query parameters, by name."""
    route = operation_of(request)
    return {one["name"]: one for one in route.get("parameters", ()) if one["in"] == "query"}


def operation_of(request: Request) -> dict[str, Any]:
    """Returns what OpenAPI says about a request's route."""
    paths = request.app.openapi()["paths"]
    found: dict[str, Any] = paths.get(request.scope["route"].path, {})
    operation: dict[str, Any] = found.get(request.method.lower(), {})
    return operation


def _accepted(request: Request, error: RequestValidationError) -> str:
    """Returns what the first option that is wrong accepts."""
    wrong = error.errors()[0]
    name, given = str(wrong["loc"][-1]), str(wrong.get("input"))
    share = given.removesuffix("%").strip()
    if given.endswith("%") and share.replace(".", "", 1).isdecimal():
        return f"write {given} as a share: {name}={float(share) / 100:g}"
    known = parameters_of(request).get(name)
    if known is None:
        return "/openapi.json says what is accepted"
    examples = known["schema"].get("examples") or [known["schema"].get("default")]
    example = "" if examples[0] is None else f" Example: {name}={examples[0]}"
    return f"{name}: {known.get('description', '')}{example}"


def _allowed(request: Request) -> str:
    """Returns the methods of a request's path; Starlette names those of one route only."""
    path: str = request.scope["path"]
    found: dict[str, set[str]] = {}
    for route in iter_route_contexts(request.app.routes):
        if route.path is not None and route.methods:
            found.setdefault(route.path, set()).update(route.methods)
    for template in (path, *found):  # a literal path comes before a pattern that matches it
        if template in found and compile_path(template)[0].fullmatch(path):
            return ", ".join(sorted(found[template]))
    return ""


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:1000]
