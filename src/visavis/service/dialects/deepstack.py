"""The dialect of DeepStack's face API, which CodeProject.AI speaks, too: below ``/v1/vision/``.

Its clients send the token of a key as the form field ``api_key``; the key's gallery is the list of
registered faces.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from visavis.api.photos import photo_size
from visavis.errors import NoFaceError
from visavis.service import uploads
from visavis.service.dialects import Dialect, similarity
from visavis.service.dialects.access import caller_with, gallery_of, readable_name, tell_fpir
from visavis.service.dialects.boxes import corners
from visavis.service.problems import ProblemError, for_clients
from visavis.service.routes.common import Answer, service_of
from visavis.service.state import Caller
from visavis.service.uploads import Form, Photo
from visavis.types import Face

if TYPE_CHECKING:
    from visavis.api.records import Identification

router = APIRouter(tags=["deepstack"])

UNKNOWN: Final = "unknown"
"""The ``userid`` of a face that nobody enrolled."""

_TEXTS: Final = ("api_key", "min_confidence", "userid")
_NUMBERED: Final = 20
_HONEST: Final = frozenset({400, 404, 409, 415, 422})
"""Statuses that the request's content is to blame for: answered with 200, as DeepStack does."""


def refuse(problem: ProblemError, _request_id: str) -> Response:
    """Returns the response to a refused request; clients read ``error`` where the status is 200."""
    told = problem.status in _HONEST and problem.reason != "not-found"  # which is another route
    error = f"{problem.got}; {problem.remedy}" if problem.remedy else problem.got
    return Response(
        msgspec.json.encode({"success": False, "error": error}),
        status_code=200 if told else problem.status,
        media_type="application/json",
        headers={k: v for k, v in problem.headers.items() if k != "WWW-Authenticate"},
    )


async def _form(request: Request, *parts: str) -> Form:
    numbered = {f"{part}{k}": 1 for part in parts if part == "image" for k in range(1, _NUMBERED)}
    most = service_of(request).options.photos
    wanted = {**{part: most if part == "image" else 1 for part in parts}, **numbered}
    return await uploads.read(
        request, parts=wanted, texts=_TEXTS, optional=(*wanted, *_TEXTS), lenient=True
    )


def _token(request: Request, form: Form) -> str | None:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return form.texts.get("api_key") or request.headers.get("x-api-key") or bearer or None


def _caller(request: Request, form: Form, scope: str) -> Caller:
    return caller_with(
        request, _token(request, form), scope, how="send a token as the form field api_key"
    )


def _photo(form: Form, name: str) -> Photo:
    if name not in form.photos:
        raise ProblemError(422, "missing-part", f"no {name}", f"send a file: -F {name}=@FILE")
    return form.one(name)


def _min_confidence(form: Form) -> float:
    text = form.texts.get("min_confidence") or "0"
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ProblemError(422, "option", "a min_confidence that is none", "give one from 0 to 1")
    return found


def _person(form: Form) -> str:
    name = form.texts.get("userid", "").strip()
    if not name:
        raise ProblemError(422, "option", "user id not specified", "send the field userid")
    return name


async def _answer(request: Request, command: str, call: Callable[[], dict[str, Any]]) -> Answer:
    """Returns the answer with the times and names that CodeProject.AI adds."""
    start = perf_counter()
    found = await service_of(request).run(call)
    spent = round(1000 * (perf_counter() - start))
    return Answer({
        "success": True, **found, "duration": spent, "inferenceMs": spent, "processMs": spent,
        "analysisRoundTripMs": spent, "moduleId": "FaceProcessing", "moduleName": "visavis",
        "command": command, "executionProvider": "CPU", "canUseGPU": False,
    })  # fmt: skip


def _box(face: Face, size: tuple[int, int]) -> dict[str, int]:
    left, top, right, bottom = corners(face, size)
    return {"x_min": left, "y_min": top, "x_max": right, "y_max": bottom}


@router.post("/v1/vision/face")
async def detect(request: Request) -> Answer:
    """Detect the faces of a photo, the largest first."""
    form, service = await _form(request, "image"), service_of(request)
    _caller(request, form, "verify")
    photo, least = _photo(form, "image"), _min_confidence(form)

    def ask() -> dict[str, Any]:
        size = photo_size(photo.getvalue(), limits=service.engine.limits, name=photo.name)
        return {
            "predictions": [
                {"confidence": face.score, **_box(face, size)}
                for face in service.engine.detect(photo)
                if face.score >= least
            ]
        }

    return await _answer(request, "detect", ask)


@router.post("/v1/vision/face/recognize")
async def recognize(request: Request) -> Answer:
    """Name the faces of a photo; ``unknown`` is somebody whom nobody enrolled."""
    form, service = await _form(request, "image"), service_of(request)
    people = gallery_of(request, _caller(request, form, "identify"), _token(request, form))
    photo, least = _photo(form, "image"), _min_confidence(form)

    def ask() -> dict[str, Any]:
        size = photo_size(photo.getvalue(), limits=service.engine.limits, name=photo.name)
        try:
            answer = people.identify(photo, top=1, **service.search)
        except NoFaceError:
            return {"predictions": []}
        service.metrics.identified(answer)
        tell_fpir(request.state, answer.faces[0].threshold)
        found = []
        for one in answer.faces:
            point = one.threshold
            confidence = (
                0.0 if point is None else similarity.deepstack(one.score, threshold=point.threshold)
            )
            named = one.person is not None and confidence >= least
            found.append(
                {
                    "confidence": confidence,
                    "userid": _userid(one) if named else UNKNOWN,
                    **_box(one.face, size),
                }
            )
        return {"predictions": found}

    return await _answer(request, "recognize", ask)


def _userid(found: Identification) -> str:
    """Returns the name of an identified person; the opaque id of one whom somebody called as nobody
    is called here."""
    name = found.person or UNKNOWN
    if name.casefold() != UNKNOWN:
        return name
    return next(one.person_id for one in found.candidates if one.person == found.person)


@router.post("/v1/vision/face/register")
async def register(request: Request) -> Answer:
    """Enroll photos of a person."""
    form = await _form(request, "image")
    people = gallery_of(request, _caller(request, form, "enroll"), _token(request, form))
    name = readable_name(_person(form))
    photos = [one for several in form.photos.values() for one in several]
    if name.casefold() == UNKNOWN:  # clients compare in any case
        raise ProblemError(422, "option", f"the user id {UNKNOWN}", "it means nobody; use another")
    if not photos:
        _photo(form, "image")

    def enroll() -> dict[str, Any]:
        source = [(name, photo.getvalue(), photo.name) for photo in photos]
        rows = people.enroll(source).rows
        if not any(row.there for row in rows):
            why = "; ".join(for_clients(row.message or row.status) for row in rows)
            raise ProblemError(422, "nothing-enrolled", why, "")
        return {"message": "face added", "Message": "face added"}

    return await _answer(request, "register", enroll)


@router.post("/v1/vision/face/list")
async def registered(request: Request) -> Answer:
    """List the names of all people."""
    form = await _form(request)
    people = gallery_of(request, _caller(request, form, "enroll"), _token(request, form))
    return await _answer(
        request, "list", lambda: {"faces": [person.name for person in people.people()]}
    )


@router.post("/v1/vision/face/delete")
async def erase(request: Request) -> Answer:
    """Erase a person."""
    form = await _form(request)
    people = gallery_of(request, _caller(request, form, "enroll"), _token(request, form))
    name = _person(form)

    def remove() -> dict[str, Any]:
        if name not in people:
            raise ProblemError(404, "unknown-person", "no such user id", "the list has all")
        people.remove(name)
        return {}

    return await _answer(request, "delete", remove)


@router.post("/v1/vision/face/match")
async def match(request: Request) -> Answer:
    """Compare the largest faces of two photos."""
    form, service = await _form(request, "image1", "image2"), service_of(request)
    _caller(request, form, "verify")
    first, second = (_photo(form, name) for name in ("image1", "image2"))

    def ask() -> dict[str, Any]:
        answer = service.engine.verify(
            first, second, fmr=service.options.fmr, calibration=service.calibration_of("sface")
        )
        service.metrics.verified(answer)
        return {"similarity": similarity.deepstack(answer.score, threshold=answer.threshold)}

    return await _answer(request, "match", ask)


DIALECT: Final = Dialect(
    router=router,
    owns=lambda _method, path: path.startswith("/v1/vision/"),
    refuse=refuse,
)
