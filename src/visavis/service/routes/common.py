"""What all routes share: access, options, bodies and answers, and how OpenAPI describes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from visavis.service import problems
from visavis.service.keys import ServiceKey
from visavis.service.problems import ProblemError
from visavis.service.state import Caller, Service
from visavis.service.uploads import FORM, JSON
from visavis.types import to_plain

ANYONE: Final = ""
"""Scope of a route that needs no key."""

ANY_SCOPE: Final = "any"
"""Scope of a route that needs a key, and then requires a scope by its options."""

Rate = Annotated[
    float,
    Query(gt=0, lt=1, description="False match rate of the decision, in (0, 1).", examples=[1e-4]),
]
GalleryName = Annotated[
    str | None,
    Query(
        description="Name of a gallery; may be left out where the key has one gallery only.",
        examples=["door"],
    ),
]
Model = Annotated[str, Query(description="Embedder, a name from /v1/models.", examples=["sface"])]
Calibration = Annotated[
    str | None,
    Query(
        description="Name of a calibration, see /v1/calibrations; the model's own if left out.",
        examples=["sface-lfw"],
    ),
]
Aligned = Annotated[
    bool, Query(description="The photos are square crops, aligned to the 112x112 template.")
]
Flip = Annotated[
    bool, Query(description="Average the templates of each face and its mirror image.")
]

_bearer = HTTPBearer(auto_error=False, description="A token of `visavis keys create`.")


def service_of(request: Request) -> Service:
    """Returns the service of a request."""
    service: Service = request.app.state.service
    return service


def needs(scope: str) -> Any:
    """Returns the dependency that finds the caller and refuses those without a scope.

    Args:
        scope: one of ``SCOPES``; ``ANYONE``: no key is needed.
    """

    async def find(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
    ) -> Caller:
        header = request.headers.get("x-api-key")
        token = bearer.credentials if bearer else header
        if header is not None and header != token:
            token = ""  # two that differ: neither is taken
        caller = (
            await run_in_threadpool(caller_of, request, token)
            if service_of(request).keys
            else Caller()
        )
        if scope != ANY_SCOPE:
            caller.require(scope)
        _require_known_options(request)
        return caller

    async def find_anyone(request: Request) -> Caller:
        _require_known_options(request)
        return Caller()

    return Depends(find_anyone if scope == ANYONE else find)


def caller_of(
    request: Request, token: str | None, *, how: str = "send Authorization: Bearer TOKEN"
) -> Caller:
    """Returns who sends a token; without any key, everybody is the same caller.

    Args:
        request: the request.
        token: the token.
        how: how to send one, for who sent none or another.

    Raises:
        ProblemError: 401 without a valid token, 429 beyond the key's rate.
    """
    service = service_of(request)
    if not service.keys:
        return Caller()
    key = service.keys.check(token) if token is not None else None
    if key is None:
        raise ProblemError(
            401, "unauthorized",
            "no key was sent" if token is None else "the key that was sent is not valid",
            f"{how}; `visavis keys create` makes a token",
            headers={"WWW-Authenticate": 'Bearer realm="visavis"'},
        )  # fmt: skip
    return admit(request, key)


def admit(request: Request, key: ServiceKey) -> Caller:
    """Returns the caller with a key that was checked, and counts the request.

    Raises:
        ProblemError: 429 beyond the key's rate.
    """
    request.state.key = key.id
    if wait := service_of(request).buckets.take(key.id, key.rate):
        raise ProblemError(
            429, "rate-limit", f"the key sent more than {key.rate:,} requests per minute",
            "wait, or ask for a key with a higher rate",
            headers={"Retry-After": str(math.ceil(wait))},
        )  # fmt: skip
    return Caller(key.id, key)


def _require_known_options(request: Request) -> None:
    known = problems.parameters_of(request)
    for name in request.query_params:
        if name not in known:
            content = problems.operation_of(request).get("requestBody", {}).get("content", {})
            if name in content.get(FORM, {}).get("schema", {}).get("properties", ()):
                remedy = f"send {name} in the form, as curl -F {name}=... does, not in the query"
            else:
                remedy = f"the options of this path are: {', '.join(known) or 'none'}"
            raise ProblemError(
                422, "unknown-option", f"the query has an option {name[:40]!a}", remedy
            )
        several = len(request.query_params.getlist(name)) > 1
        if several and known[name]["schema"].get("type") != "array":
            raise ProblemError(422, "option", f"option {name} was given twice", "give it once")


class Answer(JSONResponse):
    """A JSON answer: the ``to_dict()`` of a record, or plain values."""

    def render(self, content: Any) -> bytes:
        """Encodes the content; numbers that are not finite become ``null``."""
        return msgspec.json.encode(to_plain(content))


def nothing() -> Response:
    """Returns the answer of what was erased."""
    return Response(status_code=204)


def schema(name: str) -> dict[str, Any]:
    """Returns a reference to one of ``visavis.api.schemas``, or of the service's own."""
    return {"$ref": f"#/components/schemas/{name}"}


def described(
    answer: Mapping[str, Any] | None,
    *,
    status: int = 200,
    body: Mapping[str, Any] | None = None,
    links: Mapping[str, Sequence[str]] = {},
) -> dict[str, Any]:
    """Returns what a route's decorator tells OpenAPI.

    Args:
        answer: schema of the answer; ``None``: it has no content.
        status: status of success.
        body: schema of a JSON body, or what ``photos`` returns.
        links: by ``parameter=$expression``, the operations that take it from the answer.
    """
    success: dict[str, Any] = {"description": "Success"}
    for given, operations in links.items():
        parameter, _, expression = given.partition("=")
        success.setdefault("links", {}).update(
            {one: {"operationId": one, "parameters": {parameter: expression}} for one in operations}
        )
    if answer is not None:
        success["content"] = {JSON: {"schema": dict(answer)}}
    problem = {problems.MEDIA_TYPE: {"schema": schema("Problem")}}
    found: dict[str, Any] = {
        "status_code": status,
        "response_class": Answer if answer is not None else Response,
        "responses": {
            status: success,
            "4XX": {"description": "Refused: what was given, and what to do", "content": problem},
            "503": {"description": "Not now: ask again later", "content": problem},
        },
    }
    if body is not None:
        told = dict(body) if "content" in body else {"content": {JSON: {"schema": dict(body)}}}
        found["openapi_extra"] = {"requestBody": {"required": True, **told}}
    return found


def photos(
    parts: Mapping[str, int], texts: Sequence[str] = (), optional: Sequence[str] = ()
) -> dict[str, Any]:
    """Describes a body that ``uploads.read`` accepts, with the same arguments."""
    kinds = {
        # "format": what generators of clients know; the other is JSON Schema's word.
        FORM: {
            "type": "string",
            "format": "binary",
            "contentMediaType": "application/octet-stream",
        },
        JSON: {"type": "string", "contentEncoding": "base64"},
    }
    content = {}
    for media, one in kinds.items():

        def several(most: int, one: Any = one, media: str = media) -> dict[str, Any]:
            listed = {"type": "array", "items": one, "minItems": 1, "maxItems": most}
            return listed if media == FORM else {"anyOf": [listed, one]}

        content[media] = {
            "schema": {
                "type": "object",
                "properties": {
                    **{name: one if most == 1 else several(most) for name, most in parts.items()},
                    **{name: {"type": "string"} for name in texts},
                },
                "required": [name for name in (*parts, *texts) if name not in optional],
                "additionalProperties": False,
            }
        }
    return {"content": content}
