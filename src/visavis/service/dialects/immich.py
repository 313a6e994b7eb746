"""The dialect of Immich's machine learning: ``POST /predict``, ``GET /ping``.

Faces are answered here; other entries go to the service's upstream, and the answers become one.
Immich sends no key: without a proxy that adds one, it must reach the service over loopback.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from visavis.api.photos import photo_size
from visavis.errors import NoFaceError
from visavis.service import uploads
from visavis.service.dialects import Dialect
from visavis.service.dialects.access import caller_with
from visavis.service.dialects.boxes import corners
from visavis.service.problems import ProblemError
from visavis.service.routes.common import Answer, service_of
from visavis.service.state import Service
from visavis.service.upstream import forward, upstream_url
from visavis.types import Template

router = APIRouter(tags=["immich"])

FACES: Final = "facial-recognition"
DIMENSION: Final = 512
"""Of Immich's column of embeddings: templates are padded with zeros, which changes no cosine."""

_HOW: Final = (
    "Immich sends no key: let a reverse proxy add a token as the header X-API-Key, or start the "
    "service on the same machine without keys"
)
_LARGEST_ANSWER: Final = 16_000_000
_PATHS: Final = frozenset({"/ping", "/predict"})


class _Detection(msgspec.Struct):
    options: dict[str, Any] = {}


class _Faces(msgspec.Struct):
    detection: _Detection = msgspec.field(default_factory=_Detection)


def refuse(problem: ProblemError, _request_id: str) -> Response:
    """Returns the response to a refused request, as FastAPI writes errors."""
    detail = f"{problem.got}; {problem.remedy}"
    return Response(
        msgspec.json.encode({"detail": detail}),
        status_code=problem.status,
        media_type="application/json",
        headers=problem.headers,
    )


@router.get("/ping")
async def ping() -> PlainTextResponse:
    """Say that the process answers."""
    return PlainTextResponse("pong")


@router.get("/")
async def root() -> Answer:
    """Say what this is, as Immich's own server does."""
    return Answer({"message": "Immich ML"})


@router.post("/predict")
async def predict(request: Request) -> Answer:
    """Detect and embed the faces of a photo; have the upstream answer the other entries."""
    service = service_of(request)
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    token = request.headers.get("x-api-key") or bearer or None
    caller_with(request, token, "verify", how=_HOW)
    form = await uploads.read(
        request, parts={"image": 1}, texts=["entries", "text"], optional=["image", "text"],
        lenient=True,
    )  # fmt: skip
    entries = _decoded(form.texts["entries"], dict[str, dict[str, Any]])
    image = form.one("image").getvalue() if "image" in form.photos else None
    text = form.texts.get("text")
    if image is None and text is None:
        raise ProblemError(400, "missing-part", "neither image nor text", "send one of them")
    others = {name: entry for name, entry in entries.items() if name != FACES}
    tasks = []
    if FACES in entries:
        wanted = _convert(entries[FACES])
        if image is None:
            raise ProblemError(422, "missing-part", f"{FACES} without an image", "send image")
        tasks.append(service.run(_faces, service, image, _min_score(wanted)))
    if others:
        tasks.append(service.run(_others, service, others, image, text))
    answers = await asyncio.gather(*tasks)
    return Answer({name: value for one in reversed(answers) for name, value in one.items()})


def _faces(service: Service, image: bytes, least: float) -> dict[str, Any]:
    width, height = photo_size(image, limits=service.engine.limits, name="image")
    try:
        found = service.engine.embed(image, faces="all")
    except NoFaceError:
        found = []
    told = [_told(one, (width, height)) for one in found if one.face.score >= least]
    return {FACES: told, "imageHeight": height, "imageWidth": width}


def _told(one: Template, size: tuple[int, int]) -> dict[str, Any]:
    vector = np.zeros(DIMENSION, np.float32)
    vector[: len(one.vector)] = one.vector
    left, top, right, bottom = corners(one.face, size)
    return {
        "boundingBox": {"x1": left, "y1": top, "x2": right, "y2": bottom},
        "embedding": msgspec.json.encode(vector.tolist()).decode(),
        "score": one.face.score,
    }


def _others(
    service: Service, entries: dict[str, Any], image: bytes | None, text: str | None
) -> dict[str, Any]:
    if service.options.upstream is None:
        names = ", ".join(sorted(entries))[:80]
        raise ProblemError(
            501, "no-upstream", f"{names!a}, which is not about faces",
            "start the service with --upstream URL of Immich's own machine learning",
        )  # fmt: skip
    body = forward(
        upstream_url(service.options.upstream), "/predict",
        texts={"entries": msgspec.json.encode(entries).decode()}
        | ({} if text is None else {"text": text}),
        files={} if image is None else {"image": image},
        seconds=service.options.seconds, most=_LARGEST_ANSWER,
    )  # fmt: skip
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProblemError(
            502, "upstream", "an answer of the upstream that is no JSON", "check it"
        ) from error


def _min_score(wanted: _Faces) -> float:
    least = wanted.detection.options.get("minScore", 0.0)
    if isinstance(least, bool) or not isinstance(least, (int, float)) or not 0 <= least <= 1:
        raise ProblemError(422, "entries", "a minScore that is none", "give one from 0 to 1")
    return float(least)


def _decoded(text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text.encode(), type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProblemError(
            422, "entries", f"entries that cannot be read: {error}", "send a JSON object"
        ) from error


def _convert(entry: dict[str, Any]) -> _Faces:
    try:
        return msgspec.convert(entry, _Faces)
    except msgspec.ValidationError as error:
        raise ProblemError(
            422, "entries", f"entries that cannot be read: {error}", f"send {FACES} as Immich does"
        ) from error


DIALECT: Final = Dialect(
    router=router,
    owns=lambda method, path: path in _PATHS or (path == "/" and method in {"GET", "HEAD"}),
    refuse=refuse,
)
