"""boto3, unmodified, against a running service: every operation of the dialect."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.measuring import usual_environment
from benchmarks.photos import ROOT
from PIL import Image, ImageOps
from tests.cli.conftest import Run, run
from tests.service.clients.calls import Client, ClientError, cases, client
from tests.service.clients.environments import python
from tests.service.conftest import face, faceless, mirrored, options
from tests.service.dialects import signing
from tests.service.dialects.test_rekognition import pair
from tests.service.running import Running, running

from visavis.gallery.records import NewFace
from visavis.service.dialects import similarity
from visavis.service.dialects.rekognition.routes import OPERATIONS
from visavis.service.keys import access_key_id, secret_access_key
from visavis.service.state import GalleryPlace, Service

__all__ = ["face", "faceless", "mirrored", "pair", "run"]
pytestmark = pytest.mark.clients

MASTER = b"m" * 32
DOOR = {"CollectionId": "door"}
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with a key, whose clients may make collections."""
    place = tmp_path_factory.mktemp("served")
    known = options(place, dialects=("rekognition",), megapixels=50, photo_bytes=20_000_000)
    made = GalleryPlace(str(place / "made"))
    with running(Service(options=known, collections=made, aws_key=MASTER)) as found:
        yield found


@pytest.fixture(scope="module")
def keys(served: Running) -> tuple[str, str]:
    key, _ = served.service.keys.create(scopes=["admin"], galleries=["*"], rate=100_000)
    access = access_key_id(key)
    return access, secret_access_key(access, master=MASTER)


@pytest.fixture(scope="module")
def process(served: Running, keys: tuple[str, str]) -> Iterator[Client]:
    with client("boto3", served.url, *keys) as found:
        yield found


@pytest.fixture
def boto3(process: Client, served: Running) -> Iterator[Call]:
    """Calls of a client; afterwards no collection is left."""

    def call(operation: str, **arguments: Any) -> Any:
        answer = process("rekognition", operation, **arguments)
        assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
        return answer

    yield call
    for name in tuple(served.service.galleries):
        call("delete_collection", CollectionId=name)


def image(photo: bytes | Path) -> dict[str, bytes]:
    return {"Bytes": photo if isinstance(photo, bytes) else photo.read_bytes()}


def test_every_operation(
    boto3: Call, served: Running, keys: tuple[str, str], face: bytes, pair: bytes
) -> None:
    done = []

    def call(operation: str, **arguments: Any) -> Any:
        done.append("".join(word.title() for word in operation.split("_")))
        return boto3(operation, **arguments)

    made = call("create_collection", **DOOR)
    assert made["StatusCode"] == 200
    (anna,) = call("index_faces", **DOOR, Image=image(face), ExternalImageId="Anna:1")[
        "FaceRecords"
    ]
    assert anna["Face"]["ExternalImageId"] == "Anna:1"
    (other,) = call("index_faces", **DOOR, Image=image(pair), MaxFaces=1)["FaceRecords"]
    ids = [anna["Face"]["FaceId"], other["Face"]["FaceId"]]
    told = call("describe_collection", **DOOR)
    assert (told["FaceCount"], told["UserCount"]) == (2, 0)
    assert told["CreationTimestamp"].startswith("20")  # boto3 makes a time of it
    assert call("list_collections")["CollectionIds"] == ["door"]
    found = call("detect_faces", Image=image(pair), Attributes=["ALL"])["FaceDetails"]
    assert len(found) == 2
    compared = call("compare_faces", SourceImage=image(face), TargetImage=image(pair))
    assert len(compared["FaceMatches"]) == 2
    assert [one["FaceId"] for one in call("list_faces", **DOOR)["Faces"]] == ids
    near = call("search_faces", **DOOR, FaceId=ids[0])["FaceMatches"]
    assert [one["Face"]["FaceId"] for one in near] == ids[1:]
    by_image = call("search_faces_by_image", **DOOR, Image=image(face), MaxFaces=1)
    assert by_image["FaceMatches"][0]["Face"] == anna["Face"]
    call("create_user", **DOOR, UserId="anna")
    joined = call("associate_faces", **DOOR, UserId="anna", FaceIds=ids)
    assert [one["FaceId"] for one in joined["AssociatedFaces"]] == ids
    assert call("list_users", **DOOR)["Users"] == [{"UserId": "anna", "UserStatus": "ACTIVE"}]
    for answer in (
        call("search_users", **DOOR, FaceId=ids[0]),
        call("search_users_by_image", **DOOR, Image=image(pair)),
    ):
        assert answer["UserMatches"][0]["User"]["UserId"] == "anna"
        assert answer["UserMatches"][0]["Similarity"] > 80
    freed = call("disassociate_faces", **DOOR, UserId="anna", FaceIds=ids[1:])
    assert [one["FaceId"] for one in freed["DisassociatedFaces"]] == ids[1:]
    assert call("delete_user", **DOOR, UserId="anna") == {}
    # boto3 drops members that the service model does not have: there are none.
    access, secret = keys
    for operation, name, arguments in (
        ("list_faces", "ListFaces", {}),
        ("search_faces_by_image", "SearchFacesByImage", {"Image": image(face)}),
        ("search_users_by_image", "SearchUsersByImage", {"Image": image(pair)}),
        ("index_faces", "IndexFaces", {"Image": image(face), "ExternalImageId": "Anna:1"}),
    ):
        plain = {
            **DOOR,
            **arguments,
            **({"Image": _base64(arguments["Image"])} if arguments else {}),
        }
        sent = signing.call(served.client, name, plain, identity=access, secret=secret)
        assert sent.json() == boto3(operation, **DOOR, **arguments), name
    assert call("delete_faces", **DOOR, FaceIds=ids)["DeletedFaces"] == ids
    call("delete_collection", **DOOR)
    assert {*done} == {*OPERATIONS}


def _base64(photo: dict[str, bytes]) -> dict[str, str]:
    return {"Bytes": base64.b64encode(photo["Bytes"]).decode()}


def test_errors_are_boto3s_own_exceptions(boto3: Call, face: bytes, faceless: bytes) -> None:
    boto3("create_collection", **DOOR)
    boto3("create_user", **DOOR, UserId="anna")
    huge = bytes(5_242_881)
    someone = "00000000-0000-0000-0000-000000000000"
    bucket = {"S3Object": {"Bucket": "bucket", "Name": "a.jpg"}}
    for kind, operation, arguments in (
        ("ResourceAlreadyExistsException", "create_collection", DOOR),
        ("ResourceNotFoundException", "describe_collection", {"CollectionId": "nowhere"}),
        ("ResourceNotFoundException", "delete_user", {**DOOR, "UserId": "bea"}),
        ("ConflictException", "create_user", {**DOOR, "UserId": "anna"}),
        ("InvalidParameterException", "search_faces", {**DOOR, "FaceId": someone}),
        ("InvalidParameterException", "index_faces",
         {**DOOR, "Image": image(face), "ExternalImageId": "Anna B"}),
        ("InvalidParameterException", "search_faces_by_image", {**DOOR, "Image": image(faceless)}),
        ("InvalidImageFormatException", "detect_faces", {"Image": image(b"no photo")}),
        ("InvalidImageFormatException", "detect_faces", {"Image": image(face[:2000])}),
        ("ImageTooLargeException", "detect_faces", {"Image": image(huge)}),
        ("InvalidS3ObjectException", "detect_faces", {"Image": bucket}),
        ("InvalidPaginationTokenException", "list_faces", {**DOOR, "NextToken": "abc"}),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            boto3(operation, **arguments)
        assert caught.value.kind == kind, (operation, arguments, caught.value)
        told = caught.value.response
        assert told["Error"]["Code"] == kind
        assert told["Error"]["Message"]
        assert told["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert len(told["ResponseMetadata"]["RequestId"]) == 16
        if kind == "InvalidParameterException" and operation == "search_faces_by_image":
            assert "no faces" in told["Error"]["Message"]  # double-take looks for it


def test_wrong_signatures_are_refused(
    served: Running, boto3: Call, process: Client, face: bytes
) -> None:
    for who, kind, words in (
        ("late", "InvalidSignatureException", "Signature expired"),
        ("forged", "InvalidSignatureException", "does not match"),
        ("stranger", "UnrecognizedClientException", "security token"),
    ):
        with pytest.raises(ClientError, match=words) as caught:
            process(who, "list_collections")
        assert caught.value.response["Error"]["Code"] == kind
    assert boto3("list_collections")["CollectionIds"] == []
    key, _ = served.service.keys.create(scopes=["verify"], rate=1)
    access = access_key_id(key)
    with client("boto3", served.url, access, secret_access_key(access, master=MASTER)) as poor:
        with pytest.raises(ClientError) as caught:
            poor("rekognition", "list_collections")
        assert caught.value.kind == "AccessDeniedException"
        for _ in range(9):
            poor("rekognition", "detect_faces", Image=image(face))
        with pytest.raises(ClientError) as caught:
            poor("rekognition", "detect_faces", Image=image(face))
        assert caught.value.kind == "ThrottlingException"
        served.service.keys.revoke(key.id)
        with pytest.raises(ClientError, match="security token"):
            poor("rekognition", "detect_faces", Image=image(face))


def test_paginators(served: Running, boto3: Call, process: Client, face: bytes) -> None:
    for k in range(5):
        boto3("create_collection", CollectionId=f"c{k}")
    boto3("index_faces", CollectionId="c0", Image=image(face), ExternalImageId="u0")
    gallery = served.service.galleries["c0"]
    (first,) = gallery.faces("u0")
    gallery.store.add(
        [NewFace(f"u{k}", first.vector, first.model, first.model_sha256) for k in range(1, 7)]
    )
    for k in range(5):
        boto3("create_user", CollectionId="c0", UserId=f"u{k}")
    few = {"PaginationConfig": {"PageSize": 2}}
    for operation, arguments, rows, total in (
        ("list_collections", {}, "CollectionIds", 5),
        ("list_faces", {"CollectionId": "c0"}, "Faces", 7),
        ("list_users", {"CollectionId": "c0"}, "Users", 5),
    ):
        pages = process("pages", operation, **arguments, **few)
        assert [len(page[rows]) for page in pages] == [2] * (total // 2) + [1]
        whole = boto3(operation, **arguments)[rows]
        assert [row for page in pages for row in page[rows]] == whole


def test_the_page_runs(
    served: Running, boto3: Call, keys: tuple[str, str], face: bytes, tmp_path: Path
) -> None:
    """docs/switching/rekognition.md, with the variables that it names."""
    page = (ROOT / "docs" / "switching" / "rekognition.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "anna.jpg").write_bytes(face)
    values = dict(zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), keys, strict=True))
    values |= {"ENDPOINT_URL_REKOGNITION": served.url, "DEFAULT_REGION": "eu-central-1"}
    assert all(f"AWS_{name}=" in page for name in values)
    subprocess.run(
        [python("boto3"), "-c", block], check=True, cwd=tmp_path,
        env={**usual_environment(), **{f"AWS_{name}": value for name, value in values.items()}},
    )  # fmt: skip
    (found,) = boto3("list_faces", **DOOR)["Faces"]
    assert found["ExternalImageId"] == "anna"


def test_same_photos_same_decisions(boto3: Call, peers: Path, run: Run) -> None:
    """Real photos: a match exactly where the command says "same"."""
    same = 0
    for a, b in cases(peers):
        told = run("verify", a, b, "--json").json
        answer = boto3("compare_faces", SourceImage=image(a), TargetImage=image(b))
        wanted = similarity.rekognition(told["score"], threshold=told["threshold"])
        at = told["b"]["face"]["landmarks"][2][0] / _width(b)
        faces = [(one["Face"], one["Similarity"]) for one in answer["FaceMatches"]]
        faces += [(one, None) for one in answer["UnmatchedFaces"]]
        ((face, number),) = [one for one in faces if abs(one[0]["Landmarks"][2]["X"] - at) < 1e-4]
        assert face["Confidence"] == pytest.approx(100 * told["b"]["face"]["score"], abs=1e-3)
        assert (number is not None) is (told["same"] is True), (a, b)
        if number is not None:
            same += 1
            assert number == pytest.approx(wanted, abs=1e-3), (a, b)
    assert same == 6


def test_same_people_as_the_command_finds(
    served: Running, boto3: Call, peers: Path, run: Run
) -> None:
    boto3("create_collection", **DOOR)
    pairs = cases(peers)
    for k, (photo, _) in enumerate(pairs[:4]):
        boto3("index_faces", **DOOR, Image=image(photo), ExternalImageId=f"Person-{k}", MaxFaces=1)
    gallery = served.service.galleries["door"].location
    named = []
    for probe in [b for _, b in pairs[:5]] + [pairs[-1][1]]:
        (told,) = run(
            "identify", probe, "--gallery", gallery, "--faces", "largest", "--no-own-scores",
            "--json",
        ).json["photos"][0]["faces"]  # fmt: skip
        found = boto3("search_faces_by_image", **DOOR, Image=image(probe))["FaceMatches"]
        best = found[0]["Face"]["ExternalImageId"] if found else None
        assert best == told["person"], probe
        if best is not None:
            wanted = similarity.rekognition(told["score"], threshold=told["threshold"]["threshold"])
            assert found[0]["Similarity"] == pytest.approx(wanted, abs=1e-3)
        named.append(best)
    assert named.count(None) >= 1
    assert len({*named} - {None}) >= 3


def _width(photo: Path) -> int:
    with Image.open(photo) as opened:
        return int(ImageOps.exif_transpose(opened).width)
