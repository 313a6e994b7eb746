"""Jobs: what they take, how far they are, what they made."""

from __future__ import annotations

import shutil
from pathlib import Path as Folder
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from visavis.api.albums import PhotoAlbum
from visavis.service import uploads
from visavis.service.jobs import Job
from visavis.service.problems import ProblemError
from visavis.service.routes.common import (
    Answer,
    described,
    needs,
    nothing,
    schema,
    service_of,
)
from visavis.service.state import Caller, Service
from visavis.service.uploads import Form, Photo

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(description="Id of a job.")]


@router.get(
    "/v1/jobs",
    **described(
        {
            "type": "object",
            "properties": {"jobs": {"type": "array", "items": schema("Job")}},
            "required": ["jobs"],
        }
    ),
)
async def jobs(request: Request, caller: Annotated[Caller, needs("verify")]) -> Answer:
    """List the jobs of this key."""
    own = service_of(request).jobs.of(caller.id)
    return Answer({"jobs": [job.to_dict() for job in own]})


@router.get(
    "/v1/jobs/{job}",
    **described(
        {
            "type": "object",
            "properties": {"job": schema("Job"), "result": {"type": ["object", "null"]}},
            "required": ["job", "result"],
        }
    ),
)
async def show(request: Request, caller: Annotated[Caller, needs("verify")], job: JobId) -> Answer:
    """Show progress and result of a job; /v1/cluster/{job} has that of a sorted collection."""
    found = service_of(request).jobs.get(job, caller.id)
    result = None if isinstance(found.result, PhotoAlbum) else found.result
    return Answer({"job": found.to_dict(), "result": result})


@router.delete("/v1/jobs/{job}", **described(None, status=204))
async def cancel(
    request: Request, caller: Annotated[Caller, needs("verify")], job: JobId
) -> Response:
    """Cancel a job and erase its files."""
    service = service_of(request)
    found = service.jobs.get(job, caller.id)
    await service.run(service.jobs.delete, found)
    return nothing()


async def receive(request: Request, service: Service, kind: str, caller: Caller) -> Job:
    """Makes a job of the photos in a request's body, which are written to its private folder.

    Raises:
        BusyError: too many jobs.
        ProblemError: no photos, or too many.
    """
    most = service.options.job_photos
    form = await uploads.read(
        request, parts={"photo": most, "archive": 1}, optional=["photo", "archive"]
    )
    if not form.photos:
        raise ProblemError(
            422, "missing-part", "the body has no photos", "send photo parts, or one zip as archive"
        )
    job = service.jobs.create(kind, caller.id)
    try:
        await service.run(_write, service, job, form)
    except BaseException:
        service.jobs.delete(job)
        raise
    return job


def started(job: Job, place: str) -> Response:
    """Returns the answer to a request that made a job."""
    return Answer(job.to_dict(), status_code=202, headers={"Location": place})


def erase_photos(job: Job) -> None:
    """Erases the photos of a job that has read them."""
    shutil.rmtree(job.folder / "photos", ignore_errors=True)


def _write(service: Service, job: Job, form: Form) -> None:
    options = service.options
    folder = job.folder / "photos"
    folder.mkdir(mode=0o700)
    given = list(form.photos.get("photo", ()))
    taken: set[str] = set()
    for photo in given:
        _write_one(folder / uploads.file_name(photo, len(taken) + 1, taken), photo)
    for archive in form.photos.get("archive", ()):
        inside = uploads.unzipped(
            archive,
            most=options.job_photos - len(given),
            most_bytes=5 * options.body_bytes,
            each=options.photo_bytes,
        )
        for photo in inside:
            _write_one(folder / uploads.file_name(photo, len(taken) + 1, taken), photo)
    if not taken:
        raise ProblemError(422, "archive", "the archive has no files", "send photos")


def _write_one(path: Folder, photo: Photo) -> None:
    path.touch(mode=0o600)
    path.write_bytes(photo.getbuffer())
