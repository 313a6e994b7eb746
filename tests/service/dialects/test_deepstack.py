"""DeepStack's face API: what its clients send, and what they read."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.service.dialects.conftest import NOT_FOR_CLIENTS
from tests.service.running import Running
from tests.service.test_bodies import END, part, png_claims, raw

from visavis.service.dialects import similarity

FACE = "/v1/vision/face"


@pytest.fixture
def http(spoken: Running) -> Iterator[httpx.Client]:
    """The client of an empty gallery."""
    yield spoken.client
    people = spoken.service.galleries["door"]
    people.remove(*[person.name for person in people.people()])


def image(photo: bytes, **fields: Any) -> dict[str, Any]:
    return {"files": {"image": photo}, "data": fields}


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 200
    told = answer.json()
    assert {*told} == {"success", "error"}
    assert told["success"] is False
    return told["error"]


def test_detection(http: httpx.Client, face: bytes, faceless: bytes) -> None:
    wanted = http.post("/v1/detect", files={"photo": face}).json()["faces"]
    answer = http.post(FACE, **image(face, min_confidence="0.45", api_key="")).json()
    assert answer["success"] is True
    (one,) = answer["predictions"]
    x, y, width, height = wanted[0]["box"]
    sides = {"x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height}
    assert one == {"confidence": wanted[0]["score"]} | {
        name: min(max(round(side), 0), 300) for name, side in sides.items()
    }
    assert isinstance(answer["duration"], int)
    assert {"inferenceMs", "processMs", "moduleId", "command", "canUseGPU"} <= {*answer}
    assert http.post(FACE, **image(face, min_confidence=1)).json()["predictions"] == []
    assert http.post(FACE, **image(faceless)).json()["predictions"] == []


def test_people(http: httpx.Client, face: bytes, mirrored: bytes, faceless: bytes) -> None:
    assert http.post(f"{FACE}/list").json()["faces"] == []
    unknown = http.post(f"{FACE}/recognize", **image(face)).json()["predictions"]
    assert [(one["userid"], one["confidence"]) for one in unknown] == [("unknown", 0)]
    made = http.post(f"{FACE}/register", **image(face, userid=" Anna B ")).json()
    assert (made["success"], made["message"], made["Message"]) == (
        True, "face added", "face added",
    )  # fmt: skip
    both = {"image1": face, "image2": faceless}
    assert http.post(f"{FACE}/register", files=both, data={"userid": "Bea"}).json()["success"]
    assert http.post(f"{FACE}/list", data={"api_key": ""}).json()["faces"] == ["Anna B", "Bea"]
    assert http.post(f"{FACE}/delete", data={"userid": "Bea"}).json()["success"] is True
    assert "user id" in refused(http.post(f"{FACE}/delete", data={"userid": "Bea"}))
    wanted = http.post("/v1/identify", files={"photo": mirrored}).json()["faces"][0]
    (one,) = http.post(f"{FACE}/recognize", **image(mirrored)).json()["predictions"]
    assert one["userid"] == wanted["person"] == "Anna B"
    threshold = wanted["threshold"]["threshold"]
    assert one["confidence"] == pytest.approx(
        similarity.deepstack(wanted["score"], threshold=threshold)
    )
    assert 0.5 <= one["confidence"] < 1
    strict = http.post(f"{FACE}/recognize", **image(mirrored, min_confidence=1)).json()
    assert strict["predictions"][0]["userid"] == "unknown"
    assert http.post(f"{FACE}/recognize", **image(faceless)).json()["predictions"] == []
    assert "no face" in refused(http.post(f"{FACE}/register", **image(faceless, userid="Bea")))
    nobody = ({"userid": name} for name in ("", "unknown", "UNKNOWN", " Unknown ", "a\nb"))
    for fields in ({}, *nobody):
        refused(http.post(f"{FACE}/register", **image(face, **fields)))
    refused(http.post(f"{FACE}/register", data={"userid": "Bea"}))
    assert http.post(f"{FACE}/list").json()["faces"] == ["Anna B"]


def test_a_stranger_is_unknown(spoken: Running, http: httpx.Client, face: bytes) -> None:
    from visavis.gallery.records import NewFace

    known = spoken.service.galleries["door"].recognizer()
    vector = np.zeros(known.embedder.dimension, np.float32)
    vector[0] = 1
    new = NewFace("Bea", vector, known.model, known.model_sha256, known.pipeline_id)
    spoken.service.galleries["door"].store.add([new])
    (one,) = http.post(f"{FACE}/recognize", **image(face, min_confidence=0)).json()["predictions"]
    assert one["userid"] == "unknown"
    assert 0 < one["confidence"] < 0.5


def test_a_person_whom_somebody_called_unknown_is_no_stranger(
    spoken: Running, http: httpx.Client, face: bytes
) -> None:
    for name in ("unknown", "Unknown"):
        made = http.post("/v1/people", files={"photo": face}, data={"name": name}).json()["person"]
        (one,) = http.post(f"{FACE}/recognize", **image(face)).json()["predictions"]
        assert (one["userid"], one["confidence"] > 0.5) == (made["id"], True)
        assert http.post(f"{FACE}/delete", data={"userid": name}).json()["success"]


def test_the_rate_in_force_is_told(http: httpx.Client, face: bytes) -> None:
    assert "x-visavis-fpir" not in http.post(f"{FACE}/recognize", **image(face)).headers
    http.post(f"{FACE}/register", **image(face, userid="Anna"))
    wanted = http.post("/v1/identify", files={"photo": face}).json()["faces"][0]["threshold"]
    answer = http.post(f"{FACE}/recognize", **image(face))
    assert float(answer.headers["x-visavis-fpir"]) == pytest.approx(wanted["fpir"], rel=1e-2)


def test_a_name_in_bytes_that_are_no_text(http: httpx.Client) -> None:
    form = raw(b"userid=Ren%e9", "application/x-www-form-urlencoded")
    assert "UTF-8" in refused(http.post(f"{FACE}/register", **form))


def test_match(http: httpx.Client, face: bytes, mirrored: bytes, faceless: bytes) -> None:
    wanted = http.post("/v1/verify", files={"a": face, "b": mirrored}).json()
    answer = http.post(f"{FACE}/match", files={"image1": face, "image2": mirrored}).json()
    assert answer["similarity"] == pytest.approx(
        similarity.deepstack(wanted["score"], threshold=wanted["threshold"])
    )
    assert "no face" in refused(
        http.post(f"{FACE}/match", files={"image1": face, "image2": faceless})
    )


BAD: dict[str, tuple[str, dict[str, Any], int]] = {
    "no body": (FACE, {}, 200),
    "text": (FACE, raw(b"hello", "text/plain"), 200),
    "no boundary": (FACE, raw(b"x", "multipart/form-data"), 200),
    "an empty form": (FACE, raw(END), 200),
    "a photo as text": (FACE, raw(part("image", b"x", filename=None) + END), 200),
    "no photo": (FACE, image(b"no photo"), 200),
    "thousands of parts": (FACE, raw(part("image", b"x") * 5000 + END), 200),
    "a PNG bomb": (FACE, image(png_claims(30_000, 30_000)), 413),
    "a photo over the limit": (FACE, image(bytes(2_000_001)), 413),
    "a body over the limit": (FACE, image(bytes(9_000_000)), 413),
    "JSON that is none": (FACE, raw(b"{image}", "application/json"), 200),
    "JSON, a URL": (FACE, {"json": {"image": "http://localhost/a.jpg"}}, 200),
    "a form that is none": (
        f"{FACE}/list",
        raw(b"\xff=\xfe", "application/x-www-form-urlencoded"),
        200,
    ),
    "thousands of fields": (f"{FACE}/list", {"data": {str(k): "x" for k in range(5000)}}, 200),
    "a form of 2 MB": (f"{FACE}/list", {"data": {"x": "x" * 2_000_000}}, 413),
    "a confidence that is none": (FACE, image(b"x", min_confidence="x"), 200),
    "a confidence of nan": (FACE, image(b"x", min_confidence="nan"), 200),
    "a confidence above 1": (FACE, image(b"x", min_confidence=2), 200),
    "one photo of two": (f"{FACE}/match", {"files": {"image1": b"x"}}, 200),
    "nobody": (f"{FACE}/delete", {}, 200),
    "another route": ("/v1/vision/detection", image(b"x"), 404),
    "another method": (f"GET {FACE}", {}, 405),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request(spoken: Running, name: str) -> None:
    target, request, status = BAD[name]
    method, _, path = target.rpartition(" ")
    answer = spoken.client.request(method or "POST", path, **request)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    told = answer.json()
    assert (told["success"], {*told}) == (False, {"success", "error"}), told
    assert told["error"]
    assert "\n" not in told["error"]
    assert not NOT_FOR_CLIENTS.search(told["error"])
    assert spoken.client.post(f"{FACE}/list").json()["success"] is True


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_lines_of_the_page_run(
    spoken: Running, http: httpx.Client, tmp_path: Path, face: bytes, mirrored: bytes
) -> None:
    page = (Path(__file__).parents[3] / "docs/switching/deepstack.md").read_text("utf-8")
    (tmp_path / "anna.jpg").write_bytes(face)
    (tmp_path / "door.jpg").write_bytes(mirrored)
    lines = [line for line in page.splitlines() if line.startswith("curl ")]
    answers = [
        subprocess.run(
            line.replace("localhost:5000", spoken.url.removeprefix("http://")),
            shell=True, cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        for line in lines
    ]  # fmt: skip
    added, found = map(json.loads, answers)
    assert added["message"] == "face added"
    assert found["predictions"][0]["userid"] == "Anna B"
