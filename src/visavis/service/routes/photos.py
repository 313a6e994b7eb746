"""Compare, detect, embed, identify: one request, one answer, nothing kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from visavis.api.photos import DetectedPhoto
from visavis.errors import VisavisError
from visavis.service import uploads
from visavis.service.problems import for_clients, row_for_clients
from visavis.service.routes.common import (
    ANY_SCOPE,
    Aligned,
    Answer,
    Calibration,
    Flip,
    GalleryName,
    Model,
    Rate,
    described,
    needs,
    photos,
    schema,
    service_of,
)
from visavis.service.state import Caller, Service
from visavis.service.uploads import Photo

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery
    from visavis.api.records import IdentifiedPhoto, PhotoResult

router = APIRouter(tags=["photos"])

Rule = Annotated[
    Literal["largest", "central", "clear", "best-match", "refuse"],
    Query(description="Which face to use where a photo has several."),
]
EmbedRule = Annotated[
    Literal["all", "largest", "central", "clear", "refuse"],
    Query(description="Which faces to embed where a photo has several."),
]
IdentifyRule = Annotated[
    Literal["all", "largest", "central", "refuse"],
    Query(description="Which faces to identify where a photo has several."),
]
MostFaces = Annotated[
    int | None, Query(ge=1, le=10_000, description="Return only so many, the largest.")
]
Prior = Annotated[
    float | None,
    Query(gt=0, lt=1, description="Your prior probability of the same person, in (0, 1)."),
]
Fpir = Annotated[
    float | None,
    Query(
        gt=0,
        lt=1,
        description="Accepted false positive identification rate, in (0, 1). Left out: 0.01, or "
        "the lowest rate that the data support.",
        examples=[0.01],
    ),
]
Top = Annotated[int, Query(ge=1, le=100, description="Candidates per face.")]
Fusion = Annotated[
    Literal["weighted", "mean", "max"], Query(description="How a person's scores are combined.")
]
Calibrations = Annotated[
    list[str], Query(description="Names of calibrations, at most one a model.")
]
Models = Annotated[
    str | None, Query(description="Use the templates of this model only; all if left out.")
]


@router.post("/v1/verify", **described(schema("Verification"), body=photos({"a": 1, "b": 1})))
async def verify(
    request: Request,
    caller: Annotated[Caller, needs("verify")],
    fmr: Rate = 1e-3,
    faces: Rule = "largest",
    prior: Prior = None,
    model: Model = "sface",
    calibration: Calibration = None,
    aligned: Aligned = False,
    flip: Flip = False,
) -> Answer:
    """Decide whether photos ``a`` and ``b`` show the same person."""
    service = service_of(request)
    service.require_calibration(calibration, caller)
    form = await uploads.read(request, parts={"a": 1, "b": 1})
    answer = await service.run(
        service.engine.verify, form.one("a"), form.one("b"), fmr=fmr, faces=faces, prior=prior,
        model=model, calibration=calibration, aligned=aligned, flip=flip,
    )  # fmt: skip
    service.metrics.verified(answer)
    return Answer(answer)


@router.post("/v1/detect", **described(schema("DetectedPhoto"), body=photos({"photo": 1})))
async def detect(
    request: Request, caller: Annotated[Caller, needs("verify")], limit: MostFaces = None
) -> Answer:
    """Detect the faces of a photo, largest first."""
    service = service_of(request)
    form = await uploads.read(request, parts={"photo": 1})
    faces = await service.run(service.engine.detect, form.one("photo"))
    return Answer(DetectedPhoto("photo", tuple(faces[:limit])))


@router.post("/v1/embed", **described(schema("PhotoResult"), body=photos({"photo": 1})))
async def embed(
    request: Request,
    caller: Annotated[Caller, needs("verify")],
    faces: EmbedRule = "largest",
    model: Model = "sface",
    aligned: Aligned = False,
    flip: Flip = False,
) -> Answer:
    """Return the templates of the faces of a photo."""
    service = service_of(request)
    form = await uploads.read(request, parts={"photo": 1})
    options = {"model": model, "aligned": aligned, "flip": flip}
    return Answer(await service.run(_embedded, service, form.one("photo"), faces, options))


@router.post("/v1/identify", **described(schema("IdentifiedPhoto"), body=photos({"photo": 1})))
async def identify(
    request: Request,
    caller: Annotated[Caller, needs("identify")],
    gallery: GalleryName = None,
    fpir: Fpir = None,
    top: Top = 5,
    faces: IdentifyRule = "all",
    fusion: Fusion = "weighted",
    model: Models = None,
    calibrations: Calibrations = [],  # noqa: B006  # never changed
    aligned: Aligned = False,
    flip: Flip = False,
) -> Answer:
    """Identify the faces in a photo; ``person`` is null for somebody nobody enrolled."""
    service = service_of(request)
    _, people = service.gallery(gallery, caller)
    for name in calibrations:
        service.require_calibration(name, caller)
    form = await uploads.read(request, parts={"photo": 1})
    answer = await service.run(
        people.identify, form.one("photo"), fpir=fpir, top=top, faces=faces, fusion=fusion,
        model=model, calibrations=tuple(calibrations), aligned=aligned, flip=flip,
        audit=service.options.audit,
    )  # fmt: skip
    service.metrics.identified(answer)
    return Answer(answer)


@router.post(
    "/v1/batch",
    **described(
        {
            "type": "object",
            "properties": {
                "rows": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            schema("DetectedPhoto"),
                            schema("PhotoResult"),
                            schema("IdentifiedPhoto"),
                        ]
                    },
                }
            },
            "required": ["rows"],
        },
        body=photos({"photo": 100}),
    ),
)
async def batch(
    request: Request,
    caller: Annotated[Caller, needs(ANY_SCOPE)],
    task: Annotated[
        Literal["detect", "embed", "identify"], Query(description="What to do with each photo.")
    ] = "embed",
    faces: Annotated[
        Literal["all", "largest", "central", "refuse"], Query(description="Which faces to use.")
    ] = "all",
    gallery: GalleryName = None,
    fpir: Fpir = None,
    top: Top = 5,
    model: Models = None,
    aligned: Aligned = False,
    flip: Flip = False,
) -> Answer:
    """Treat many photos, in order; a photo that cannot be read is a row with its reason."""
    service = service_of(request)
    people: Gallery | None = None
    caller.require("identify" if task == "identify" else "verify")
    if task == "identify":
        _, people = service.gallery(gallery, caller)
    form = await uploads.read(request, parts={"photo": service.options.photos})
    options: dict[str, Any] = {"aligned": aligned, "flip": flip}
    if people is not None:
        options |= {"fpir": fpir, "top": top, "model": model, "audit": service.options.audit}
        call: Callable[..., Sequence[Any]] = _identified
    elif task == "embed":
        options |= {"model": model or "sface"}
        call = _embedded_many
    else:
        call, options = _detected_many, {}
    rows = await service.run(call, people or service, form.photos["photo"], faces, options)
    if people is not None:
        for row in rows:
            service.metrics.identified(row)
    return Answer({"rows": rows})


def _embedded(
    service: Service, photo: Photo, faces: str, options: dict[str, Any]
) -> dict[str, Any]:
    digest = hashlib.sha256(photo.getbuffer()).hexdigest()
    templates = service.engine.embed(photo, faces=faces, **options)
    return {
        "photo": photo.name, "templates": templates, "reason": None, "message": None,
        "sha256": digest,
    }  # fmt: skip


def _embedded_many(
    service: Service, given: Sequence[Photo], faces: str, options: dict[str, Any]
) -> list[PhotoResult]:
    known = service.engine.recognizer(**options)
    found = known.embed_many(given, names=[photo.name for photo in given], rule=faces)
    return [row_for_clients(row) for row in found]


def _detected_many(
    service: Service, given: Sequence[Photo], _faces: str, _options: dict[str, Any]
) -> list[DetectedPhoto]:
    rows = []
    for photo in given:
        try:
            rows.append(DetectedPhoto(photo.name, tuple(service.engine.detect(photo))))
        except VisavisError as error:
            message = for_clients(str(error))
            rows.append(DetectedPhoto(photo.name, (), error.reason, message))
    return rows


def _identified(
    people: Gallery, given: Sequence[Photo], faces: str, options: dict[str, Any]
) -> list[IdentifiedPhoto]:
    names = [photo.name for photo in given]
    found = people.identify_many(given, names=names, faces=faces, **options)
    return [row_for_clients(row) for row in found]
