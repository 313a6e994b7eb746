"""Examples: the stored faces of the key's gallery. An ``image_id`` is a face's number."""

from __future__ import annotations

import hashlib
import math
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from visavis.errors import GalleryError
from visavis.service import uploads
from visavis.service.dialects.access import caller_with, gallery_of
from visavis.service.dialects.compreface.answers import HOW, Options, collection, number
from visavis.service.dialects.compreface.subjects import usable_subject
from visavis.service.dialects.ids import face_number, face_uuid
from visavis.service.problems import ProblemError, for_clients
from visavis.service.routes.common import Answer, service_of
from visavis.service.state import Service
from visavis.service.uploads import Photo

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery
    from visavis.api.records import EnrollRow

router = APIRouter(tags=["compreface"])

_PAGE: Final = 20
_LARGEST_PAGE: Final = 1000
_REASONS: Final = {
    "no-face": "no-face",
    "several-faces": "several-faces",
    "low-quality": "low-quality",
    "unusable-name": "option",
}
"""Reason of a problem by the status of a photo that was not enrolled."""

_Ids = Annotated[list[str], msgspec.Meta(max_length=10_000)]


@router.post("/api/v1/recognition/faces")
async def add(request: Request) -> Answer:
    """Enroll a photo of a person, who is added if they are new."""
    people, options, service = (
        collection(request, "enroll"),
        Options.of(request),
        service_of(request),
    )
    if "subject" not in request.query_params:
        raise ProblemError(400, "missing-option", "no subject", "send ?subject=NAME")
    name = usable_subject(request.query_params["subject"])
    form = await uploads.read(request, parts={"file": 1}, lenient=True)
    face = await service.run(enroll, service, people, name, form.one("file"), options)
    return Answer({"image_id": face_uuid(face), "subject": name}, status_code=201)


def enroll(service: Service, people: Gallery, name: str, photo: Photo, options: Options) -> int:
    """Enrolls a photo; returns the number of the face, of an earlier one for the same photo.

    Raises:
        ProblemError: it was not enrolled.
    """
    data = photo.getvalue()
    rule = _rule(service, data, options)
    row: EnrollRow = people.enroll([(name, data, photo.name)], faces=rule).rows[0]
    if row.status == "already-enrolled":
        digest = hashlib.sha256(data).hexdigest()
        return next(one.id for one in people.faces(name) if one.photo_sha256 == digest)
    if row.face is None:
        raise ProblemError(
            422, _REASONS.get(row.status, "not-an-image"), for_clients(row.message or ""), ""
        )
    return row.face


def _rule(service: Service, data: bytes, options: Options) -> str:
    """Returns which face to enroll where the client sets how sure the detector must be."""
    if not options.det_prob_threshold:
        return "refuse"
    found = service.engine.detect(data)
    sure = options.confident(found)
    return "largest" if len(sure) == 1 and sure[0] is found[0] else "refuse"


@router.get("/api/v1/recognition/faces")
async def examples(request: Request) -> Answer:
    """List stored faces, a page at a time."""
    people, asked = collection(request, "enroll"), request.query_params
    page = number(asked.get("page"), "page", least=0, default=0)
    size = min(number(asked.get("size"), "size", least=1, default=_PAGE), _LARGEST_PAGE)
    subject = asked.get("subject")

    def look() -> dict[str, Any]:
        if subject and subject not in people:
            total, found = 0, []
        else:
            counts = people.person(subject).faces if subject else people.info().faces
            total = sum(counts.values())
            every = people.store.faces(person=subject or None)
            found = list(islice(every, page * size, (page + 1) * size))
        return {
            "faces": [{"image_id": face_uuid(one.id), "subject": one.person} for one in found],
            "page_number": page,
            "page_size": size,
            "total_pages": math.ceil(total / size),
            "total_elements": total,
        }

    return Answer(await service_of(request).run(look))


@router.delete("/api/v1/recognition/faces")
async def erase_all(request: Request) -> Answer:
    """Erase the faces of a person, or of everybody; the people stay."""
    people, subject = collection(request, "enroll"), request.query_params.get("subject")

    def erase() -> int:
        if subject and subject not in people:
            return 0
        return people.remove_faces([one.id for one in people.store.faces(person=subject or None)])

    return Answer({"deleted": await service_of(request).run(erase)})


@router.post("/api/v1/recognition/faces/delete")
async def erase_some(request: Request) -> Answer:
    """Erase faces by id; those that are not there are left out of the answer."""
    people = collection(request, "enroll")
    wanted = uploads.decode(await uploads.json_body(request), _Ids)

    def erase() -> list[dict[str, str]]:
        found = []
        for one in dict.fromkeys(wanted):
            try:
                found.append((one, *stored(people, one)))
            except ProblemError:
                continue
        people.remove_faces([face for _, face, _ in found])
        return [{"image_id": one, "subject": person} for one, _, person in found]

    return Answer(await service_of(request).run(erase))


@router.delete("/api/v1/recognition/faces/{image_id}")
async def erase(request: Request, image_id: str) -> Answer:
    """Erase a face."""
    people = collection(request, "enroll")

    def remove() -> str:
        face, person = stored(people, image_id)
        people.remove_faces([face])
        return person

    person = await service_of(request).run(remove)
    return Answer({"image_id": image_id, "subject": person})


@router.get("/api/v1/recognition/faces/{image_id}/img")
async def image(request: Request, image_id: str) -> Response:
    """Return the stored crop of a face; nothing where none is stored."""
    return await _crop(request, collection(request, "enroll"), image_id)


@router.get("/static/{api_key}/images/{image_id}")
async def static_image(request: Request, api_key: str, image_id: str) -> Response:
    """Return the stored crop of a face, for clients that send the key in the path."""
    people = gallery_of(request, caller_with(request, api_key, "enroll", how=HOW), api_key)
    return await _crop(request, people, image_id)


async def _crop(request: Request, people: Gallery, image_id: str) -> Response:
    def read() -> bytes:
        face, _ = stored(people, image_id)
        return people.store.crop(face) or b""

    return Response(await service_of(request).run(read), media_type="image/png")


def stored(people: Gallery, image_id: str) -> tuple[int, str]:
    """Returns number and person of a stored face.

    Raises:
        ProblemError: there is no such face.
    """
    face = face_number(image_id)
    try:
        if face is not None:
            return face, people.store.face(face).person
    except GalleryError:
        pass
    raise ProblemError(404, "unknown-face", f"Image {image_id} not found", "")
