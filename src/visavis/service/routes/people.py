"""People of a gallery: enroll, list, change, merge, split, erase.

A path names a person by the opaque id, which a rename keeps: names may contain any character, and
logs of proxies keep paths.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from visavis.errors import PersonExistsError
from visavis.service import uploads
from visavis.service.problems import ProblemError, row_for_clients
from visavis.service.routes.common import (
    Answer,
    Flip,
    GalleryName,
    described,
    needs,
    nothing,
    photos,
    schema,
    service_of,
)
from visavis.service.state import Caller
from visavis.service.uploads import Form

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery

router = APIRouter(tags=["people"])

PersonId = Annotated[str, Path(description="Opaque id of a person, as /v1/people gives it.")]
FaceRule = Annotated[
    Literal["refuse", "clear", "largest", "central"],
    Query(description="Which face to use where a photo has several."),
]
MinQuality = Annotated[
    float | None, Query(ge=0, le=1, description="Lowest quality score of a face; 0.6 if left out.")
]
KeepCrops = Annotated[
    bool, Query(description="Store the face crops, so that the model can be changed later.")
]
Expire = Annotated[
    str | None, Query(description="Expiry of the faces: 90d, 12h, 2w, or a date.", examples=["90d"])
]
Fpir = Annotated[
    float,
    Query(gt=0, lt=1, description="Accepted rate of false warnings that somebody looks alike."),
]

_LIST = {
    "type": "object",
    "properties": {
        "people": {"type": "array", "items": schema("Person")},
        "next": {"type": ["integer", "null"], "description": "offset of the next page"},
    },
    "required": ["people", "next"],
}
_ENROLLED = {
    "type": "object",
    "properties": {
        "person": schema("Person"),
        "rows": {"type": "array", "items": schema("EnrollRow")},
    },
    "required": ["person", "rows"],
}


_OF_PERSON: Final = (
    "people_show", "people_change", "people_faces_of", "people_add_photos", "people_suggest_splits",
    "people_split", "people_merge", "people_erase",
)  # fmt: skip


class ChangePerson(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of a person; what is left out stays."""

    name: str | UnsetType = UNSET
    attributes: dict[str, Any] | UnsetType = UNSET
    expires: str | UnsetType | None = UNSET


class MergePeople(msgspec.Struct, forbid_unknown_fields=True):
    """People who are the same person: their ids."""

    others: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)]


class SplitPerson(msgspec.Struct, forbid_unknown_fields=True):
    """Faces that are another person, by number, and that person's name."""

    faces: Annotated[list[int], msgspec.Meta(min_length=1, max_length=10_000)]
    into: str


_BODIES, SCHEMAS = msgspec.json.schema_components(
    (ChangePerson, MergePeople, SplitPerson), ref_template="#/components/schemas/{name}"
)
_CHANGE, _MERGE, _SPLIT = _BODIES


@router.get("/v1/people", **described(_LIST))
async def people(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    gallery: GalleryName = None,
    name: Annotated[
        str | None, Query(max_length=200, description="Only the person of this name.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=10**9, description="People to leave out.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most people.")] = 100,
) -> Answer:
    """List people by name."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)

    def look() -> dict[str, Any]:
        if name is not None:
            return {"people": [opened.person(name)] if name in opened else [], "next": None}
        found = list(islice(opened.store.people(), offset, offset + limit + 1))
        more = len(found) > limit
        return {"people": found[:limit], "next": offset + limit if more else None}

    return Answer(await service.run(look))


@router.post(
    "/v1/people",
    **described(
        _ENROLLED,
        status=201,
        body=photos({"photo": 100}, ["name"]),
        links={"person=$response.body#/person/id": _OF_PERSON},
    ),
)
async def add(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    gallery: GalleryName = None,
    faces: FaceRule = "refuse",
    min_quality: MinQuality = None,
    keep_crops: KeepCrops = False,
    expire: Expire = None,
    fpir: Fpir = 0.01,
    flip: Flip = False,
) -> Response:
    """Enroll a new person from photos; each photo has a row with its verdict."""
    service = service_of(request)
    called, opened = service.gallery(gallery, caller)
    form = await uploads.read(request, parts={"photo": service.options.photos}, texts=["name"])
    options = {
        "faces": faces, "min_quality": min_quality, "keep_crops": keep_crops,
        "expire": expire, "fpir": fpir, "flip": flip,
    }  # fmt: skip

    def enroll() -> dict[str, Any]:
        if form.texts["name"] in opened:
            raise PersonExistsError(
                f"'{form.texts['name']}' is enrolled already", "POST more photos to their id"
            )
        return _enrolled(opened, form, form.texts["name"], options)

    answer = await service.run(enroll)
    place = f"/v1/people/{answer['person'].id}?gallery={called}"
    return Answer(answer, status_code=201, headers={"Location": place})


@router.get("/v1/people/{person}", **described(schema("Person")))
async def show(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Answer:
    """Show a person."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    return Answer(await service.run(lambda: opened.person(opened.name_of(person))))


@router.patch("/v1/people/{person}", **described(schema("Person"), body=_CHANGE))
async def change(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Answer:
    """Rename a person, replace the attributes, or set the expiry of all faces."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    wanted: ChangePerson = await _body(request, ChangePerson)

    def apply() -> Any:
        name = opened.name_of(person)
        if wanted.attributes is not UNSET:
            opened.set_attributes(name, wanted.attributes)
        if wanted.expires is not UNSET:
            opened.set_expiry(name, wanted.expires)
        if wanted.name is not UNSET:
            opened.rename(name, wanted.name)
        return opened.person(opened.name_of(person))

    return Answer(await service.run(apply))


@router.delete("/v1/people/{person}", **described(None, status=204))
async def erase(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Response:
    """Erase a person from all files of the gallery."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    await service.run(lambda: opened.remove(opened.name_of(person)))
    return nothing()


@router.get(
    "/v1/people/{person}/photos",
    **described(
        {
            "type": "object",
            "properties": {"faces": {"type": "array", "items": schema("StoredFace")}},
            "required": ["faces"],
        }
    ),
)
async def faces_of(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Answer:
    """List a person's faces: number, photo, model, quality, expiry."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    return Answer({"faces": await service.run(lambda: opened.faces(opened.name_of(person)))})


@router.post(
    "/v1/people/{person}/photos",
    **described(_ENROLLED, status=201, body=photos({"photo": 100})),
)
async def add_photos(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
    faces: FaceRule = "refuse",
    min_quality: MinQuality = None,
    keep_crops: KeepCrops = False,
    expire: Expire = None,
    fpir: Fpir = 0.01,
    flip: Flip = False,
) -> Answer:
    """Enroll more photos of a person; photos enrolled before are skipped."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    form = await uploads.read(request, parts={"photo": service.options.photos})
    options = {
        "faces": faces, "min_quality": min_quality, "keep_crops": keep_crops,
        "expire": expire, "fpir": fpir, "flip": flip,
    }  # fmt: skip
    return Answer(
        await service.run(lambda: _enrolled(opened, form, opened.name_of(person), options)),
        status_code=201,
    )


@router.delete("/v1/people/{person}/photos/{face}", **described(None, status=204))
async def erase_photo(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    face: Annotated[int, Path(ge=1, le=2**62, description="Number of a face.")],
    gallery: GalleryName = None,
) -> Response:
    """Erase one face of a person."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)

    def remove() -> None:
        if face not in {one.id for one in opened.faces(opened.name_of(person))}:
            raise ProblemError(
                404,
                "unknown-face",
                f"this person has no face {face}",
                "GET /v1/people/ID/photos lists the numbers",
            )
        opened.remove_faces([face])

    await service.run(remove)
    return nothing()


@router.post("/v1/people/{person}/merge", **described(schema("Person"), body=_MERGE))
async def merge(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Answer:
    """Merge others into a person: their faces move, their names are erased."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    wanted: MergePeople = await _body(request, MergePeople)

    def apply() -> Any:
        opened.merge(opened.name_of(person), *map(opened.name_of, wanted.others))
        return opened.person(opened.name_of(person))

    return Answer(await service.run(apply))


@router.get(
    "/v1/people/{person}/split",
    **described(
        {
            "type": "object",
            "properties": {"suggestions": {"type": "array", "items": schema("SplitSuggestion")}},
            "required": ["suggestions"],
        }
    ),
)
async def suggest_splits(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Answer:
    """Suggest faces that are unlike the person's others; changes nothing."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    found = await service.run(lambda: opened.suggest_splits(opened.name_of(person)))
    return Answer({"suggestions": found})


@router.post(
    "/v1/people/{person}/split",
    **described(
        schema("Person"), body=_SPLIT, links={"person=$response.body#/id": ["people_show"]}
    ),
)  # fmt: skip
async def split(
    request: Request,
    caller: Annotated[Caller, needs("enroll")],
    person: PersonId,
    gallery: GalleryName = None,
) -> Answer:
    """Move faces to another or a new person, who is returned."""
    service = service_of(request)
    _, opened = service.gallery(gallery, caller)
    wanted: SplitPerson = await _body(request, SplitPerson)

    def apply() -> Any:
        opened.split(opened.name_of(person), wanted.faces, into=wanted.into)
        return opened.person(wanted.into)

    return Answer(await service.run(apply))


def _enrolled(opened: Gallery, form: Form, name: str, options: dict[str, Any]) -> dict[str, Any]:
    source = [(name, photo.getvalue(), photo.name) for photo in form.photos["photo"]]
    rows = [row_for_clients(row) for row in opened.enroll(source, **options).rows]
    if not any(row.there for row in rows):
        many = f"none of the {len(rows)} photos was enrolled"
        raise ProblemError(
            422, "nothing-enrolled", "the photo was not enrolled" if len(rows) == 1 else many,
            "each row says why", rows=[row.to_dict() for row in rows],
        )  # fmt: skip
    return {"person": opened.person(name), "rows": rows}


async def _body(request: Request, kind: Any) -> Any:
    return uploads.decode(await uploads.json_body(request), kind)
