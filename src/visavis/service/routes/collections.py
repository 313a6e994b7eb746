"""Photos sorted by person: a job with progress, whose result can be corrected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from visavis.api.albums import PhotoAlbum, cluster
from visavis.service import uploads
from visavis.service.jobs import Job
from visavis.service.problems import ProblemError, for_clients
from visavis.service.routes.common import (
    Answer,
    Calibration,
    Flip,
    GalleryName,
    Model,
    described,
    needs,
    nothing,
    photos,
    schema,
    service_of,
)
from visavis.service.routes.jobs import JobId, receive, started
from visavis.service.state import Caller

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery

router = APIRouter(tags=["cluster"])

_ALBUM = {
    "type": "object",
    "properties": {
        "job": schema("Job"),
        "album": {
            "type": ["object", "null"],
            "description": "what clusters.json of `visavis cluster` holds; null until it is done",
        },
        "corrections": {"type": "array", "items": schema("CorrectionRow")},
    },
    "required": ["job", "album", "corrections"],
}


class Merge(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="merge"):
    """Clusters of one person, by number or name; the first keeps its number."""

    clusters: list[int | str]


class Split(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="split"):
    """Faces of a cluster that are one other person."""

    cluster: int | str
    faces: list[str]


class Move(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="move"):
    """Faces that belong to another cluster."""

    faces: list[str]
    to: int | str


class NotAFace(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="not-a-face"):
    """False detections."""

    faces: list[str]


class Name(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="name"):
    """A cluster's name; empty to remove it."""

    cluster: int | str
    name: str


class Undo(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="undo"):
    """The last correction is undone."""


Correction = Merge | Split | Move | NotAFace | Name | Undo

(_CORRECTION,), _COMPONENTS = msgspec.json.schema_components(
    (Correction,), ref_template="#/components/schemas/{name}Correction"
)
SCHEMAS = {f"{name}Correction": one for name, one in _COMPONENTS.items()}


@router.post(
    "/v1/cluster",
    **described(
        schema("Job"), status=202,
        body=photos({"photo": 2000, "archive": 1}, optional=["photo", "archive"]),
        links={
            "job=$response.body#/id": (
                "cluster_show", "cluster_correct", "cluster_erase", "jobs_show", "jobs_cancel",
            )
        },
    ),
)  # fmt: skip
async def sort(
    request: Request,
    caller: Annotated[Caller, needs("verify")],
    false_merge: Annotated[
        float,
        Query(gt=0, lt=1, description="Accepted share of faces in the cluster of another person."),
    ] = 0.01,
    same_photo: Annotated[
        bool, Query(description="Two faces of one photo are two people; false for collages.")
    ] = True,
    gallery: GalleryName = None,
    fpir: Annotated[
        float | None,
        Query(gt=0, lt=1, description="With gallery: accepted share of strangers that it names."),
    ] = None,
    model: Model = "sface",
    calibration: Calibration = None,
    flip: Flip = False,
) -> Response:
    """Sort photos, or the photos of a zip archive, by person; with a gallery, name people."""
    service = service_of(request)
    people: Gallery | None = None
    if gallery is not None:
        caller.require("identify")
        _, people = service.gallery(gallery, caller)
    service.require_calibration(calibration, caller)
    job = await receive(request, service, "cluster", caller)
    options: dict[str, Any] = {
        "false_merge": false_merge, "same_photo": same_photo,
        "gallery": people, "fpir": fpir, "model": model, "calibration": calibration, "flip": flip,
        "home": service.options.home,
    }  # fmt: skip
    service.jobs.start(job, lambda running: _sorted(running, options))
    return started(job, f"/v1/cluster/{job.id}")


@router.get("/v1/cluster/{job}", **described(_ALBUM))
async def show(request: Request, caller: Annotated[Caller, needs("verify")], job: JobId) -> Answer:
    """Show progress, and in the end clusters and faces."""
    service = service_of(request)
    found = service.jobs.get(job, caller.id)

    def look() -> dict[str, Any]:
        if not isinstance(found.result, PhotoAlbum):
            return {"job": found.to_dict(), "album": None, "corrections": []}
        with _result(found) as album:
            plain = album.record.to_dict()
            root = plain["settings"]["root"]  # a folder of this machine
            plain["settings"]["root"] = ""
            for photo in plain["photos"]:
                told = photo["message"] and photo["message"].replace(f"{root}/", "")
                photo["message"] = told and for_clients(told)
            return {"job": found.to_dict(), "album": plain, "corrections": album.corrections()}

    return Answer(await service.run(look))


@router.post(
    "/v1/cluster/{job}/corrections",
    **described(schema("CorrectionResult"), body=_CORRECTION),
)
async def correct(
    request: Request, caller: Annotated[Caller, needs("verify")], job: JobId
) -> Answer:
    """Merge, split, move, name, remove a false detection, or undo the last correction."""
    service = service_of(request)
    found = service.jobs.get(job, caller.id)
    wanted: Correction = uploads.decode(await uploads.json_body(request), Correction)

    def apply() -> Any:
        with _result(found) as album:
            match wanted:
                case Merge():
                    return album.merge(*wanted.clusters)
                case Split():
                    return album.split(wanted.cluster, *wanted.faces)
                case Move():
                    return album.move(*wanted.faces, to=wanted.to)
                case NotAFace():
                    return album.not_a_face(*wanted.faces)
                case Name():
                    return album.name(wanted.cluster, wanted.name)
                case Undo():
                    return album.undo()

    return Answer(await service.run(apply))


@router.delete("/v1/cluster/{job}", **described(None, status=204))
async def erase(
    request: Request, caller: Annotated[Caller, needs("verify")], job: JobId
) -> Response:
    """Cancel the job and erase its photos and results."""
    service = service_of(request)
    found = service.jobs.get(job, caller.id)
    await service.run(service.jobs.delete, found)
    return nothing()


def _sorted(job: Job, options: dict[str, Any]) -> PhotoAlbum:
    return cluster(
        job.folder / "photos", out=job.folder / "out", cache=False, pictures=False, workers=1,
        threads=1, progress=job.update, **options,
    )  # fmt: skip


@contextmanager
def _result(job: Job) -> Iterator[PhotoAlbum]:
    if not isinstance(job.result, PhotoAlbum) or job.state != "done":
        raise ProblemError(409, "not-done", f"the job is {job.state}", "wait until it is done")
    with job.lock:
        yield job.result
