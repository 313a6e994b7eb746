"""``POST /``: the operation is in the header ``X-Amz-Target``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from visavis.service.dialects.rekognition import collections, faces, users, wire
from visavis.service.dialects.rekognition.access import caller_of
from visavis.service.routes.common import service_of

router = APIRouter(tags=["rekognition"])

_TARGET: Final = "RekognitionService."


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation.

    Attributes:
        scope: what a key needs, as for the routes of ``/v1`` that do the same.
        request: type of the body.
        call: takes service, caller and request; returns the answer.
    """

    scope: str
    request: type[wire.Request]
    call: Callable[..., dict[str, Any]]


OPERATIONS: Final = {
    "CompareFaces": Operation("verify", wire.CompareFaces, faces.compare_faces),
    "DetectFaces": Operation("verify", wire.DetectFaces, faces.detect_faces),
    "CreateCollection": Operation("admin", wire.InCollection, collections.create_collection),
    "DescribeCollection": Operation("identify", wire.InCollection, collections.describe_collection),
    "ListCollections": Operation("identify", wire.ListCollections, collections.list_collections),
    "DeleteCollection": Operation("admin", wire.InCollection, collections.delete_collection),
    "IndexFaces": Operation("enroll", wire.IndexFaces, faces.index_faces),
    "ListFaces": Operation("enroll", wire.ListFaces, faces.list_faces),
    "DeleteFaces": Operation("enroll", wire.DeleteFaces, faces.delete_faces),
    "SearchFaces": Operation("identify", wire.SearchFaces, faces.search_faces),
    "SearchFacesByImage": Operation(
        "identify", wire.SearchFacesByImage, faces.search_faces_by_image
    ),
    "CreateUser": Operation("enroll", wire.OfUser, users.create_user),
    "DeleteUser": Operation("enroll", wire.OfUser, users.delete_user),
    "ListUsers": Operation("enroll", wire.ListUsers, users.list_users),
    "AssociateFaces": Operation("enroll", wire.AssociateFaces, users.associate_faces),
    "DisassociateFaces": Operation("enroll", wire.DisassociateFaces, users.disassociate_faces),
    "SearchUsers": Operation("identify", wire.SearchUsers, users.search_users),
    "SearchUsersByImage": Operation(
        "identify", wire.SearchUsersByImage, users.search_users_by_image
    ),
}


@router.post("/")
async def operate(request: Request) -> Response:
    """Answers one operation."""
    service = service_of(request)
    body = await request.body()
    caller = await service.run(caller_of, request, body)
    name = request.headers.get("x-amz-target", "").removeprefix(_TARGET)
    operation = OPERATIONS.get(name)
    if operation is None:
        raise wire.aws("UnknownOperationException", f"No operation {name[:80]!a}.")
    caller.require(operation.scope)
    asked = wire.decode(body, operation.request)
    answer = await service.run(operation.call, service, caller, asked)
    return wire.response(answer, request.state.request_id)
