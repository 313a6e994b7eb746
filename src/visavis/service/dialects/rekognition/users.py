"""Operations on users: people whose faces a client has associated."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from visavis.errors import NoFaceError
from visavis.service.dialects.rekognition import wire
from visavis.service.dialects.rekognition.access import SignedCaller
from visavis.service.dialects.rekognition.answers import MODEL_VERSION, compared_face
from visavis.service.dialects.rekognition.collection import (
    Collection,
    changing,
    is_user,
    labelled,
    token_of,
)
from visavis.service.dialects.rekognition.faces import THRESHOLD, largest, match, size_of
from visavis.service.dialects.rekognition.ids import page_start, page_token
from visavis.service.dialects.similarity import rekognition as similarity
from visavis.service.state import Service

if TYPE_CHECKING:
    from visavis.api.records import FaceMatches, Person, StoredFace

_ASSOCIATED: Final = 75.0
"""Default threshold of ``AssociateFaces``."""

_PAGE: Final = 100
_EVERYBODY: Final = 4096
"""Candidates to look for users among: other people are no users."""


def create_user(service: Service, caller: SignedCaller, asked: wire.OfUser) -> dict[str, Any]:
    """Makes a user; a person of that name becomes one."""
    collection = Collection.of(service, caller, asked.collection_id)
    name, token = asked.user_id, asked.client_request_token
    with changing:
        if name not in collection.gallery:
            collection.gallery.store.add_person(name)
        person = collection.person(name)
        if not is_user(person):
            collection.note(name, user=True, token=token)
        elif token is None or token_of(person) != token:
            raise wire.aws("ConflictException", f"The user id: {name} exists already")
    return {}


def delete_user(service: Service, caller: SignedCaller, asked: wire.OfUser) -> dict[str, Any]:
    """Deletes a user; faces that were associated become people of their own."""
    collection = Collection.of(service, caller, asked.collection_id)
    with changing:
        person = collection.user(asked.user_id)
        faces = collection.faces_of(person.name)
        collection.dissolve([face for face in faces if labelled(face, person)])
        collection.note(person.name, user=None, token=None)
        collection.erase_if_empty(person.name)
    return {}


def list_users(service: Service, caller: SignedCaller, asked: wire.ListUsers) -> dict[str, Any]:
    """Lists the users by id."""
    collection = Collection.of(service, caller, asked.collection_id)
    page, most = f"users {asked.collection_id}", asked.max_results or _PAGE
    start = page_start(page, asked.next_token)
    found = list(islice(collection.users(), start, start + most + 1))
    answer: dict[str, Any] = {
        "Users": [{"UserId": person.name, "UserStatus": _status(person)} for person in found[:most]]
    }
    if len(found) > most:
        answer["NextToken"] = page_token(page, start + most)
    return answer


def associate_faces(
    service: Service, caller: SignedCaller, asked: wire.AssociateFaces
) -> dict[str, Any]:
    """Moves faces to a user, if they are like those that the user has."""
    collection = Collection.of(service, caller, asked.collection_id)
    name = asked.user_id
    least = _ASSOCIATED if asked.user_match_threshold is None else asked.user_match_threshold
    done: dict[str, StoredFace] = {}
    failed: list[dict[str, Any]] = []
    with changing:
        has_faces = bool(collection.user(name).faces)
        for given in dict.fromkeys(asked.face_ids):
            face = collection.face(given)
            failure = _failure(collection, face, name)
            if face is not None and failure is None and face.person != name:
                confidence = _confidence(service, collection, face, name) if has_faces else 100.0
                if confidence >= least:
                    done[given] = face
                else:
                    failure = {"Reasons": ["LOW_MATCH_CONFIDENCE"], "Confidence": confidence}
            if failure is not None:
                failed.append({"FaceId": given, **failure})
        collection.move(list(done.values()), name)
        status = _status(collection.user(name))
    return {
        "AssociatedFaces": [{"FaceId": one} for one in done],
        "UnsuccessfulFaceAssociations": failed,
        "UserStatus": status,
    }


def disassociate_faces(
    service: Service, caller: SignedCaller, asked: wire.DisassociateFaces
) -> dict[str, Any]:
    """Makes faces of a user people of their own."""
    collection = Collection.of(service, caller, asked.collection_id)
    name = asked.user_id
    done: list[str] = []
    failed: list[dict[str, Any]] = []
    with changing:
        collection.user(name)
        for given in dict.fromkeys(asked.face_ids):
            face = collection.face(given)
            if (failure := _failure(collection, face, name)) is not None:
                failed.append({"FaceId": given, **failure})
            elif face is not None and face.person == name:
                collection.dissolve([face])
                done.append(given)
        status = _status(collection.user(name))
    return {
        "DisassociatedFaces": [{"FaceId": one} for one in done],
        "UnsuccessfulFaceDisassociations": failed,
        "UserStatus": status,
    }


def search_users(service: Service, caller: SignedCaller, asked: wire.SearchUsers) -> dict[str, Any]:
    """Searches for users like a face of the collection, or like another user."""
    collection = Collection.of(service, caller, asked.collection_id)
    if (asked.face_id is None) == (asked.user_id is None):
        raise wire.invalid("Give either UserId or FaceId.")
    answer: dict[str, Any]
    matches: FaceMatches | None = None
    if asked.face_id is not None:
        answer = {"SearchedFace": {"FaceId": asked.face_id}}
        face = collection.required_face(asked.face_id)
        matches = match(service, collection, face.vector, face.model, _EVERYBODY)
    else:
        answer = {"SearchedUser": {"UserId": asked.user_id}}
        faces = collection.faces_of(collection.user(asked.user_id or "").name)
        if faces:
            last = [face for face in faces if face.model_sha256 == faces[-1].model_sha256]
            mean = np.average(
                [face.vector for face in last], axis=0, weights=[f.quality_score for f in last]
            )
            mean = (mean / np.linalg.norm(mean)).astype(np.float32)
            matches = match(service, collection, mean, last[0].model, _EVERYBODY)
    return {
        "UserMatches": _user_matches(
            collection, matches, least=asked.user_match_threshold, most=asked.max_users or _PAGE,
            without=asked.user_id,
        ),
        "FaceModelVersion": MODEL_VERSION,
        **answer,
    }  # fmt: skip


def search_users_by_image(
    service: Service, caller: SignedCaller, asked: wire.SearchUsersByImage
) -> dict[str, Any]:
    """Searches for users like the largest face of a photo."""
    collection = Collection.of(service, caller, asked.collection_id)
    photo = asked.image.photo("Image")
    try:
        template = largest(collection, photo, asked.quality_filter)
    except NoFaceError:
        return {"UserMatches": [], "FaceModelVersion": MODEL_VERSION, "UnsearchedFaces": []}
    matches = match(service, collection, template.vector, template.model, _EVERYBODY)
    size = size_of(service, photo)
    return {
        "UserMatches": _user_matches(
            collection, matches, least=asked.user_match_threshold, most=asked.max_users or _PAGE
        ),
        "FaceModelVersion": MODEL_VERSION,
        "SearchedFace": {"FaceDetail": compared_face(template.face, size, template.quality)},
        "UnsearchedFaces": [
            {"FaceDetails": compared_face(other.face, size), "Reasons": ["FACE_NOT_LARGEST"]}
            for other in template.passed_over
        ],
    }


def _user_matches(
    collection: Collection, matches: FaceMatches | None, *, least: float | None, most: int,
    without: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    least = THRESHOLD if least is None else least
    found: list[dict[str, Any]] = []
    for one in () if matches is None else matches.candidates:
        number = similarity(one.score, threshold=matches.point.threshold) if matches else 0.0
        if number < least or len(found) == most:
            break
        if one.person != without and is_user(collection.person(one.person)):
            user = {"UserId": one.person, "UserStatus": "ACTIVE"}
            found.append({"Similarity": number, "User": user})
    return found


def _failure(collection: Collection, face: StoredFace | None, user: str) -> dict[str, Any] | None:
    """Returns why a face is not to be associated with a user or taken from it."""
    if face is None:
        return {"Reasons": ["FACE_NOT_FOUND"]}
    if face.person != user and is_user(collection.person(face.person)):
        return {"UserId": face.person, "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}
    return None


def _confidence(service: Service, collection: Collection, face: StoredFace, user: str) -> float:
    """Returns how alike a face and a user with faces are."""
    matches = match(service, collection, face.vector, face.model, _EVERYBODY)
    for one in () if matches is None else matches.candidates:
        if one.person == user and matches is not None:
            return similarity(one.score, threshold=matches.point.threshold)
    return 0.0


def _status(person: Person) -> str:
    return "ACTIVE" if person.faces else "CREATED"
