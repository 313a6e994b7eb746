"""CompreFace's interface: what its clients send, and what they read."""

from __future__ import annotations

import base64
import io
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFilter
from tests.service.conftest import jpeg, options
from tests.service.running import Running, running

import visavis
from visavis.errors import OptionError, UnknownCalibrationError
from visavis.gallery.records import NewFace
from visavis.service.dialects import load, similarity
from visavis.service.dialects.ids import face_number, face_uuid
from visavis.service.state import GalleryPlace, Service

API = "/api/v1"
SUBJECTS, FACES = f"{API}/recognition/subjects", f"{API}/recognition/faces"
RECOGNIZE = f"{API}/recognition/recognize"
NOBODY = "00000000-0000-8000-8000-0000000f4240"


@pytest.fixture
def http(spoken: Running) -> Iterator[httpx.Client]:
    """The client of an empty gallery."""
    yield spoken.client
    spoken.client.delete(SUBJECTS)


@pytest.fixture(scope="module")
def pair(portrait: np.ndarray) -> bytes:
    """The portrait twice side by side, the right one smaller."""
    return side_by_side(portrait, (200, 200))


def side_by_side(portrait: np.ndarray, pixels: tuple[int, int]) -> bytes:
    """The portrait, and again in 200x200 pixels of which so many are its own."""
    face = Image.fromarray(portrait[:300, 80:380])
    small = np.asarray(face.resize(pixels).resize((200, 200)))
    wide = np.full((300, 520, 3), 127, np.uint8)
    wide[:, :300] = portrait[:300, 80:380]
    wide[50:250, 310:510] = small[:, ::-1]
    return jpeg(wide)


def file(photo: bytes) -> dict[str, Any]:
    return {"files": {"file": ("image.jpg", photo)}}


def refusal(answer: httpx.Response) -> tuple[int, int]:
    assert answer.headers["content-type"] == "application/json"
    assert {*answer.json()} == {"message", "code"}
    assert answer.json()["message"]
    return answer.status_code, answer.json()["code"]


def enrolled(http: httpx.Client, photo: bytes, name: str = "Anna B") -> str:
    answer = http.post(FACES, params={"subject": name}, **file(photo))
    assert answer.status_code == 201, answer.text
    return answer.json()["image_id"]


def test_subjects(http: httpx.Client, face: bytes) -> None:
    assert http.get(SUBJECTS).json() == {"subjects": []}
    made = http.post(SUBJECTS, json={"subject": " Anna B "})
    assert (made.status_code, made.json()) == (201, {"subject": "Anna B"})
    assert refusal(http.post(SUBJECTS, json={"subject": "Anna B"})) == (400, 43)
    body = {"subject": "Anna C", "api_endpoint": "Anna B"}  # as the SDK sends it
    assert http.put(f"{SUBJECTS}/Anna%20B", json=body).json() == {"updated": True}
    assert http.get(SUBJECTS).json() == {"subjects": ["Anna C"]}
    assert refusal(http.put(f"{SUBJECTS}/Anna%20B", json=body)) == (404, 42)
    enrolled(http, face, "Bea")
    assert http.put(f"{SUBJECTS}/Bea", json={"subject": "Anna C"}).json() == {"updated": True}
    assert http.get(SUBJECTS).json() == {"subjects": ["Anna C"]}  # the two were merged
    assert http.get(FACES).json()["faces"][0]["subject"] == "Anna C"
    assert http.delete(f"{SUBJECTS}/Anna%20C").json() == {"subject": "Anna C"}
    assert refusal(http.delete(f"{SUBJECTS}/Anna%20C")) == (404, 42)
    for name in ("Zoë", "O'Brien", "李小龍"):
        http.post(SUBJECTS, json={"subject": name})
    assert http.delete(SUBJECTS).json() == {"deleted": 3}
    assert http.get(SUBJECTS).json() == {"subjects": []}


@pytest.mark.parametrize("name", ["", "  ", "a;b", "a/b", "a\\b", "x" * 51, "a\nb", None, 1,
                                  ".", "..", " .. ", "An\ufffda"])  # fmt: skip
def test_names_that_are_refused(http: httpx.Client, name: Any, face: bytes) -> None:
    assert http.post(SUBJECTS, json={"subject": name}).status_code == 400
    if isinstance(name, str):
        answer = http.post(FACES, params={"subject": name}, **file(face))
        assert refusal(answer)[0] == 400
    assert http.get(SUBJECTS).json() == {"subjects": []}
    assert http.get(FACES).json()["total_elements"] == 0


def test_a_name_in_bytes_that_are_no_text(http: httpx.Client, face: bytes) -> None:
    answer = http.post(f"{FACES}?subject=Ren%e9", **file(face))  # Latin-1
    assert refusal(answer) == (400, 26)
    assert "UTF-8" in answer.json()["message"]
    assert http.get(SUBJECTS).json() == {"subjects": []}


def test_the_rate_in_force_is_told(
    spoken: Running, http: httpx.Client, face: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    empty = http.post(RECOGNIZE, **file(face))
    assert not [name for name in empty.headers if "fpir" in name]
    enrolled(http, face)
    add_stranger(spoken, "Bea")
    wanted = http.post("/v1/identify", files={"photo": face}).json()["faces"][0]["threshold"]
    (template,) = visavis.embed(face)
    vectors = {"embeddings": [template.vector.tolist()]}
    with caplog.at_level("INFO", "visavis.service"):
        answers = [
            http.post(RECOGNIZE, **file(face)),
            http.post(f"{API}/recognition/embeddings/recognize", json=vectors),
            http.get(SUBJECTS),
        ]
        ids = [answer.headers["x-request-id"] for answer in answers]
        for _ in range(100):  # a line is written when its answer has been sent
            lines = {getattr(one, "request", ""): vars(one) for one in caplog.records}
            if {*ids} <= {*lines}:
                break
            time.sleep(0.05)
    for answer in answers[:2]:
        assert float(answer.headers["x-visavis-fpir"]) == pytest.approx(wanted["fpir"], rel=1e-2)
        upper = float(answer.headers["x-visavis-fpir-upper"])
        assert upper == pytest.approx(wanted["fpir_ci"][1], rel=1e-2)
        assert upper > wanted["fpir"]  # two people say little about strangers
    rate = pytest.approx(wanted["fpir"], rel=1e-2)
    assert [lines[one].get("fpir") for one in ids] == [rate, rate, None]


def test_examples(http: httpx.Client, face: bytes, mirrored: bytes, faceless: bytes,
                  pair: bytes) -> None:  # fmt: skip
    first = enrolled(http, face)
    assert str(uuid.UUID(first)) == first
    assert enrolled(http, face) == first  # the same photo is one example
    data = "data:image/jpeg;base64," + base64.b64encode(mirrored).decode()
    second = http.post(FACES, params={"subject": "Anna B"}, json={"file": data, "more": 1})
    second_id = second.json()["image_id"]
    assert second_id != first
    page = http.get(FACES, params={"page": 1, "size": 1, "subject": ""}).json()
    assert page == {
        "faces": [{"image_id": second_id, "subject": "Anna B"}],
        "page_number": 1, "page_size": 1, "total_pages": 2, "total_elements": 2,
    }  # fmt: skip
    assert http.get(FACES, params={"subject": "Nobody"}).json()["total_elements"] == 0
    assert len(http.get(FACES, params={"subject": "Anna B"}).json()["faces"]) == 2
    none = http.post(FACES, params={"subject": "Anna B"}, **file(faceless))
    assert refusal(none) == (400, 28)
    assert none.json()["message"] == "No face is found in the given image"
    several = http.post(FACES, params={"subject": "Anna B"}, **file(pair))
    assert refusal(several) == (400, 31)
    blurred = Image.open(io.BytesIO(face)).filter(ImageFilter.GaussianBlur(8))
    poor = jpeg(np.asarray(blurred))
    refused = http.post(FACES, params={"subject": "Anna B"}, **file(poor))
    assert refusal(refused) == (400, 28)
    assert "quality score" in refused.json()["message"]
    assert http.get(FACES).json()["total_elements"] == 2
    for path in (f"{FACES}/{first}/img", f"/static/key/images/{first}"):
        assert (http.get(path).status_code, http.get(path).content) == (200, b"")
    gone = http.delete(f"{FACES}/{first}")
    assert gone.json() == {"image_id": first, "subject": "Anna B"}
    assert refusal(http.delete(f"{FACES}/{first}")) == (404, 44)
    some = http.post(f"{FACES}/delete", json=[NOBODY, second_id, first, second_id])
    assert some.json() == [{"image_id": second_id, "subject": "Anna B"}]
    assert http.get(SUBJECTS).json() == {"subjects": ["Anna B"]}  # a subject stays
    enrolled(http, face)
    assert http.delete(FACES, params={"subject": "Anna C"}).json() == {"deleted": 0}
    assert http.delete(FACES, params={"subject": "Anna B"}).json() == {"deleted": 1}
    enrolled(http, face)
    enrolled(http, mirrored, "Bea")
    assert http.delete(FACES).json() == {"deleted": 2}


def test_a_stored_crop_is_the_image(spoken: Running, http: httpx.Client, face: bytes) -> None:
    spoken.service.galleries["door"].enroll([("Anna B", face, "a.jpg")], keep_crops=True)
    (one,) = http.get(FACES).json()["faces"]
    for path in (f"{FACES}/{one['image_id']}/img", f"/static/key/images/{one['image_id']}"):
        assert http.get(path).content.startswith(b"\x89PNG")


def test_recognition_is_that_of_v1(spoken: Running, http: httpx.Client, face: bytes,
                                   mirrored: bytes, faceless: bytes) -> None:  # fmt: skip
    empty = http.post(RECOGNIZE, **file(face)).json()["result"]
    assert [one["subjects"] for one in empty] == [[]]
    enrolled(http, face)
    add_stranger(spoken, "Bea")
    wanted = http.post("/v1/identify", files={"photo": mirrored}).json()["faces"][0]
    answer = http.post(f"{RECOGNIZE}?&limit=0&det_prob_threshold=0.5&prediction_count=5"
                       "&face_plugins=landmarks,calculator,pose,age&status=True&more=1",
                       **file(mirrored)).json()  # fmt: skip
    (one,) = answer["result"]
    threshold = wanted["threshold"]["threshold"]
    assert [(row["subject"], row["similarity"]) for row in one["subjects"]] == [
        (c["person"], pytest.approx(similarity.compreface(c["score"], threshold=threshold)))
        for c in wanted["candidates"]
    ]
    assert [row["subject"] for row in one["subjects"]] == ["Anna B", "Bea"]
    assert one["subjects"][0]["similarity"] > 0.5 > one["subjects"][1]["similarity"]
    x, y, width, height = wanted["face"]["box"]
    box = one["box"]
    assert box.pop("probability") == pytest.approx(wanted["face"]["score"])
    sides = {"x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height}
    assert box == {name: min(max(round(side), 0), 300) for name, side in sides.items()}
    assert np.abs(np.subtract(one["landmarks"], wanted["face"]["landmarks"])).max() <= 0.5
    assert one["pose"] == {name: wanted["quality"][name] for name in ("pitch", "roll", "yaw")}
    assert np.linalg.norm(one["embedding"]) == pytest.approx(1, abs=1e-5)
    assert one["execution_time"]["calculator"] > 0
    assert answer["plugins_versions"] == {"detector": "yunet", "calculator": "sface"}
    assert {*one} == {"box", "subjects", "landmarks", "pose", "embedding", "execution_time"}
    plain = http.post(f"{RECOGNIZE}?&limit=1", json={"file": base64.b64encode(face).decode()})
    assert {*plain.json()} == {"result"}
    assert {*plain.json()["result"][0]} == {"box", "subjects"}
    assert len(plain.json()["result"][0]["subjects"]) == 1
    every = http.post(RECOGNIZE, params={"prediction_count": -1}, **file(face)).json()
    assert len(every["result"][0]["subjects"]) == 2
    assert refusal(http.post(RECOGNIZE, **file(faceless))) == (400, 28)
    sure = http.post(RECOGNIZE, params={"det_prob_threshold": 1}, **file(face))
    assert refusal(sure) == (400, 28)
    entries = [one.action for one in spoken.service.galleries["door"].audit()]
    assert "identify" in entries


def add_stranger(spoken: Running, name: str) -> None:
    """Enrolls somebody unlike everybody."""
    people = spoken.service.galleries["door"]
    known = people.recognizer()
    vector = np.random.default_rng(5).normal(size=known.embedder.dimension).astype(np.float32)
    vector /= np.linalg.norm(vector)
    pipeline = known.pipeline_id
    people.store.add([NewFace(name, vector, known.model, known.model_sha256, pipeline)])


def test_limit_keeps_the_largest_faces(http: httpx.Client, pair: bytes) -> None:
    every = http.post(f"{API}/detection/detect", **file(pair)).json()["result"]
    widths = [one["box"]["x_max"] - one["box"]["x_min"] for one in every]
    assert len(every) == 2
    assert widths[0] > widths[1]
    one = http.post(f"{API}/detection/detect", params={"limit": 1}, **file(pair)).json()
    assert one["result"] == every[:1]
    told = http.post(f"{API}/detection/detect", params={"face_plugins": "calculator, pose",
                     "status": "true"}, **file(pair)).json()  # fmt: skip
    assert [one["box"] for one in told["result"]] == [one["box"] for one in every]
    assert all({"embedding", "pose"} <= {*one} for one in told["result"])


def test_faces_that_the_detector_is_unsure_of_are_left_out(
    http: httpx.Client, portrait: np.ndarray, face: bytes
) -> None:
    photo = side_by_side(portrait, (30, 30))
    first, second = (one.score for one in visavis.detect(photo))
    between = {"det_prob_threshold": (first + second) / 2}
    assert second < between["det_prob_threshold"] < first
    assert refusal(http.post(FACES, params={"subject": "Anna B"}, **file(photo))) == (400, 31)
    made = http.post(FACES, params={"subject": "Anna B"} | between, **file(photo))
    assert made.status_code == 201
    verify = f"{API}/verification/verify"
    files = {"source_image": photo, "target_image": photo}
    assert refusal(http.post(verify, files=files)) == (400, 31)
    (one,) = http.post(verify, params=between, files=files).json()["result"]
    assert [match["similarity"] > 0.99 for match in one["face_matches"]] == [True]
    assert len(http.post(RECOGNIZE, params=between, **file(photo)).json()["result"]) == 1
    assert len(http.post(RECOGNIZE, **file(photo)).json()["result"]) == 2


def test_verification_is_that_of_v1(
    http: httpx.Client, face: bytes, mirrored: bytes, faceless: bytes, pair: bytes
) -> None:
    wanted = http.post("/v1/verify", files={"a": face, "b": mirrored}).json()
    verify = f"{API}/verification/verify"
    photos = {"source_image": ("a.jpg", face), "target_image": ("b.jpg", mirrored)}
    answer = http.post(f"{verify}?&status=True&face_plugins=landmarks", files=photos).json()
    ((one,),) = answer.values()
    assert {*one} == {"source_image_face", "face_matches", "plugins_versions"}
    (match,) = one["face_matches"]
    assert match["similarity"] == pytest.approx(
        similarity.compreface(wanted["score"], threshold=wanted["threshold"])
    )
    assert (match["similarity"] >= 0.5) is wanted["same"] is True
    assert {"box", "landmarks"} <= {*match} & {*one["source_image_face"]}
    encoded = {name: base64.b64encode(data).decode() for name, (_, data) in photos.items()}
    plain = http.post(verify, json=encoded).json()["result"][0]
    assert plain["face_matches"][0]["similarity"] == pytest.approx(match["similarity"])
    files = {"source_image": face, "target_image": pair}
    two = http.post(verify, files=files).json()["result"][0]["face_matches"]
    assert [one["similarity"] for one in two] == sorted(
        (one["similarity"] for one in two), reverse=True
    )
    assert len(two) == 2
    several = http.post(verify, files={"source_image": pair, "target_image": face})
    assert refusal(several) == (400, 31)
    for first, second in ((faceless, face), (face, faceless)):
        none = http.post(verify, files={"source_image": first, "target_image": second})
        assert refusal(none) == (400, 28)


def test_an_example_is_verified(http: httpx.Client, face: bytes, mirrored: bytes) -> None:
    example = enrolled(http, face)
    wanted = visavis.verify(face, mirrored)
    answer = http.post(f"{FACES}/{example}/verify", **file(mirrored)).json()
    ((one,),) = answer.values()
    assert one["subject"] == "Anna B"
    assert one["similarity"] == pytest.approx(
        similarity.compreface(wanted.score, threshold=wanted.threshold), abs=1e-4
    )
    assert refusal(http.post(f"{FACES}/{NOBODY}/verify", **file(face))) == (404, 44)
    assert refusal(http.post(f"{FACES}/42/verify", **file(face))) == (404, 44)


def test_templates_are_compared_as_their_photos_are(
    http: httpx.Client, face: bytes, mirrored: bytes
) -> None:
    asked = {"embeddings": [visavis.embed(photo)[0].vector.tolist() for photo in (mirrored, face)]}
    embeddings = f"{API}/recognition/embeddings"
    empty = http.post(f"{embeddings}/recognize", json=asked).json()["result"]
    assert [one["similarities"] for one in empty] == [[], []]
    example = enrolled(http, face)
    photo = http.post(RECOGNIZE, **file(mirrored)).json()["result"][0]["subjects"]
    found = http.post(f"{embeddings}/recognize", json=asked).json()["result"]
    assert [one["embedding"] for one in found] == asked["embeddings"]
    assert found[0]["similarities"][0]["subject"] == photo[0]["subject"] == "Anna B"
    assert found[0]["similarities"][0]["similarity"] == pytest.approx(
        photo[0]["similarity"], abs=1e-4
    )
    doubled = {"embeddings": (2 * np.array(asked["embeddings"])).tolist()}
    again = http.post(f"{embeddings}/recognize", json=doubled).json()["result"]
    assert [one["similarities"][0]["similarity"] for one in again] == pytest.approx(
        [one["similarities"][0]["similarity"] for one in found]
    )
    by_photo = http.post(f"{FACES}/{example}/verify", **file(mirrored)).json()["result"][0]
    by_template = http.post(f"{embeddings}/faces/{example}/verify", json=asked).json()["result"]
    assert by_template[0]["similarity"] == pytest.approx(by_photo["similarity"], abs=1e-4)
    sides = {"source": asked["embeddings"][1], "targets": asked["embeddings"]}
    compared = http.post(f"{API}/verification/embeddings/verify", json=sides).json()["result"]
    assert compared[0]["similarity"] == pytest.approx(by_photo["similarity"], abs=1e-4)
    assert compared[0]["similarity"] < compared[1]["similarity"] < 1
    for wrong in ([], [[0.0] * 128], [[1.0, 0.0]], [asked["embeddings"][0], [1.0]],
                  [[1e308] * 128], asked["embeddings"] * 11):  # fmt: skip
        answer = http.post(f"{embeddings}/recognize", json={"embeddings": wrong})
        assert refusal(answer) == (400, 37)


def test_ids_and_answers_survive_a_restart(
    tmp_path_factory: pytest.TempPathFactory, face: bytes, mirrored: bytes
) -> None:
    place = tmp_path_factory.mktemp("restarted")
    gallery = GalleryPlace(str(place / "door.gallery"), create=True)
    known = options(place, dialects=("compreface",))
    with running(Service({"door": gallery}, options=known)) as first:
        example = enrolled(first.client, face)
        before = first.client.post(f"{FACES}/{example}/verify", **file(mirrored)).json()
    with running(Service({"door": gallery}, options=known)) as second:
        assert second.client.get(FACES).json()["faces"] == [
            {"image_id": example, "subject": "Anna B"}
        ]
        after = second.client.post(f"{FACES}/{example}/verify", **file(mirrored)).json()
        assert after["result"][0]["similarity"] == pytest.approx(before["result"][0]["similarity"])
        assert second.client.delete(f"{FACES}/{example}").status_code == 200


def test_rates_that_the_service_was_started_with(
    tmp_path_factory: pytest.TempPathFactory, face: bytes, mirrored: bytes
) -> None:
    """The threshold of the asked FMR and FPIR is 0.5."""
    place = tmp_path_factory.mktemp("rates")
    gallery = GalleryPlace(str(place / "door.gallery"), create=True)
    known = options(place, dialects=("compreface",), fmr=1e-4, fpir=0.2)
    with running(Service({"door": gallery}, options=known)) as found:
        wanted = visavis.verify(face, mirrored, fmr=1e-4)
        photos = {"source_image": face, "target_image": mirrored}
        (one,) = found.client.post(f"{API}/verification/verify", files=photos).json()["result"]
        assert one["face_matches"][0]["similarity"] == pytest.approx(
            similarity.compreface(wanted.score, threshold=wanted.threshold), abs=1e-4
        )
        enrolled(found.client, face)
        params = {"fpir": 0.2}
        named = found.client.post("/v1/identify", params=params, files={"photo": mirrored}).json()
        (face_found,) = named["faces"]
        (row,) = found.client.post(RECOGNIZE, **file(mirrored)).json()["result"][0]["subjects"]
        assert row["similarity"] == pytest.approx(
            similarity.compreface(
                face_found["score"], threshold=face_found["threshold"]["threshold"]
            )
        )


def test_a_calibration_that_the_service_was_started_with(
    tmp_path_factory: pytest.TempPathFactory, face: bytes, mirrored: bytes
) -> None:
    place = tmp_path_factory.mktemp("calibrated")
    shipped = visavis.Recognizer().calibration
    assert shipped is not None
    points = [replace(one, threshold=one.threshold + 0.07) for one in shipped.points]
    own = replace(shipped, name="gate", points=tuple(points), reference={}, centered=None)
    visavis.CalibrationStore(place / "home").save(own)
    known = options(place, dialects=("compreface",), calibration="gate")
    gallery = GalleryPlace(str(place / "door.gallery"), create=True)
    with running(Service({"door": gallery}, options=known)) as found:
        photos = {"source_image": face, "target_image": mirrored}
        (one,) = found.client.post(f"{API}/verification/verify", files=photos).json()["result"]
        usual = visavis.verify(face, mirrored)
        assert one["face_matches"][0]["similarity"] == pytest.approx(
            similarity.compreface(usual.score, threshold=usual.threshold + 0.07), abs=1e-4
        )
        enrolled(found.client, face)
        named = found.client.post(
            "/v1/identify", params={"calibrations": "gate"}, files={"photo": mirrored}
        ).json()["faces"][0]
        other = found.client.post("/v1/identify", files={"photo": mirrored}).json()["faces"][0]
        assert named["threshold"]["threshold"] != other["threshold"]["threshold"]
        (row,) = found.client.post(RECOGNIZE, **file(mirrored)).json()["result"][0]["subjects"]
        assert row["similarity"] == pytest.approx(
            similarity.compreface(named["score"], threshold=named["threshold"]["threshold"])
        )
    with pytest.raises(UnknownCalibrationError):
        Service(options=replace(known, calibration="nowhere"))


def test_an_open_service_with_several_galleries_takes_a_name_as_the_key(
    tmp_path_factory: pytest.TempPathFactory, face: bytes
) -> None:
    place = tmp_path_factory.mktemp("several")
    galleries = {
        name: GalleryPlace(str(place / f"{name}.gallery"), create=True) for name in ("a", "b")
    }
    with running(Service(galleries, options=options(place, dialects=("compreface",)))) as found:
        http = found.client
        assert refusal(http.get(SUBJECTS)) == (404, 10)
        assert refusal(http.get(SUBJECTS, headers={"x-api-key": "c"})) == (404, 10)
        http.post(SUBJECTS, json={"subject": "Anna"}, headers={"x-api-key": "a"})
        for name, wanted in (("a", ["Anna"]), ("b", [])):
            answer = http.get(SUBJECTS, headers={"x-api-key": name})
            assert answer.json() == {"subjects": wanted}


def test_it_is_off_by_default(door: Running) -> None:
    answer = door.client.get(SUBJECTS)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_dialect_that_is_not_there() -> None:
    with pytest.raises(OptionError):
        load(["compreface", "azure"])


def test_ids_of_faces() -> None:
    for number in (1, 42, 2**40, 2**62 - 1):
        assert face_number(face_uuid(number)) == number
        assert face_number(face_uuid(number).upper()) == number
    for text in ("", "1", "x" * 36, str(uuid.uuid4()), face_uuid(0), face_uuid(1)[:-1] + "g"):
        assert face_number(text) is None
