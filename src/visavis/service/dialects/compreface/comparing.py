"""Recognition, verification and detection, of photos and of templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Request

from visavis.errors import SeveralFacesError
from visavis.service import uploads
from visavis.service.dialects import similarity
from visavis.service.dialects.access import tell_fpir
from visavis.service.dialects.compreface.answers import (
    Faces,
    Options,
    caller,
    collection,
    similarities,
    versions,
)
from visavis.service.dialects.compreface.examples import stored
from visavis.service.problems import ProblemError
from visavis.service.routes.common import Answer, service_of
from visavis.service.state import Service
from visavis.types import Template, Vectors

if TYPE_CHECKING:
    from visavis.api.records import Identification

router = APIRouter(tags=["compreface"])

_Vector = Annotated[list[float], msgspec.Meta(min_length=1, max_length=4096)]


class _Embeddings(msgspec.Struct):
    embeddings: list[_Vector]


class _Sides(msgspec.Struct):
    source: _Vector
    targets: list[_Vector]


@router.post("/api/v1/recognition/recognize")
async def recognize(request: Request) -> Answer:
    """Name the closest people for each face of a photo, however low their similarity."""
    people, options, service = (
        collection(request, "identify"),
        Options.of(request),
        service_of(request),
    )
    form = await uploads.read(request, parts={"file": 1}, lenient=True)
    photo = form.one("file")
    data = photo.getvalue()

    def ask() -> dict[str, Any]:
        faces = Faces(service, options, photo)
        answer = people.identify(data, top=options.prediction_count, **service.search)
        service.metrics.identified(answer)
        tell_fpir(request.state, answer.faces[0].threshold)
        known = people.recognizer()
        templates = known.embed(data, rule="all") if "calculator" in options.plugins else ()
        by_box = {one.face.box: one for one in templates}
        told = [
            faces.told(one.face, quality=one.quality, template=by_box.get(one.face.box))
            | {"subjects": _subjects(one, options.prediction_count)}
            for one in options.limited(answer.faces)
        ]
        return {"result": told, **versions(options, known.model)}

    return Answer(await service.run(ask))


def _subjects(found: Identification, most: int) -> list[dict[str, Any]]:
    if found.threshold is None:
        return []
    first, threshold = found.candidates[0], found.threshold.threshold
    # During a change of models candidates of the other one have scores of another kind.
    return [
        {
            "subject": one.person,
            "similarity": similarity.compreface(one.score, threshold=threshold),
        }
        for one in found.candidates[:most]
        if one.model == first.model
    ]


@router.post("/api/v1/recognition/faces/{image_id}/verify")
async def verify_example(request: Request, image_id: str) -> Answer:
    """Compare the faces of a photo with a stored one."""
    people, options, service = (
        collection(request, "identify"),
        Options.of(request),
        service_of(request),
    )
    form = await uploads.read(request, parts={"file": 1}, lenient=True)
    photo = form.one("file")
    data = photo.getvalue()

    def ask() -> dict[str, Any]:
        number, person = stored(people, image_id)
        example, faces = people.store.face(number), Faces(service, options, photo)
        templates = options.limited(service.engine.embed(data, faces="all", model=example.model))
        numbers = similarities(service, example.vector, templates, example.model)
        told = [
            faces.told(one.face, template=one) | {"similarity": value, "subject": person}
            for one, value in zip(templates, numbers, strict=True)
        ]
        return {"result": told, **versions(options, example.model)}

    return Answer(await service.run(ask))


@router.post("/api/v1/verification/verify")
async def verify(request: Request) -> Answer:
    """Compare the only face of a photo with those of another."""
    caller(request, "verify")
    options, service = Options.of(request), service_of(request)
    form = await uploads.read(request, parts={"source_image": 1, "target_image": 1}, lenient=True)
    first, second = form.one("source_image"), form.one("target_image")

    def ask() -> dict[str, Any]:
        sources, targets = Faces(service, options, first), Faces(service, options, second)
        source = _only_face(service, first.getvalue(), options)
        others = options.limited(service.engine.embed(second.getvalue(), faces="all"))
        numbers = similarities(service, source.vector, others, source.model)
        matches = [
            targets.told(one.face, template=one) | {"similarity": value}
            for one, value in zip(others, numbers, strict=True)
        ]
        matches.sort(key=lambda one: -one["similarity"])
        told = {
            "source_image_face": sources.told(source.face, template=source),
            "face_matches": matches,
            **versions(options, source.model),
        }
        return {"result": [told]}

    return Answer(await service.run(ask))


def _only_face(service: Service, photo: bytes, options: Options) -> Template:
    """Returns the template of a photo of one face.

    Raises:
        NoFaceError, SeveralFacesError: there is none, or more than one.
    """
    try:
        found = service.engine.embed(photo, faces="refuse")
    except SeveralFacesError:
        found = options.confident(service.engine.embed(photo, faces="all"))
        if len(found) > 1:
            raise
    return options.confident(found)[0]


@router.post("/api/v1/detection/detect")
async def detect(request: Request) -> Answer:
    """Detect the faces of a photo, the largest first."""
    caller(request, "verify")
    options, service = Options.of(request), service_of(request)
    form = await uploads.read(request, parts={"file": 1}, lenient=True)
    photo = form.one("file")
    data = photo.getvalue()

    def ask() -> dict[str, Any]:
        faces = Faces(service, options, photo)
        if options.embeds:
            templates = options.limited(service.engine.embed(data, faces="all"))
            told = [faces.told(one.face, template=one) for one in templates]
            return {"result": told, **versions(options, templates[0].model)}
        told = [faces.told(one) for one in options.limited(service.engine.detect(data))]
        return {"result": told, **versions(options)}

    return Answer(await service.run(ask))


@router.post("/api/v1/recognition/embeddings/recognize")
async def recognize_templates(request: Request) -> Answer:
    """Name the closest people for each template."""
    people, options, service = (
        collection(request, "identify"),
        Options.of(request),
        service_of(request),
    )
    given = uploads.decode(await uploads.json_body(request), _Embeddings).embeddings

    def ask() -> dict[str, Any]:
        vectors = _unit(service, given)
        identifier = people.identifier(
            top=options.prediction_count, model=people.recognizer().model, **service.search
        )
        matches = identifier.match(vectors)
        tell_fpir(request.state, matches[0].point if matches else None)
        found = [
            [
                {
                    "subject": person.person,
                    "similarity": similarity.compreface(
                        person.score, threshold=one.point.threshold
                    ),
                }
                for person in one.candidates[: options.prediction_count]
            ]
            for one in matches
        ]
        if not matches:
            found = [[] for _ in given]
        return {
            "result": [
                {"embedding": one, "similarities": people}
                for one, people in zip(given, found, strict=True)
            ]
        }

    return Answer(await service.run(ask))


@router.post("/api/v1/recognition/embeddings/faces/{image_id}/verify")
async def verify_example_template(request: Request, image_id: str) -> Answer:
    """Compare templates with a stored face."""
    people, service = collection(request, "identify"), service_of(request)
    given = uploads.decode(await uploads.json_body(request), _Embeddings).embeddings

    def ask() -> dict[str, Any]:
        number, _ = stored(people, image_id)
        example = people.store.face(number)
        return _compared(service, example.vector, given, example.model)

    return Answer(await service.run(ask))


@router.post("/api/v1/verification/embeddings/verify")
async def verify_templates(request: Request) -> Answer:
    """Compare a template with others."""
    caller(request, "verify")
    service = service_of(request)
    sides = uploads.decode(await uploads.json_body(request), _Sides)

    def ask() -> dict[str, Any]:
        source = _unit(service, [sides.source])[0]
        return _compared(service, source, sides.targets, "sface")

    return Answer(await service.run(ask))


def _compared(
    service: Service, source: Vectors, given: Sequence[Sequence[float]], model: str
) -> dict[str, Any]:
    numbers = similarities(service, source, _unit(service, given), model)
    return {
        "result": [
            {"embedding": one, "similarity": value}
            for one, value in zip(given, numbers, strict=True)
        ]
    }


def _unit(service: Service, given: Sequence[Sequence[float]]) -> Vectors:
    """Returns templates as ``(N, D)`` float32 of unit length.

    Raises:
        ProblemError: there is none, they are too many, or differ in length, or have none.
    """
    import numpy as np

    most = service.options.photos
    if not 0 < len(given) <= most or len({*map(len, given)}) > 1:
        raise ProblemError(
            400, "embeddings", f"{len(given)} embeddings", f"send 1 to {most}, of one length"
        )
    vectors = np.asarray(given, np.float64)
    with np.errstate(over="ignore"):  # to infinity, which is refused
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ProblemError(
            400, "embeddings", "an embedding without a direction", "send one of the calculator"
        )
    return np.asarray(vectors / lengths, np.float32)
