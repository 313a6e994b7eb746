"""Bad requests in Rekognition's interface: AWS's shape of errors, and the next is served."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.images.corpus import recipes
from tests.service.dialects.conftest import NOT_FOR_CLIENTS
from tests.service.running import Running
from tests.service.test_bodies import png_claims

from visavis.errors import ImageError

DOOR = {"CollectionId": "door"}
FACE = "00000000-0000-8000-8000-0000000f4240"
WRONG, NO_JSON = "InvalidParameterException", "SerializationException"
NO_IMAGE, TOO_LARGE = "InvalidImageFormatException", "ImageTooLargeException"


def photo(data: bytes) -> dict[str, Any]:
    return {"Image": {"Bytes": base64.b64encode(data).decode()}}


BAD: dict[str, tuple[str, Any, str]] = {
    # operation, body, error type
    "no operation": ("", {}, "UnknownOperationException"),
    "an unknown one": ("DetectText", photo(b"x"), "UnknownOperationException"),
    "a private one": ("__class__", {}, "UnknownOperationException"),
    "a very long one": ("x" * 5000, {}, "UnknownOperationException"),
    "no JSON": ("DetectFaces", b"{Image}", NO_JSON),
    "a photo as the body": ("DetectFaces", b"\xff\xd8\xff", NO_JSON),
    "half of it": ("DetectFaces", b'{"Image": {"Bytes": "AAAA', NO_JSON),
    "not UTF-8": ("ListFaces", b'{"CollectionId": "\xff"}', NO_JSON),
    "deep": ("DetectFaces", b"[" * 200_000 + b"]" * 200_000, WRONG),
    "deep, where anything may be": (
        "DetectFaces", b'{"Image": {"S3Object": {"a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}}}",
        NO_JSON,
    ),
    "a million values": ("DeleteFaces", b"[" + b"0," * 10**6 + b"0]", NO_JSON),
    "a list": ("DetectFaces", ["x"], WRONG),
    "null": ("DetectFaces", b"null", WRONG),
    "empty": ("DetectFaces", b"", WRONG),
    "no photo": ("DetectFaces", {}, WRONG),
    "a photo that is a text": ("DetectFaces", {"Image": "x"}, WRONG),
    "a photo of nothing": ("DetectFaces", {"Image": {}}, WRONG),
    "a photo of no bytes": ("DetectFaces", photo(b""), WRONG),
    "no base64": ("DetectFaces", {"Image": {"Bytes": "!!!"}}, WRONG),
    "bytes as numbers": ("DetectFaces", {"Image": {"Bytes": [1, 2]}}, WRONG),
    "a URL": ("DetectFaces", photo(b"http://localhost/a.jpg"), NO_IMAGE),
    "an empty PNG": ("DetectFaces", photo(b"\x89PNG\r\n\x1a\n"), NO_IMAGE),
    "a PNG bomb": ("DetectFaces", photo(png_claims(30_000, 30_000)), TOO_LARGE),
    "a photo over AWS's limit": ("DetectFaces", photo(bytes(5_242_881)), TOO_LARGE),
    "a photo over the service's": ("DetectFaces", photo(bytes(2_000_001)), TOO_LARGE),
    "S3": ("DetectFaces", {"Image": {"S3Object": {"Bucket": "b", "Name": "n"}}},
           "InvalidS3ObjectException"),
    "S3 and bytes": ("DetectFaces", {"Image": {"Bytes": "AAAA", "S3Object": {}}}, WRONG),
    "an unknown attribute": ("DetectFaces", {**photo(b"x"), "Attributes": ["BRAIN"]}, WRONG),
    "one photo of two": ("CompareFaces", {"SourceImage": photo(b"x")["Image"]}, WRONG),
    "a threshold of 101": ("SearchFaces", {**DOOR, "FaceId": FACE, "FaceMatchThreshold": 101},
                           WRONG),
    "a threshold below 0": ("SearchFaces", {**DOOR, "FaceId": FACE, "FaceMatchThreshold": -1},
                            WRONG),
    "a threshold of nan": (
        "SearchFaces", json.dumps({**DOOR, "FaceId": FACE, "FaceMatchThreshold": float("nan")})
        .encode(), NO_JSON,
    ),
    "a threshold of infinity": (
        "SearchFaces", json.dumps({**DOOR, "FaceId": FACE}).encode()[:-1]
        + b', "FaceMatchThreshold": 1e999}', WRONG,
    ),
    "no collection": ("ListFaces", {}, WRONG),
    "a collection that is a path": ("ListFaces", {"CollectionId": "../door"}, WRONG),
    "a collection with a line": ("ListFaces", {"CollectionId": "door\n"}, WRONG),
    "an empty collection": ("ListFaces", {"CollectionId": ""}, WRONG),
    "a long collection": ("ListFaces", {"CollectionId": "x" * 256}, WRONG),
    "an unknown collection": ("ListFaces", {"CollectionId": "nowhere"},
                              "ResourceNotFoundException"),
    "a new one where none may be made": ("CreateCollection", {"CollectionId": "new"},
                                         "AccessDeniedException"),
    "a new one that is a path": ("CreateCollection", {"CollectionId": ".."}, WRONG),
    "deleting what no client made": ("DeleteCollection", DOOR, "AccessDeniedException"),
    "a blank in an external id": ("IndexFaces", {**DOOR, **photo(b"x"), "ExternalImageId": "a b"},
                                  WRONG),
    "no faces wanted": ("IndexFaces", {**DOOR, **photo(b"x"), "MaxFaces": 0}, WRONG),
    "faces in words": ("IndexFaces", {**DOOR, **photo(b"x"), "MaxFaces": "2"}, WRONG),
    "no photo, all its faces": (
        "IndexFaces", {**DOOR, **photo(b"x"), "MaxFaces": 10**30}, NO_IMAGE,
    ),
    "a huge page": ("ListFaces", {**DOOR, "MaxResults": 10**30}, WRONG),
    "an unknown filter": ("IndexFaces", {**DOOR, **photo(b"x"), "QualityFilter": "BEST"}, WRONG),
    "an id that is none": ("SearchFaces", {**DOOR, "FaceId": "'; DROP TABLE face; --"}, WRONG),
    "an id in capitals": ("SearchFaces", {**DOOR, "FaceId": FACE.upper()}, WRONG),
    "nobody's id": ("SearchFaces", {**DOOR, "FaceId": FACE}, WRONG),
    "no ids": ("DeleteFaces", {**DOOR, "FaceIds": []}, WRONG),
    "very many ids": ("DeleteFaces", {**DOOR, "FaceIds": [FACE] * 4097}, WRONG),
    "too many faces of a user": ("AssociateFaces",
                                 {**DOOR, "UserId": "a", "FaceIds": [FACE] * 101}, WRONG),
    "a user with a slash": ("CreateUser", {**DOOR, "UserId": "a/b"}, WRONG),
    "a long user": ("CreateUser", {**DOOR, "UserId": "x" * 129}, WRONG),
    "an odd token": ("CreateUser", {**DOOR, "UserId": "a", "ClientRequestToken": "ä"}, WRONG),
    "a page of -1": ("ListFaces", {**DOOR, "MaxResults": -1}, WRONG),
    "a page of 4097": ("ListFaces", {**DOOR, "MaxResults": 4097}, WRONG),
    "a long page token": ("ListFaces", {**DOOR, "NextToken": "x" * 256}, WRONG),
    "a page token": ("ListUsers", {**DOOR, "NextToken": "AAAA"},
                     "InvalidPaginationTokenException"),
}  # fmt: skip


def ask(spoken: Running, operation: str, body: Any) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {
        "X-Amz-Target": f"RekognitionService.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
    }
    answer = spoken.client.post("/", content=content, headers=headers)
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]
    return answer.status_code, answer.json()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request(spoken: Running, name: str) -> None:
    operation, body, kind = BAD[name]
    status, told = ask(spoken, operation, body)
    assert (status, told["__type"]) == (400, kind), told
    assert {*told} == {"__type", "Code", "Logref", "Message"}
    assert "\n" not in told["Message"]
    assert len(told["Message"]) < 1000
    assert not NOT_FOR_CLIENTS.search(told["Message"])
    assert ask(spoken, "ListFaces", DOOR)[1]["Faces"] == []


def test_a_body_over_the_limit(spoken: Running) -> None:
    status, told = ask(spoken, "DetectFaces", bytes(9_000_000))
    assert (status, told["__type"]) == (413, "RequestEntityTooLargeException")


def test_unknown_members_are_ignored(spoken: Running) -> None:
    """A client may be newer than the dialect."""
    assert ask(spoken, "ListFaces", {**DOOR, "New": {"Shiny": [1]}})[0] == 200


def test_other_hosts_are_refused_in_the_dialects_shape(spoken: Running) -> None:
    answer = spoken.client.post("/", content=b"{}", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["__type"]) == (400, "AccessDeniedException")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_another_method_is_an_unknown_operation(spoken: Running, method: str) -> None:
    answer = spoken.client.request(method, "/", content=b"{}")
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert (answer.status_code, answer.json()["__type"]) == (400, "UnknownOperationException")


def test_crafted_photos(spoken: Running, tmp_path: Any) -> None:
    """Every third one: all of them are tried with /v1."""
    tried = 0
    for recipe in recipes()[::3]:
        if recipe.expect is None or not issubclass(recipe.expect, ImageError):
            continue
        source = recipe.make(tmp_path)
        if isinstance(source, bytes) and source:
            tried += 1
            status, told = ask(spoken, "DetectFaces", photo(source))
            assert (status, told["__type"] in {NO_IMAGE, TOO_LARGE}) == (400, True), recipe.name
    assert tried >= 20
