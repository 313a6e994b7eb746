"""Operations on collections: the galleries of the service."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any, Final

from visavis.service.dialects.rekognition import wire
from visavis.service.dialects.rekognition.access import SignedCaller
from visavis.service.dialects.rekognition.answers import MODEL_VERSION
from visavis.service.dialects.rekognition.collection import Collection
from visavis.service.dialects.rekognition.ids import page_start, page_token
from visavis.service.state import Service

_PAGE: Final = 1000


def create_collection(
    service: Service, caller: SignedCaller, asked: wire.InCollection
) -> dict[str, Any]:
    """Makes a gallery."""
    name = asked.collection_id
    if not name.strip("."):
        raise wire.invalid(f"The collection id {name} consists of dots only; use another.")
    if not caller.sees(name):
        raise wire.aws("AccessDeniedException", f"The key may not make the collection {name}.")
    service.create_gallery(name)
    return {
        "StatusCode": 200,
        "CollectionArn": _arn(name, caller),
        "FaceModelVersion": MODEL_VERSION,
    }


def delete_collection(
    service: Service, caller: SignedCaller, asked: wire.InCollection
) -> dict[str, Any]:
    """Erases a gallery that a client made."""
    collection = Collection.of(service, caller, asked.collection_id)
    service.delete_gallery(collection.id)
    return {"StatusCode": 200}


def describe_collection(
    service: Service, caller: SignedCaller, asked: wire.InCollection
) -> dict[str, Any]:
    """Says how many faces and users a collection has."""
    collection = Collection.of(service, caller, asked.collection_id)
    found = {
        "FaceCount": sum(collection.gallery.info().faces.values()),
        "FaceModelVersion": MODEL_VERSION,
        "CollectionARN": _arn(collection.id, caller),
        "UserCount": sum(1 for _ in collection.users()),
    }
    for entry in islice(collection.gallery.audit(), 1):
        found["CreationTimestamp"] = datetime.fromisoformat(entry.time).timestamp()
    return found


def list_collections(
    service: Service, caller: SignedCaller, asked: wire.ListCollections
) -> dict[str, Any]:
    """Lists the collections of the caller."""
    own = sorted(filter(caller.sees, service.galleries))
    start, most = page_start("collections", asked.next_token), asked.max_results or _PAGE
    names = own[start : start + most]
    answer: dict[str, Any] = {
        "CollectionIds": names, "FaceModelVersions": [MODEL_VERSION] * len(names)
    }  # fmt: skip
    if len(own) > start + most:
        answer["NextToken"] = page_token("collections", start + most)
    return answer


def _arn(name: str, caller: SignedCaller) -> str:
    return f"aws:rekognition:{caller.region}:000000000000:collection/{name}"
