"""Bad requests in CompreFace's interface: its shape of errors, and the next request is served."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.images.corpus import recipes
from tests.service.dialects.conftest import NOT_FOR_CLIENTS
from tests.service.running import Running
from tests.service.test_bodies import END, part, png_claims, raw

from visavis.errors import ImageError

DETECT = "/api/v1/detection/detect"
VERIFY = "/api/v1/verification/verify"
FACES = "/api/v1/recognition/faces"
SUBJECTS = "/api/v1/recognition/subjects"
RECOGNIZE = "/api/v1/recognition/recognize"
TEMPLATES = "/api/v1/recognition/embeddings/recognize"
JSON = "application/json"
FILE = {"files": {"file": b"no photo"}}

BAD: dict[str, tuple[str, dict[str, Any], int, int]] = {
    # target, request, status, code
    "no body": (DETECT, {}, 400, 34),
    "text": (DETECT, raw(b"hello", "text/plain"), 400, 0),
    "a photo as the body": (DETECT, raw(b"\xff\xd8\xff", "image/jpeg"), 400, 0),
    "no boundary": (DETECT, raw(b"x", "multipart/form-data"), 400, 0),
    "an empty form": (DETECT, raw(END), 400, 34),
    "another part only": (DETECT, raw(part("image", b"x") + END), 400, 34),
    "a photo as text": (DETECT, raw(part("file", b"x", filename=None) + END), 400, 0),
    "a URL as a file": (DETECT, raw(part("file", b"http://localhost/a.jpg") + END), 400, 21),
    "two photos": (DETECT, {"files": [("file", b"x"), ("file", b"y")]}, 400, 0),
    "thousands of parts": (DETECT, raw(part("file", b"x") * 5000 + END), 400, 0),
    "thousands of others": (DETECT, raw(part("x", b"y", filename=None) * 5000 + END), 400, 0),
    "no photo": (DETECT, FILE, 400, 21),
    "an empty photo": (DETECT, {"files": {"file": b""}}, 400, 21),
    "a PNG bomb": (DETECT, {"files": {"file": png_claims(30_000, 30_000)}}, 413, 21),
    "a photo over the limit": (DETECT, {"files": {"file": bytes(2_000_001)}}, 413, 21),
    "a body over the limit": (DETECT, {"files": {"file": bytes(9_000_000)}}, 413, 21),
    "compressed": (
        DETECT, {"content": b"x", "headers": {"Content-Type": JSON, "Content-Encoding": "gzip"}},
        400, 0,
    ),
    "JSON that is none": (DETECT, raw(b"{file}", JSON), 400, 36),
    "JSON, empty": (DETECT, raw(b"", JSON), 400, 36),
    "JSON, a list": (DETECT, {"json": ["x"]}, 400, 36),
    "JSON, a number": (DETECT, {"json": {"file": 1}}, 400, 36),
    "JSON, null": (DETECT, {"json": {"file": None}}, 400, 34),
    "JSON, no base64": (DETECT, {"json": {"file": "!!!"}}, 400, 21),
    "JSON, a URL": (DETECT, {"json": {"file": "http://localhost/a.jpg"}}, 400, 21),
    "JSON, a data URL of nothing": (DETECT, {"json": {"file": "data:image/png;base64,"}}, 400, 21),
    "JSON, deep": (DETECT, raw(b"[" * 200_000 + b"]" * 200_000, JSON), 400, 36),
    "JSON, a million numbers": (DETECT, raw(b'{"file":[' + b"0," * 10**6 + b"0]}", JSON), 400, 36),
    "one photo of two": (VERIFY, {"files": {"source_image": b"x"}}, 400, 34),
    "no subject": (FACES, FILE, 400, 33),
    "a limit that is none": (f"{DETECT}?limit=x", FILE, 400, 36),
    "a limit below 0": (f"{DETECT}?limit=-1", FILE, 400, 26),
    "a long limit": (f"{DETECT}?limit={'9' * 6000}", FILE, 400, 36),
    "a threshold that is none": (f"{DETECT}?det_prob_threshold=x", FILE, 400, 36),
    "a threshold above 1": (f"{DETECT}?det_prob_threshold=1.1", FILE, 400, 26),
    "a threshold of nan": (f"{DETECT}?det_prob_threshold=nan", FILE, 400, 26),
    "no prediction": (f"{RECOGNIZE}?prediction_count=0", FILE, 400, 26),
    "a negative page": (f"GET {FACES}?page=-1", {}, 400, 26),
    "a page of nothing": (f"GET {FACES}?size=0", {}, 400, 26),
    "a page far away": (f"GET {FACES}?page=99999999999", {}, 400, 26),
    "no name": (SUBJECTS, {"json": {}}, 400, 36),
    "a name that is a list": (SUBJECTS, {"json": {"subject": ["x"]}}, 400, 36),
    "a subject as a form": (SUBJECTS, {"data": {"subject": "x"}}, 400, 0),
    "a subject of 2 MB": (SUBJECTS, raw(b" " * 2_000_000, JSON), 413, 21),
    "ids that are none": (f"{FACES}/delete", {"json": {"a": 1}}, 400, 36),
    "very many ids": (f"{FACES}/delete", {"json": ["x"] * 10_001}, 400, 36),
    "templates of texts": (TEMPLATES, {"json": {"embeddings": [["x"]]}}, 400, 36),
    "templates of nothing": (TEMPLATES, {"json": {"embeddings": [[]]}}, 400, 36),
    "a template of nan": (TEMPLATES, raw(b'{"embeddings": [[NaN]]}', JSON), 400, 36),
    "an id that is a path": (f"DELETE {FACES}/..%2f..%2fetc", {}, 404, 0),
    "an id of SQL": (f"DELETE {FACES}/'%20or%201=1", {}, 404, 44),
    "an unknown route": ("GET /api/v1/nothing", {}, 404, 0),
    "another method": (f"PATCH {SUBJECTS}", {}, 405, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request(spoken: Running, name: str) -> None:
    target, request, status, code = BAD[name]
    method, _, path = target.rpartition(" ")
    answer = spoken.client.request(method or "POST", path, **request)
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), told
    assert {*told} == {"message", "code"}
    assert "\n" not in told["message"]
    assert not NOT_FOR_CLIENTS.search(told["message"])
    assert spoken.client.get(SUBJECTS).json() == {"subjects": []}


def test_a_number_that_is_too_large_is_told_the_largest(spoken: Running) -> None:
    told = [
        spoken.client.get(f"{FACES}?page=99999999999").json()["message"],
        spoken.client.post(f"{DETECT}?limit=99999999999", **FILE).json()["message"],
    ]
    assert ["0 to 1,000,000,000" in one for one in told] == [True, True]


@pytest.mark.parametrize(
    ("target", "methods"),
    [
        (f"PATCH {SUBJECTS}", "DELETE, GET, POST"),
        (f"GET {SUBJECTS}/Anna", "DELETE, PUT"),
        (f"PUT {FACES}", "DELETE, GET, POST"),
        ("GET /v1/vision/face/list", "POST"),
        ("GET /predict", "POST"),
        ("POST /ping", "GET"),
    ],
)
def test_another_method_is_told_which_there_are(spoken: Running, target: str, methods: str) -> None:
    method, _, path = target.partition(" ")
    answer = spoken.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
    assert f"use {methods}" in answer.text


@pytest.mark.parametrize("path", [SUBJECTS, "/v1/vision/face/list", "/predict"])
def test_the_services_own_refusals_have_the_shape_too(
    spoken: Running, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another site's page, and a bug: both are met outside the dialect's routes."""
    shape = {SUBJECTS: {"message", "code"}, "/predict": {"detail"}}.get(path, {"success", "error"})
    method = "GET" if path == SUBJECTS else "POST"
    foreign = spoken.client.request(method, path, headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, {*foreign.json()}) == (403, shape)
    strange = spoken.client.request(method, path, headers={"Host": "evil.example"})
    assert (strange.status_code, {*strange.json()}) == (403, shape)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Anna B")

    monkeypatch.setattr("visavis.service.routes.common.service_of", fail)
    bug = spoken.client.request(method, path)
    assert (bug.status_code, {*bug.json()}) == (500, shape)
    assert bug.headers["content-type"] == "application/json"
    assert "Anna" not in bug.text


def test_crafted_photos(spoken: Running, tmp_path: Any) -> None:
    """Every other one: all of them are tried with /v1."""
    tried = 0
    for recipe in recipes()[::2]:
        if recipe.expect is None or not issubclass(recipe.expect, ImageError):
            continue
        source = recipe.make(tmp_path)
        if isinstance(source, bytes):
            tried += 1
            photo = base64.b64encode(source).decode()
            answer = spoken.client.post(DETECT, json={"file": photo})
            assert answer.status_code in {400, 413}, recipe.name
            assert answer.json()["code"] == 21, recipe.name
            assert not NOT_FOR_CLIENTS.search(answer.json()["message"]), recipe.name
    assert tried >= 30
