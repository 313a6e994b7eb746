"""Operations on photos and on the faces of a collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from visavis.api.photos import photo_size
from visavis.errors import NoFaceError
from visavis.service.dialects.access import tell_fpir
from visavis.service.dialects.rekognition import wire
from visavis.service.dialects.rekognition.access import SignedCaller
from visavis.service.dialects.rekognition.answers import (
    MODEL_VERSION,
    bounding_box,
    compared_face,
    passes,
    reasons,
    stored_name,
)
from visavis.service.dialects.rekognition.collection import (
    Collection,
    can_be_a_name,
    changing,
    is_user,
    own_name,
)
from visavis.service.dialects.rekognition.ids import derived_id, page_start, page_token
from visavis.service.dialects.similarity import rekognition as similarity
from visavis.service.state import Service
from visavis.service.uploads import Photo

if TYPE_CHECKING:
    from visavis.api.records import FaceMatches, StoredFace
    from visavis.types import Template, Vectors

THRESHOLD: Final = 80.0
"""Default of thresholds but in ``AssociateFaces``; the number at the threshold in force."""

_MOST_FACES: Final = 100
_PAGE: Final = 1000
_FEW: Final = 100
_MOST: Final = 4096


def compare_faces(
    service: Service, _caller: SignedCaller, asked: wire.CompareFaces
) -> dict[str, Any]:
    """Compares the largest face of a photo with each face of another."""
    source, target = (
        asked.source_image.photo("SourceImage"),
        asked.target_image.photo("TargetImage"),
    )
    (first,) = _filtered(service.engine.embed(source, faces="largest"), asked.quality_filter)
    others = _filtered(service.engine.embed(target, faces="all"), asked.quality_filter)
    sizes = [size_of(service, photo) for photo in (source, target)]
    least = THRESHOLD if asked.similarity_threshold is None else asked.similarity_threshold
    recognizer = service.engine.recognizer(calibration=service.calibration_of(first.model))
    matches: list[dict[str, Any]] = []
    unmatched = []
    for other in _largest(others)[:_MOST_FACES]:
        answer = recognizer.verify_templates([first], [other], fmr=service.options.fmr)
        service.metrics.verified(answer)
        number = similarity(answer.score, threshold=answer.threshold)
        face = compared_face(other.face, sizes[1], other.quality)
        # What visavis cannot decide is no match, unless the client asks for less than a decision.
        decided = answer.same is not None or least < THRESHOLD
        if number >= least and decided:
            matches.append({"Similarity": number, "Face": face})
        else:
            unmatched.append(face)
    matches.sort(key=lambda match: -match["Similarity"])
    found = compared_face(first.face, sizes[0])
    del found["Landmarks"]
    return {"SourceImageFace": found, "FaceMatches": matches, "UnmatchedFaces": unmatched}


def detect_faces(
    service: Service, _caller: SignedCaller, asked: wire.DetectFaces
) -> dict[str, Any]:
    """Detects the faces of a photo, largest first."""
    photo = asked.image.photo("Image")
    try:
        found = service.engine.embed(photo, faces="all")
    except NoFaceError:
        found = []
    size = size_of(service, photo)
    return {
        "FaceDetails": [
            compared_face(one.face, size, one.quality) for one in _largest(found)[:_MOST_FACES]
        ]
    }


def index_faces(service: Service, caller: SignedCaller, asked: wire.IndexFaces) -> dict[str, Any]:
    """Enrolls the faces of a photo."""
    collection = Collection.of(service, caller, asked.collection_id)
    photo = asked.image.photo("Image")
    digest = hashlib.sha256(photo.getbuffer()).hexdigest()
    try:
        found = _largest(collection.gallery.recognizer().embed(photo, rule="all"))
    except NoFaceError:
        found = []
    size = size_of(service, photo)
    chosen = [one for one in found if passes(one.quality, asked.quality_filter)]
    most = min(asked.max_faces or _MOST_FACES, _MOST_FACES)
    refused = [(one, reasons(one.quality)) for one in found if one not in chosen]
    refused += [(one, ["EXCEEDS_MAX_FACES"]) for one in chosen[most:]]
    chosen = [replace(one, photo=stored_name(one.face, size)) for one in chosen[:most]]
    external = asked.external_image_id
    if external is not None and len(chosen) == 1 and can_be_a_name(external):
        people = [external]
    else:
        people = [own_name(derived_id(f"{digest} {external} {one.face.box}")) for one in chosen]
    with changing:
        stored = _enrolled(collection, people, chosen, digest)
        for person, face in zip(people, stored, strict=True):
            if external not in {None, person}:
                collection.note(person, external={str(face.id): external})
    return {
        "FaceRecords": [
            {
                "Face": collection.described(face),
                "FaceDetail": compared_face(one.face, size, one.quality),
            }
            for face, one in zip(stored, chosen, strict=True)
        ],
        "FaceModelVersion": MODEL_VERSION,
        "UnindexedFaces": [
            {"Reasons": why, "FaceDetail": compared_face(one.face, size, one.quality)}
            for one, why in refused
        ],
    }


def list_faces(service: Service, caller: SignedCaller, asked: wire.ListFaces) -> dict[str, Any]:
    """Lists faces, oldest first; of a user, or some, if asked."""
    collection = Collection.of(service, caller, asked.collection_id)
    page = f"faces {asked.collection_id} {asked.user_id} {asked.face_ids}"
    after = page_start(page, asked.next_token)
    if asked.user_id is not None:
        collection.user(asked.user_id)
    faces: Iterator[StoredFace]
    if asked.face_ids is not None:
        wanted = filter(None, map(collection.face, dict.fromkeys(asked.face_ids)))
        faces = iter(sorted(wanted, key=lambda face: face.id))
        faces = (face for face in faces if face.id > after)
        if asked.user_id is not None:
            faces = (face for face in faces if face.person == asked.user_id)
    else:
        faces = collection.gallery.store.faces(person=asked.user_id, after=after)
    most = asked.max_results or _PAGE
    found = list(islice(faces, most + 1))
    answer: dict[str, Any] = {
        "Faces": [collection.described(face) for face in found[:most]],
        "FaceModelVersion": MODEL_VERSION,
    }
    if len(found) > most:
        answer["NextToken"] = page_token(page, found[most - 1].id)
    return answer


def delete_faces(service: Service, caller: SignedCaller, asked: wire.DeleteFaces) -> dict[str, Any]:
    """Erases faces, and people who then have none."""
    collection = Collection.of(service, caller, asked.collection_id)
    erased, failed = {}, []
    with changing:
        for given in dict.fromkeys(asked.face_ids):
            face = collection.face(given)
            if face is None:
                failed.append({"FaceId": given, "Reasons": ["FACE_NOT_FOUND"]})
            elif is_user(collection.person(face.person)):
                failed.append({
                    "FaceId": given, "UserId": face.person,
                    "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"],
                })  # fmt: skip
            else:
                erased[given] = face
        collection.gallery.remove_faces([face.id for face in erased.values()], people=True)
    return {"DeletedFaces": list(erased), "UnsuccessfulFaceDeletions": failed}


def search_faces(service: Service, caller: SignedCaller, asked: wire.SearchFaces) -> dict[str, Any]:
    """Searches for faces like one of the collection."""
    collection = Collection.of(service, caller, asked.collection_id)
    face = collection.required_face(asked.face_id)
    most = asked.max_faces or _FEW
    matches = match(service, collection, face.vector, face.model, most)
    return {
        "SearchedFaceId": asked.face_id,
        "FaceMatches": _face_matches(
            collection, face.vector, matches, least=asked.face_match_threshold, most=most,
            model_sha256=face.model_sha256, without=face,
        ),
        "FaceModelVersion": MODEL_VERSION,
    }  # fmt: skip


def search_faces_by_image(
    service: Service, caller: SignedCaller, asked: wire.SearchFacesByImage
) -> dict[str, Any]:
    """Searches for the largest face of a photo."""
    collection = Collection.of(service, caller, asked.collection_id)
    photo = asked.image.photo("Image")
    most = asked.max_faces or _FEW
    template = largest(collection, photo, asked.quality_filter)
    matches = match(service, collection, template.vector, template.model, most)
    size = size_of(service, photo)
    return {
        "SearchedFaceBoundingBox": bounding_box(template.face, size),
        "SearchedFaceConfidence": 100 * template.face.score,
        "FaceMatches": _face_matches(
            collection, template.vector, matches, least=asked.face_match_threshold, most=most,
            model_sha256=template.model_sha256,
        ),
        "FaceModelVersion": MODEL_VERSION,
    }  # fmt: skip


def largest(collection: Collection, photo: Photo, bar: str) -> Template:
    """Returns the template of the largest face of a photo.

    Raises:
        NoFaceError: there is none.
        ProblemError: it does not pass the filter.
    """
    return _filtered(collection.gallery.recognizer().embed(photo, rule="largest"), bar)[0]


def match(
    service: Service, collection: Collection, vector: Vectors, model: str, most: int
) -> FaceMatches | None:
    """Returns threshold and candidates of a template, best first; ``None`` in an empty collection.

    The threshold comes from the calibration alone: clients may index one person under many ids, so
    scores of the collection's people with each other are not all non-mated.
    """
    searching = collection.gallery.identifier(
        top=_FEW if most <= _FEW else _MOST, model=model, own_scores=False, **service.search
    )
    found = next(iter(searching.match(vector[None])), None)
    tell_fpir(collection.state, None if found is None else found.point)
    best = None if found is None else found.best
    service.metrics.decision("identify", "unknown" if best is None else "named")
    return found


def size_of(service: Service, photo: Photo) -> tuple[int, int]:
    """Returns width and height of a photo that was read."""
    return photo_size(photo.getvalue(), limits=service.engine.limits, name=photo.name)


def _face_matches(
    collection: Collection,
    vector: Vectors,
    matches: FaceMatches | None,
    *,
    least: float | None,
    most: int,
    model_sha256: str,
    without: StoredFace | None = None,
) -> list[dict[str, Any]]:
    """Returns ``FaceMatches``, best first.

    A person is found by the score that decides; it is that of the person's closest face. The
    person's other faces count by their own scores, if lower. Of the person of ``without`` the other
    faces count by their own.
    """
    if matches is None:
        return []
    least = THRESHOLD if least is None else least
    found: list[tuple[float, StoredFace]] = []
    for one in matches.candidates[: most + 1]:
        own = without is not None and one.person == without.person
        if not own and similarity(one.score, threshold=matches.point.threshold) < least:
            break
        faces = [
            face
            for face in collection.faces_of(one.person)
            if face.model_sha256 == model_sha256 and (without is None or face.id != without.id)
        ]
        scores = [float(face.vector @ vector) for face in faces]
        if not own:
            top = max(scores, default=-1.0)
            scores = [one.score if score == top else min(score, one.score) for score in scores]
        numbers = [similarity(score, threshold=matches.point.threshold) for score in scores]
        found += [pair for pair in zip(numbers, faces, strict=True) if pair[0] >= least]
    found.sort(key=lambda pair: (-pair[0], pair[1].id))
    return [
        {"Similarity": number, "Face": collection.described(face)} for number, face in found[:most]
    ]


def _filtered(found: Sequence[Template], bar: str) -> list[Template]:
    """Returns the faces that pass a ``QualityFilter``, at least one."""
    chosen = [one for one in found if passes(one.quality, bar)]
    if not chosen:
        raise wire.invalid(f"{wire.NO_FACE} (No face passes the QualityFilter {bar}.)")
    return chosen


def _largest(found: Sequence[Template]) -> list[Template]:
    return sorted(found, key=lambda one: -one.face.area)


def _enrolled(
    collection: Collection, people: Sequence[str], templates: Sequence[Template], digest: str
) -> list[StoredFace]:
    """Enrolls faces, and returns them as stored; those of this photo that were there, too."""
    rows = collection.gallery.enroll_templates(
        people, templates, photo_sha256=digest, min_quality=0.0
    ).rows
    found = []
    for row in rows:
        if row.face is not None:
            found.append(collection.gallery.store.face(row.face))
        else:
            there = [f for f in collection.faces_of(row.person) if f.photo_sha256 == digest]
            found.append(there[-1])
    return found
