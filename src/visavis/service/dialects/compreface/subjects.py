"""Subjects: the people of the key's gallery."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request

from visavis.errors import PersonExistsError
from visavis.service import uploads
from visavis.service.dialects.access import readable_name
from visavis.service.dialects.compreface.answers import collection
from visavis.service.problems import ProblemError
from visavis.service.routes.common import Answer, service_of

router = APIRouter(tags=["compreface"])

_LONGEST: Final = 50
_REFUSED: Final = frozenset(";/\\")


class _Subject(msgspec.Struct):
    subject: str


def usable_subject(name: str) -> str:
    """Returns a name without blanks at its ends.

    Raises:
        ProblemError: it is empty, too long, no text, has one of the refused characters, or is ``.``
            or ``..``, which clients take out of a path: nobody could rename or erase them.
    """
    plain = readable_name(name)
    if plain in {".", ".."}:
        raise ProblemError(
            400, "option", f"the subject {plain}, which clients leave out of a path",
            "choose another name",
        )  # fmt: skip
    if not 0 < len(plain) <= _LONGEST or _REFUSED & {*plain}:
        raise ProblemError(
            400, "option", f"a subject's name of {len(plain)} characters",
            f"give 1 to {_LONGEST} characters, none of ; / \\",
        )  # fmt: skip
    return plain


def unknown(name: str) -> ProblemError:
    """Returns the problem with a subject that is not there."""
    return ProblemError(404, "unknown-person", f"Subject {name} not found", "")


async def _named(request: Request) -> str:
    body = await uploads.json_body(request)
    return usable_subject(uploads.decode(body, _Subject).subject)


@router.get("/api/v1/recognition/subjects")
async def subjects(request: Request) -> Answer:
    """List the names of all people."""
    people = collection(request, "enroll")
    found = await service_of(request).run(people.people)
    return Answer({"subjects": [person.name for person in found]})


@router.post("/api/v1/recognition/subjects")
async def add(request: Request) -> Answer:
    """Add a person without photos."""
    people = collection(request, "enroll")
    name = await _named(request)
    await service_of(request).run(people.store.add_person, name)
    return Answer({"subject": name}, status_code=201)


@router.put("/api/v1/recognition/subjects/{subject}")
async def rename(request: Request, subject: str) -> Answer:
    """Rename a person; somebody who has the new name already is merged with them."""
    people = collection(request, "enroll")
    name = await _named(request)

    def change() -> None:
        if subject not in people:
            raise unknown(subject)
        try:
            people.rename(subject, name)
        except PersonExistsError:
            people.merge(name, subject)

    await service_of(request).run(change)
    return Answer({"updated": True})


@router.delete("/api/v1/recognition/subjects")
async def erase_all(request: Request) -> Answer:
    """Erase all people."""
    people = collection(request, "enroll")

    def erase() -> int:
        known = people.info().people
        people.remove_faces([face.id for face in people.store.faces()], people=True)
        people.remove(*[person.name for person in people.people()])  # without faces
        return known

    return Answer({"deleted": await service_of(request).run(erase)})


@router.delete("/api/v1/recognition/subjects/{subject}")
async def erase(request: Request, subject: str) -> Answer:
    """Erase a person."""
    people = collection(request, "enroll")

    def remove() -> None:
        if subject not in people:
            raise unknown(subject)
        people.remove(subject)

    await service_of(request).run(remove)
    return Answer({"subject": subject})
