"""Amazon Rekognition's interface: what its clients send, and what they read."""

from __future__ import annotations

import base64
import io
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from tests.service.conftest import jpeg, options
from tests.service.dialects.signing import call
from tests.service.running import Running, running

import visavis
from visavis.api.gallery import Key
from visavis.errors import VisavisError
from visavis.gallery.records import NewFace, StoredFace
from visavis.service.dialects import similarity
from visavis.service.dialects.rekognition.ids import face_id, number_of, page_start, page_token
from visavis.service.problems import ProblemError
from visavis.service.state import GalleryPlace, Service

Ask = Callable[..., dict[str, Any]]
NOWHERE = "00000000-0000-8000-8000-0000000f4240"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class AwsError(Exception):
    """An error as a client of AWS reads it; its text is the type."""


def refused(kind: str) -> Any:
    return pytest.raises(AwsError, match=rf"\A{kind}\Z")


def serve(place: Path, key: Key | None = None) -> Service:
    return Service(
        options=options(place, dialects=("rekognition",)),
        collections=GalleryPlace(str(place / "made"), access={"key": key}),
    )


def asking(found: Running) -> Ask:
    def ask(operation: str, **body: Any) -> dict[str, Any]:
        answer = call(found.client, operation, body)
        assert answer.headers["content-type"] == "application/x-amz-json-1.1"
        assert answer.headers["x-amzn-requestid"] == answer.headers["x-request-id"]
        plain: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            assert {*plain} == {"__type", "Code", "Logref", "Message"}
            raise AwsError(plain["__type"])
        return plain

    return ask


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An open service, whose clients may make collections."""
    with running(serve(tmp_path_factory.mktemp("aws"))) as found:
        yield found


@pytest.fixture
def aws(served: Running) -> Iterator[Ask]:
    """Calls of a service with the empty collection ``door``."""
    ask = asking(served)
    ask("CreateCollection", CollectionId="door")
    yield ask
    ask("DeleteCollection", CollectionId="door")


@pytest.fixture(scope="module")
def pair(portrait: np.ndarray) -> bytes:
    """Two faces: the portrait, and it mirrored and smaller."""
    small = np.asarray(Image.fromarray(portrait[:300, 80:380]).resize((200, 200)))
    wide = np.full((300, 520, 3), 127, np.uint8)
    wide[:, :300] = portrait[:300, 80:380]
    wide[50:250, 310:510] = small[:, ::-1]
    return jpeg(wide)


def image(photo: bytes) -> dict[str, str]:
    return {"Bytes": base64.b64encode(photo).decode()}


def indexed(aws: Ask, photo: bytes, external: str | None = None, **more: Any) -> list[str]:
    named = {} if external is None else {"ExternalImageId": external}
    answer = aws("IndexFaces", CollectionId="door", Image=image(photo), **named, **more)
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def listed(aws: Ask, **more: Any) -> dict[str, tuple[str | None, str | None]]:
    """``ExternalImageId`` and ``UserId`` of all faces, by id."""
    faces = aws("ListFaces", CollectionId="door", **more)["Faces"]
    return {one["FaceId"]: (one.get("ExternalImageId"), one.get("UserId")) for one in faces}


def test_collections_are_galleries(served: Running, aws: Ask, face: bytes) -> None:
    with refused("ResourceAlreadyExistsException"):
        aws("CreateCollection", CollectionId="door")
    names = [f"c{k}" for k in range(5)]
    for name in names:
        made = aws("CreateCollection", CollectionId=name, Tags={"a": "b"})
        assert made["StatusCode"] == 200
        # The region that requests are signed for.
        arn = f"aws:rekognition:eu-central-1:000000000000:collection/{name}"
        assert made["CollectionArn"] == arn
        assert aws("DescribeCollection", CollectionId=name)["CollectionARN"] == arn
    found: list[str] = []
    token: dict[str, str] = {}
    for size in (4, 2):
        answer = aws("ListCollections", MaxResults=4, **token)
        assert len(answer["CollectionIds"]) == len(answer["FaceModelVersions"]) == size
        found += answer["CollectionIds"]
        token = {"NextToken": answer.get("NextToken", "")}
    assert found == [*names, "door"]
    assert token == {"NextToken": ""}
    indexed(aws, face, "Anna")
    told = aws("DescribeCollection", CollectionId="door")
    assert (told["FaceCount"], told["UserCount"]) == (1, 0)
    assert abs(told["CreationTimestamp"] - datetime.now(UTC).timestamp()) < 600
    folder = Path(served.service.galleries["c1"].location)
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    for name in names:
        assert aws("DeleteCollection", CollectionId=name) == {"StatusCode": 200}
    assert [one.name for one in folder.parent.iterdir()] == ["door"]
    for operation in ("DescribeCollection", "DeleteCollection", "ListFaces", "ListUsers"):
        with refused("ResourceNotFoundException"):
            aws(operation, CollectionId="c1")
    for name in (".", "..", "..."):
        with refused("InvalidParameterException"):
            aws("CreateCollection", CollectionId=name)


def test_everything_survives_a_restart(tmp_path: Path, face: bytes, mirrored: bytes) -> None:
    key = Key.generate()
    with running(serve(tmp_path, key)) as first:
        aws = asking(first)
        aws("CreateCollection", CollectionId="door")
        (one,) = indexed(aws, face, "IMG_1.jpg")
        (two,) = indexed(aws, mirrored)
        aws("CreateUser", CollectionId="door", UserId="anna")
        aws("CreateUser", CollectionId="door", UserId="bea")
        aws("AssociateFaces", CollectionId="door", UserId="anna", FaceIds=[one])
        before = aws("ListFaces", CollectionId="door")["Faces"]
        users = aws("ListUsers", CollectionId="door")["Users"]
        left = tmp_path / "made" / "~deleted-0"  # by a killed process
        left.mkdir()
        (tmp_path / "made" / "begun").mkdir()
    with running(serve(tmp_path, key)) as second:
        assert second.service.galleries["door"].info().encrypted
        aws = asking(second)
        assert not left.exists()
        assert aws("ListFaces", CollectionId="door")["Faces"] == before
        assert listed(aws) == {one: ("IMG_1.jpg", "anna"), two: (None, None)}
        assert aws("ListUsers", CollectionId="door")["Users"] == users
        assert [user["UserStatus"] for user in users] == ["ACTIVE", "CREATED"]
        assert indexed(aws, mirrored) == [two]


def test_detected_faces_are_where_visavis_finds_them(
    aws: Ask, pair: bytes, faceless: bytes
) -> None:
    assert aws("DetectFaces", Image=image(faceless)) == {"FaceDetails": []}
    found = aws("DetectFaces", Image=image(pair), Attributes=["ALL"])["FaceDetails"]
    wanted = visavis.embed(pair, faces="all")
    wanted.sort(key=lambda one: -one.face.area)
    assert len(found) == len(wanted) == 2
    for told, one in zip(found, wanted, strict=True):
        box = told["BoundingBox"]
        pixels = (box["Left"] * 520, box["Top"] * 300, box["Width"] * 520, box["Height"] * 300)
        assert pixels == pytest.approx(one.face.box, abs=1e-3)
        assert told["Confidence"] == pytest.approx(100 * one.face.score)
        places = {mark["Type"]: (mark["X"] * 520, mark["Y"] * 300) for mark in told["Landmarks"]}
        names = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
        assert np.allclose([places[name] for name in names], one.face.landmarks, atol=1e-3)
        assert places["eyeLeft"] < places["eyeRight"]  # the viewer's left
        assert told["Pose"]["Yaw"] == pytest.approx(one.quality.yaw)
        assert told["Quality"]["Brightness"] == pytest.approx(100 * one.quality.exposure)
        assert 50 < told["Quality"]["Sharpness"] < 100
        assert {*told} == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}


def test_ratios_are_of_the_upright_photo(aws: Ask, face: bytes) -> None:
    """A camera stores it lying, and says so."""
    pixels = Image.open(io.BytesIO(face)).crop((0, 0, 300, 250))
    exif, turned, upright = Image.Exif(), io.BytesIO(), io.BytesIO()
    exif[0x0112] = 6
    pixels.rotate(90, expand=True).save(turned, "JPEG", exif=exif, quality=95)
    pixels.save(upright, "JPEG", quality=95)
    boxes = [
        aws("DetectFaces", Image=image(one.getvalue()))["FaceDetails"][0]["BoundingBox"]
        for one in (turned, upright)
    ]
    assert boxes[0] == pytest.approx(boxes[1], abs=0.03)


def test_compared_faces(
    served: Running, aws: Ask, face: bytes, pair: bytes, faceless: bytes
) -> None:
    answer = aws("CompareFaces", SourceImage=image(face), TargetImage=image(pair))
    assert answer["UnmatchedFaces"] == []
    first, second = answer["FaceMatches"]
    wanted = visavis.verify(face, pair, faces="largest")
    numbers = [first["Similarity"], second["Similarity"]]
    of_largest = numbers[[m["Face"]["BoundingBox"]["Width"] for m in answer["FaceMatches"]].index(
        max(m["Face"]["BoundingBox"]["Width"] for m in answer["FaceMatches"])
    )]  # fmt: skip
    assert of_largest == pytest.approx(
        similarity.rekognition(wanted.score, threshold=wanted.threshold), abs=1e-3
    )
    assert 100 > numbers[0] > numbers[1] > 80
    assert {*answer["SourceImageFace"]} == {"BoundingBox", "Confidence"}
    between = (numbers[0] + numbers[1]) / 2
    answer = aws("CompareFaces", SourceImage=image(face), TargetImage=image(pair),
                 SimilarityThreshold=between)  # fmt: skip
    assert [m["Similarity"] for m in answer["FaceMatches"]] == numbers[:1]
    assert answer["UnmatchedFaces"] == [second["Face"]]
    for photos in ((face, faceless), (faceless, face)):
        with refused("InvalidParameterException"):
            aws("CompareFaces", SourceImage=image(photos[0]), TargetImage=image(photos[1]))


def test_what_visavis_cannot_tell_is_no_match(aws: Ask, face: bytes) -> None:
    plain = Image.open(io.BytesIO(face))
    for radius in np.arange(4, 12, 0.5).tolist():
        poor = jpeg(np.asarray(plain.filter(ImageFilter.GaussianBlur(radius))))
        try:
            answer = visavis.verify(face, poor)
        except VisavisError:
            continue
        if answer.same is None:
            break
    else:
        pytest.fail("every blur is decided")
    numbers = {"SourceImage": image(face), "TargetImage": image(poor)}
    answer = aws("CompareFaces", **numbers)
    assert (answer["FaceMatches"], len(answer["UnmatchedFaces"])) == ([], 1)
    assert len(aws("CompareFaces", **numbers, SimilarityThreshold=0)["FaceMatches"]) == 1


def test_a_person_is_indexed_and_found(
    served: Running, aws: Ask, face: bytes, mirrored: bytes, faceless: bytes
) -> None:
    answer = aws("IndexFaces", CollectionId="door", Image=image(face), ExternalImageId="Anna:1")
    (record,) = answer["FaceRecords"]
    assert answer["UnindexedFaces"] == []
    assert record["Face"]["ExternalImageId"] == "Anna:1"
    assert UUID.fullmatch(record["Face"]["FaceId"])
    assert UUID.fullmatch(record["Face"]["ImageId"])
    assert uuid.UUID(record["Face"]["FaceId"]).version == 8
    assert record["Face"]["BoundingBox"] == pytest.approx(
        record["FaceDetail"]["BoundingBox"], abs=1e-4
    )
    gallery = served.service.galleries["door"]
    assert [person.name for person in gallery.people()] == ["Anna:1"]
    again = indexed(aws, face, "Anna:1")
    assert again == [record["Face"]["FaceId"]]
    assert aws("IndexFaces", CollectionId="door", Image=image(faceless))["FaceRecords"] == []
    found = aws("SearchFacesByImage", CollectionId="door", Image=image(mirrored))
    (match,) = found["FaceMatches"]
    assert match["Face"] == record["Face"]
    known = gallery.identify(mirrored, own_scores=False).faces[0]
    assert known.person == "Anna:1"
    assert match["Similarity"] == pytest.approx(
        similarity.rekognition(known.score, threshold=known.threshold.threshold), abs=1e-6
    )
    assert aws("SearchFacesByImage", CollectionId="door", Image=image(mirrored),
               FaceMatchThreshold=50 + match["Similarity"] / 2)["FaceMatches"] == []  # fmt: skip
    assert found["SearchedFaceConfidence"] == pytest.approx(100 * known.face.score)
    with refused("InvalidParameterException"):
        aws("SearchFacesByImage", CollectionId="door", Image=image(faceless))
    gone = aws("DeleteFaces", CollectionId="door", FaceIds=[*again, NOWHERE, *again])
    assert gone["DeletedFaces"] == again
    assert gone["UnsuccessfulFaceDeletions"] == [{"FaceId": NOWHERE, "Reasons": ["FACE_NOT_FOUND"]}]
    assert gallery.people() == []  # the name is gone, too
    assert aws("SearchFacesByImage", CollectionId="door", Image=image(face))["FaceMatches"] == []
    nobody = aws("SearchUsersByImage", CollectionId="door", Image=image(faceless))
    assert nobody["UserMatches"] == []
    assert "SearchedFace" not in nobody


def test_faces_of_a_group_are_people_of_their_own(
    served: Running, aws: Ask, pair: bytes, face: bytes
) -> None:
    """An ``ExternalImageId`` of several faces is the photo's, not a person's."""
    one, two = indexed(aws, pair, "party.jpg")
    assert listed(aws) == {one: ("party.jpg", None), two: ("party.jpg", None)}
    people = served.service.galleries["door"].people()
    assert [len(person.faces) for person in people] == [1, 1]
    assert indexed(aws, pair, "party.jpg") == [one, two]
    (three,) = indexed(aws, pair, "Anna", MaxFaces=1)
    answer = aws("IndexFaces", CollectionId="door", Image=image(pair), MaxFaces=1)
    assert [row["Reasons"] for row in answer["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]]
    four = answer["FaceRecords"][0]["Face"]["FaceId"]
    assert listed(aws) == {  # the same face under other ids, or none, is another
        one: ("party.jpg", None), two: ("party.jpg", None), three: ("Anna", None),
        four: (None, None),
    }  # fmt: skip
    assert indexed(aws, pair, MaxFaces=1) == [four]
    aws("DeleteFaces", CollectionId="door", FaceIds=[four])
    matches = aws("SearchFaces", CollectionId="door", FaceId=one)["FaceMatches"]
    assert [m["Face"]["FaceId"] for m in matches] == [three, two]  # not itself; best first
    assert matches[0]["Similarity"] > matches[1]["Similarity"] > 80
    assert len(aws("SearchFaces", CollectionId="door", FaceId=one, MaxFaces=1)["FaceMatches"]) == 1
    with refused("InvalidParameterException"):
        aws("SearchFaces", CollectionId="door", FaceId=NOWHERE)


def test_several_faces_of_a_person_count_each(
    served: Running, aws: Ask, face: bytes, mirrored: bytes
) -> None:
    ids = indexed(aws, face, "Anna") + indexed(aws, mirrored, "Anna")
    assert [person.name for person in served.service.galleries["door"].people()] == ["Anna"]
    found = aws("SearchFacesByImage", CollectionId="door", Image=image(mirrored))["FaceMatches"]
    assert [m["Face"]["FaceId"] for m in found] == ids[::-1]
    known = served.service.galleries["door"].identify(mirrored, own_scores=False).faces[0]
    assert found[0]["Similarity"] == pytest.approx(
        similarity.rekognition(known.score, threshold=known.threshold.threshold), abs=1e-6
    )
    assert found[1]["Similarity"] <= found[0]["Similarity"]
    others = aws("SearchFaces", CollectionId="door", FaceId=ids[0])["FaceMatches"]
    assert [m["Face"]["FaceId"] for m in others] == ids[1:]


def test_one_person_under_many_ids_is_still_found(
    served: Running, aws: Ask, face: bytes, mirrored: bytes
) -> None:
    """Clients index every photo under its own id; those scores are not non-mated."""
    (one,) = indexed(aws, face, "a.jpg")
    gallery = served.service.galleries["door"]
    model = gallery.faces("a.jpg")[0]
    people = np.random.default_rng(3).normal(size=(40, len(model.vector)))
    vectors = np.repeat(people / np.linalg.norm(people, axis=1, keepdims=True), 2, axis=0)
    gallery.store.add(
        [
            NewFace(f"{k}.jpg", vector.astype(np.float32), model.model, model.model_sha256)
            for k, vector in enumerate(vectors)
        ]
    )
    assert gallery.identify(mirrored).faces[0].person is None  # taken for high non-mated scores
    found = aws("SearchFacesByImage", CollectionId="door", Image=image(mirrored))["FaceMatches"]
    assert [m["Face"]["FaceId"] for m in found] == [one]


def test_the_rate_in_force_is_told(served: Running, aws: Ask, face: bytes) -> None:
    (number,) = indexed(aws, face, "Anna")
    people = served.service.galleries["door"]
    (template,) = visavis.embed(face)
    (wanted,) = people.identifier(own_scores=False).match(template.vector[None])
    for operation, more in (
        ("SearchFaces", {"FaceId": number}),
        ("SearchFacesByImage", {"Image": image(face)}),
        ("SearchUsersByImage", {"Image": image(face)}),
    ):
        answer = call(served.client, operation, {"CollectionId": "door", **more})
        assert float(answer.headers["x-visavis-fpir"]) == pytest.approx(wanted.point.fpir, rel=1e-2)
    assert "x-visavis-fpir" not in call(served.client, "ListCollections", {}).headers


def test_faces_below_the_bar_are_not_indexed(aws: Ask, face: bytes) -> None:
    dark = jpeg((np.asarray(Image.open(io.BytesIO(face))) * 0.06).astype(np.uint8))
    answer = aws("IndexFaces", CollectionId="door", Image=image(dark))
    assert answer["FaceRecords"] == []
    (row,) = answer["UnindexedFaces"]
    assert "LOW_BRIGHTNESS" in row["Reasons"]
    assert row["FaceDetail"]["Quality"]["Brightness"] < 12
    assert len(indexed(aws, dark, QualityFilter="NONE")) == 1
    for operation, more in (("SearchFacesByImage", {}), ("SearchUsersByImage", {})):
        with refused("InvalidParameterException"):
            aws(operation, CollectionId="door", Image=image(dark), QualityFilter="HIGH", **more)
    same = {"SourceImage": image(dark), "TargetImage": image(dark)}
    with refused("InvalidParameterException"):
        aws("CompareFaces", **same, QualityFilter="AUTO")


def test_users(served: Running, aws: Ask, face: bytes, mirrored: bytes, pair: bytes) -> None:
    door = {"CollectionId": "door"}
    one, two = indexed(aws, face, "1.jpg") + indexed(aws, mirrored)
    group = indexed(aws, pair, "party")
    assert aws("CreateUser", **door, UserId="anna", ClientRequestToken="t1") == {}
    assert aws("CreateUser", **door, UserId="anna", ClientRequestToken="t1") == {}  # sent again
    for more in ({}, {"ClientRequestToken": "t2"}):
        with refused("ConflictException"):
            aws("CreateUser", **door, UserId="anna", **more)
    assert aws("ListUsers", **door)["Users"] == [{"UserId": "anna", "UserStatus": "CREATED"}]
    assert aws("SearchUsersByImage", **door, Image=image(face))["UserMatches"] == []
    told = aws("AssociateFaces", **door, UserId="anna", FaceIds=[one, two, NOWHERE, one])
    assert [row["FaceId"] for row in told["AssociatedFaces"]] == [one, two]
    assert told["UnsuccessfulFaceAssociations"] == [
        {"FaceId": NOWHERE, "Reasons": ["FACE_NOT_FOUND"]}
    ]
    assert told["UserStatus"] == "ACTIVE"
    assert listed(aws)[one] == ("1.jpg", "anna")  # the id of the photo stays
    assert listed(aws)[two] == (None, "anna")
    assert {*listed(aws, UserId="anna")} == {one, two}
    assert listed(aws, UserId="anna", FaceIds=[two, group[0], NOWHERE]) == {two: (None, "anna")}
    gallery = served.service.galleries["door"]
    assert sorted(len(person.faces) for person in gallery.people()) == [1, 1, 1]
    assert sum(gallery.person("anna").faces.values()) == 2
    again = aws("AssociateFaces", **door, UserId="anna", FaceIds=[one])
    assert (again["AssociatedFaces"], again["UnsuccessfulFaceAssociations"]) == ([], [])
    aws("CreateUser", **door, UserId="bea")
    other = aws("AssociateFaces", **door, UserId="bea", FaceIds=[one, group[0]])
    assert other["UnsuccessfulFaceAssociations"] == [
        {"FaceId": one, "UserId": "anna", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}
    ]
    low = aws("AssociateFaces", **door, UserId="bea", FaceIds=[group[1]], UserMatchThreshold=100)
    (row,) = low["UnsuccessfulFaceAssociations"]
    assert (row["Reasons"], 80 < row["Confidence"] < 100) == (["LOW_MATCH_CONFIDENCE"], True)
    by_image = aws("SearchUsersByImage", **door, Image=image(pair))
    assert [m["User"]["UserId"] for m in by_image["UserMatches"]] == ["bea", "anna"]
    assert {*by_image["SearchedFace"]["FaceDetail"]} >= {"BoundingBox", "Pose", "Quality"}
    assert [r["Reasons"] for r in by_image["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]]
    by_face = aws("SearchUsers", **door, FaceId=group[1])
    assert by_face["SearchedFace"] == {"FaceId": group[1]}
    assert {m["User"]["UserId"] for m in by_face["UserMatches"]} == {"anna", "bea"}
    by_user = aws("SearchUsers", **door, UserId="anna", MaxUsers=5)
    assert [m["User"]["UserId"] for m in by_user["UserMatches"]] == ["bea"]
    for wrong in ({}, {"UserId": "anna", "FaceId": one}):
        with refused("InvalidParameterException"):
            aws("SearchUsers", **door, **wrong)
    kept = aws("DeleteFaces", **door, FaceIds=[one])
    assert kept["DeletedFaces"] == []
    assert kept["UnsuccessfulFaceDeletions"] == [
        {"FaceId": one, "UserId": "anna", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
    ]
    freed = aws("DisassociateFaces", **door, UserId="anna", FaceIds=[two, one, group[0], NOWHERE])
    assert [row["FaceId"] for row in freed["DisassociatedFaces"]] == [two, one]
    assert len(freed["UnsuccessfulFaceDisassociations"]) == 2
    assert freed["UserStatus"] == "CREATED"  # without faces, and there
    assert listed(aws)[one] == ("1.jpg", None)
    assert aws("ListUsers", **door)["Users"][0] == {"UserId": "anna", "UserStatus": "CREATED"}
    assert aws("DeleteUser", **door, UserId="bea") == {}
    assert listed(aws)[group[0]] == ("party", None)
    assert len(listed(aws)) == 4  # deleting a user deletes no face
    for operation, more in (("DeleteUser", {}), ("AssociateFaces", {"FaceIds": [one]}),
                            ("DisassociateFaces", {"FaceIds": [one]}), ("SearchUsers", {}),
                            ("ListFaces", {})):  # fmt: skip
        with refused("ResourceNotFoundException"):
            aws(operation, **door, UserId="bea", **more)
    assert [person.name for person in gallery.people() if not person.faces] == ["anna"]
    assert gallery.check().ok


def test_a_person_of_that_name_becomes_the_user(
    served: Running, aws: Ask, face: bytes, mirrored: bytes
) -> None:
    """Of those enrolled by an ``ExternalImageId`` or on the command line."""
    gallery = served.service.galleries["door"]
    gallery.enroll([("Anna Ivanova", face, "a.jpg"), ("bea", mirrored, "b.jpg")])
    gallery.set_attributes("bea", {"desk": 3})
    aws("CreateUser", CollectionId="door", UserId="bea")
    assert sorted(listed(aws).values()) == [("Anna Ivanova", None), ("bea", "bea")]
    found = aws("ListFaces", CollectionId="door")["Faces"]
    assert "BoundingBox" not in found[0]  # not known
    aws("DeleteUser", CollectionId="door", UserId="bea")
    assert sorted(listed(aws).values()) == [("Anna Ivanova", None), ("bea", None)]
    assert gallery.person("bea").attributes == {"desk": 3}
    aws("CreateUser", CollectionId="door", UserId="cem")
    (face_of_bea,) = (one for one, (external, _) in listed(aws).items() if external == "bea")
    aws("AssociateFaces", CollectionId="door", UserId="cem", FaceIds=[face_of_bea])
    assert listed(aws)[face_of_bea] == ("bea", "cem")
    assert "bea" not in gallery
    assert gallery.person("cem").attributes["desk"] == 3  # nothing is lost


def test_long_lists_come_in_pages(served: Running, aws: Ask, face: bytes) -> None:
    indexed(aws, face, "a")
    gallery = served.service.galleries["door"]
    model = gallery.faces("a")[0]
    gallery.store.add(
        [NewFace(f"p{k}", model.vector, model.model, model.model_sha256) for k in range(6)]
    )
    for k in range(5):
        aws("CreateUser", CollectionId="door", UserId=f"p{k}")
    for operation, rows, key, total in (
        ("ListFaces", "Faces", "FaceId", 7), ("ListUsers", "Users", "UserId", 5)
    ):  # fmt: skip
        seen, token = [], {}
        for _ in range(4):
            answer = aws(operation, CollectionId="door", MaxResults=3, **token)
            seen += [row[key] for row in answer[rows]]
            if "NextToken" not in answer:
                break
            token = {"NextToken": answer["NextToken"]}
        assert len(seen) == len(set(seen)) == total
        whole = aws(operation, CollectionId="door")
        assert [row[key] for row in whole[rows]] == seen
        assert "NextToken" not in whole
        page = aws(operation, CollectionId="door", MaxResults=3)["NextToken"]
        for wrong in ("x", page[:-1], page + "A", page[::-1], "ä" * 9, page_token("faces x", 3)):
            with refused("InvalidPaginationTokenException"):
                aws(operation, CollectionId="door", NextToken=wrong)
    faces = aws("ListFaces", CollectionId="door", MaxResults=3)["NextToken"]
    with refused("InvalidPaginationTokenException"):
        aws("ListUsers", CollectionId="door", NextToken=faces)


def test_a_full_queue_and_a_rate_are_throttling(aws: Ask, served: Running, face: bytes) -> None:
    """Clients of AWS wait and ask again."""
    from visavis.service.dialects.rekognition.wire import refuse

    for reason in ("busy", "rate-limit"):
        answer = refuse(ProblemError(429, reason, "x", "y"), "0123")
        assert answer.status_code == 400
        assert b'"__type":"ThrottlingException"' in answer.body
    for status, kind in ((500, b"InternalServerError"), (422, b"InvalidParameterException")):
        assert kind in bytes(refuse(ProblemError(status, "other", "x", "y"), "0123").body)


def stored(number: int, created: str, sha256: str) -> StoredFace:
    vector = np.zeros(4, dtype=np.float32)
    return StoredFace(number, "x", vector, "m", "a" * 64, "", 1.0, "", sha256, created, None, False)


@given(
    number=st.integers(1, 2**62 - 1), other=st.integers(1, 2**62 - 1),
    created=st.datetimes().map(lambda one: one.isoformat()),
    sha256=st.binary(min_size=32, max_size=32),
)  # fmt: skip
def test_ids_are_uuids_of_numbers_and_tokens_of_pages(
    number: int, other: int, created: str, sha256: bytes
) -> None:
    first = face_id(stored(number, created, sha256.hex()))
    assert UUID.fullmatch(first)
    assert uuid.UUID(first).version == 8
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert number_of(first) == number
    assert first == face_id(stored(number, created, sha256.hex()))
    elsewhere = face_id(stored(number, created + "1", sha256.hex()))
    assert elsewhere != first  # another gallery's
    assert (face_id(stored(other, created, sha256.hex())) == first) == (other == number)
    token = page_token("a", number)
    assert len(token) <= 255
    assert page_start("a", token) == number
    with pytest.raises(ProblemError):
        page_start("b", token)
