"""Immich's machine learning protocol: recorded requests, and an upstream for other entries."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from tests.service.conftest import options
from tests.service.dialects.conftest import NOT_FOR_CLIENTS
from tests.service.running import Running, running
from tests.service.test_bodies import png_claims

import visavis
from visavis.errors import OptionError
from visavis.service.problems import ProblemError
from visavis.service.state import Service
from visavis.service.upstream import forward, upstream_url

RECORDED = Path(__file__).parent / "immich_requests"
"""What Immich's server sent; the README there says how it was recorded."""

BOUNDARY = "----formdata-undici-047382910345"
ENTRIES = {
    "facial-recognition": {
        "detection": {"modelName": "buffalo_l", "options": {"minScore": 0.7}},
        "recognition": {"modelName": "buffalo_l"},
    }
}
CLIP = {"clip": {"visual": {"modelName": "ViT-B-32__openai"}}}


def in_its_form(
    entries: Any, image: bytes | None = None, text: str | None = None
) -> dict[str, Any]:
    """A request with a body as Immich's server writes it."""
    plain = entries if isinstance(entries, str) else json.dumps(entries, separators=(",", ":"))
    parts = [b'name="entries"\r\n\r\n' + plain.encode()]
    if image is not None:
        kind = b'name="image"; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\n'
        parts.append(kind + image)
    if text is not None:
        parts.append(b'name="text"\r\n\r\n' + text.encode())
    body = b"".join(
        b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-data; " + part + b"\r\n"
        for part in parts
    )
    return {
        "content": body + b"--" + BOUNDARY.encode() + b"--\r\n",
        "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    }


def parts_of(body: bytes, content_type: str) -> dict[str, bytes]:
    """The parts of a form by name, as Python's own e-mail parser reads them."""
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    return {
        str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True)
        for part in form.get_payload()
    }


def recorded_parts(name: str) -> dict[str, bytes]:
    """The parts of a recorded request."""
    head, _, body = (RECORDED / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    lines = [line.decode().partition(": ") for line in head.split(b"\r\n")[1:]]
    return parts_of(body, {key: value for key, _, value in lines}["content-type"])


def replay(url: str, name: str) -> tuple[int, bytes]:
    """Sends a recorded request, byte for byte; returns status and body of the answer."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall((RECORDED / f"{name}.http").read_bytes())
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


class Stub(ThreadingHTTPServer):
    """A stand-in for Immich's own machine learning."""

    answer: bytes | list[bytes] = b"{}"
    status = 200
    headers: ClassVar[dict[str, str]] = {}
    seconds = 0.0
    requests: list[tuple[str, str, bytes]]

    def handle_error(self, *_: Any) -> None:
        """A client may leave."""


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, self.headers["content-type"], body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        answer = self.server.answer
        for part in answer if isinstance(answer, list) else [answer]:
            time.sleep(self.server.seconds)
            self.wfile.write(part)
            self.wfile.flush()

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def stub(**attributes: Any) -> Iterator[tuple[Stub, str]]:
    with Stub(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.requests = []
        for name, value in attributes.items():
            setattr(server, name, value)
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield server, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.fixture
def alone(spoken: Running) -> httpx.Client:
    """The client of a service without upstream."""
    return spoken.client


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Stub]]:
    """A service with an upstream."""
    place = tmp_path_factory.mktemp("together")
    answer = json.dumps({"clip": "[0.1,0.2]", "imageHeight": 1, "imageWidth": 1}).encode()
    with stub(answer=answer) as (server, url):
        known = options(place, dialects=("immich",), upstream=url)
        with running(Service(options=known)) as found:
            yield found, server


def test_it_says_that_it_is_there(alone: httpx.Client) -> None:
    assert (alone.get("/ping").status_code, alone.get("/ping").text) == (200, "pong")
    assert alone.get("/").json() == {"message": "Immich ML"}


def test_recorded_requests_about_faces(spoken: Running) -> None:
    assert replay(spoken.url, "ping") == (200, b"pong")
    status, body = replay(spoken.url, "faces")
    assert status == 200
    told = json.loads(body)
    assert {*told} == {"facial-recognition", "imageHeight", "imageWidth"}
    assert (told["imageHeight"], told["imageWidth"]) == (200, 200)
    (one,) = told["facial-recognition"]
    assert {*one} == {"boundingBox", "embedding", "score"}
    (template,) = visavis.embed(recorded_parts("faces")["image"])
    left, top, width, height = template.face.box
    assert one["boundingBox"] == {
        "x1": round(left), "y1": round(top), "x2": round(left + width), "y2": round(top + height)
    }  # fmt: skip
    assert one["score"] == pytest.approx(template.face.score, abs=1e-6)
    vector = json.loads(one["embedding"])
    assert len(vector) == 512  # of Immich's column
    assert vector == pytest.approx([*template.vector, *[0.0] * (512 - 128)], abs=1e-4)


@pytest.mark.parametrize("name", ["clip", "text", "ocr"])
def test_recorded_requests_for_the_upstream(together: tuple[Running, Stub], name: str) -> None:
    found, server = together
    server.requests.clear()
    status, body = replay(found.url, name)
    assert (status, json.loads(body)) == (200, json.loads(server.answer))
    ((path, kind, forwarded),) = server.requests
    assert path == "/predict"
    assert parts_of(forwarded, kind) == recorded_parts(name)


def test_a_request_in_its_form(alone: httpx.Client, face: bytes, mirrored: bytes) -> None:
    answer = alone.post("/predict", **in_its_form(ENTRIES, face))
    assert answer.status_code == 200
    told = answer.json()
    assert {*told} == {"facial-recognition", "imageHeight", "imageWidth"}
    assert (told["imageHeight"], told["imageWidth"]) == (300, 300)
    (one,) = told["facial-recognition"]
    assert {*one} == {"boundingBox", "embedding", "score"}
    assert 0.7 <= one["score"] <= 1
    (template,) = visavis.embed(face)
    x, y, width, height = template.face.box
    sides = {"x1": x, "y1": y, "x2": x + width, "y2": y + height}
    assert one["boundingBox"] == {
        name: min(max(round(side), 0), 300) for name, side in sides.items()
    }
    assert isinstance(one["embedding"], str)
    vector = np.array(json.loads(one["embedding"]))
    assert vector.shape == (512,)
    assert vector[: len(template.vector)] == pytest.approx(template.vector, abs=1e-4)
    assert not vector[len(template.vector) :].any()
    # Immich's distance of two photos is 1 - score: padding changes no cosine.
    other = alone.post("/predict", **in_its_form(ENTRIES, mirrored)).json()["facial-recognition"][0]
    score = vector @ np.array(json.loads(other["embedding"]))
    assert score == pytest.approx(visavis.verify(face, mirrored).score, abs=1e-3)


def test_photos_without_faces_or_with_unsure_ones(
    alone: httpx.Client, face: bytes, faceless: bytes
) -> None:
    told = alone.post("/predict", **in_its_form(ENTRIES, faceless)).json()
    assert told == {"facial-recognition": [], "imageHeight": 64, "imageWidth": 64}
    sure = {"facial-recognition": {"detection": {"options": {"minScore": 1}}}}
    assert alone.post("/predict", **in_its_form(sure, face)).json()["facial-recognition"] == []
    assert alone.post("/predict", **in_its_form({}, face)).json() == {}


def test_other_entries_go_to_the_upstream(together: tuple[Running, Stub], face: bytes) -> None:
    found, server = together
    server.requests.clear()
    both = found.client.post("/predict", **in_its_form(ENTRIES | CLIP, face)).json()
    assert both["clip"] == "[0.1,0.2]"
    assert len(both["facial-recognition"]) == 1
    assert (both["imageHeight"], both["imageWidth"]) == (300, 300)
    ((path, kind, body),) = server.requests
    assert path == "/predict"
    assert kind.startswith("multipart/form-data; boundary=")
    assert face in body
    assert json.dumps(CLIP, separators=(",", ":")).encode() in body
    assert b"facial-recognition" not in body
    server.requests.clear()
    textual = {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {"l": "en"}}}}
    searched = found.client.post("/predict", **in_its_form(textual, text="two dogs, één"))
    assert searched.json()["clip"] == "[0.1,0.2]"
    assert "two dogs, één".encode() in server.requests[0][2]
    found.client.post("/predict", **in_its_form(ENTRIES, face))
    assert len(server.requests) == 1  # faces alone stay here


def test_without_an_upstream_other_entries_are_refused(alone: httpx.Client, face: bytes) -> None:
    answer = alone.post("/predict", **in_its_form(ENTRIES | CLIP, face))
    assert answer.status_code == 501
    assert "--upstream" in answer.json()["detail"]


def ask(url: str, *, seconds: float = 5, most: int = 1000) -> bytes:
    return forward(
        upstream_url(url), "/predict", texts={"entries": "{}"}, files={}, seconds=seconds, most=most
    )


def test_an_upstream_that_fails(spoken: Running) -> None:
    with stub() as (other, elsewhere), stub() as (server, url):
        assert ask(url) == b"{}"
        assert ask(f"{url}/ml/") == b"{}"
        assert server.requests[-1][0] == "/ml/predict"
        server.headers = {"Content-Length": "2", "Connection": "close"}
        assert ask(url) == b"{}"
        for status in (301, 302, 307, 308):  # a redirect is never followed
            server.status, server.headers = status, {"Location": f"{elsewhere}/predict"}
            with pytest.raises(ProblemError, match=str(status)):
                ask(url)
        assert other.requests == []
        server.status, server.headers = 500, {}
        with pytest.raises(ProblemError, match="500"):
            ask(url)
        server.status, server.answer = 200, b"x" * 1001
        with pytest.raises(ProblemError, match="1,000 bytes"):
            ask(url)
        server.answer = b"x" * 1000
        assert len(ask(url)) == 1000
        server.answer, server.seconds = [b"x"] * 100, 0.1  # each part in time, not the whole
        with pytest.raises(ProblemError) as slow:
            ask(url, seconds=0.5)
        assert slow.value.status == 504
        server.seconds = 1
        with pytest.raises(ProblemError) as silent:
            ask(url, seconds=0.2)
        assert silent.value.status == 504
    with pytest.raises(ProblemError) as closed:
        ask(url)
    assert closed.value.status == 502


def test_an_answer_that_is_no_json(together: tuple[Running, Stub], face: bytes) -> None:
    found, server = together
    before = server.answer
    try:
        for answer in (b"<html>", b"[]", b"\xff", b"[" * 100_000):
            server.answer = answer
            refused = found.client.post("/predict", **in_its_form(CLIP, face))
            assert refused.status_code == 502, answer
            assert {*refused.json()} == {"detail"}
    finally:
        server.answer = before


@pytest.mark.parametrize(
    "url",
    ["", "immich:3003", "ftp://a", "http://", "file:///etc/passwd", "http://a:x", "http://a:99999",
     "http://user:secret@a", "http://a/?b", "http://a/#b", "http://a\n.b", "http://[::1"],
)  # fmt: skip
def test_urls_that_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(OptionError, match="http://immich-ml"):
        options(tmp_path, dialects=("immich",), upstream=url)
    with pytest.raises(OptionError, match="--dialect immich"):
        options(tmp_path, upstream="http://immich-ml:3003")


BAD: dict[str, tuple[dict[str, Any], int]] = {
    "no body": ({}, 422),
    "no entries": ({"files": {"image": b"x"}}, 422),
    "entries that are none": (in_its_form("{", b"x"), 422),
    "entries that are a list": (in_its_form([], b"x"), 422),
    "entries of texts": (in_its_form({"facial-recognition": "x"}, b"x"), 422),
    "a detection that is none": (in_its_form({"facial-recognition": {"detection": 1}}, b"x"), 422),
    "a score that is none": (
        in_its_form({"facial-recognition": {"detection": {"options": {"minScore": "x"}}}}, b"x"),
        422,
    ),
    "a score above 1": (
        in_its_form({"facial-recognition": {"detection": {"options": {"minScore": 2}}}}, b"x"),
        422,
    ),
    "deep entries": (in_its_form("[" * 9000, b"x"), 422),
    "entries of 1 MB": (in_its_form("x" * 1_000_000, b"x"), 400),
    "neither image nor text": (in_its_form(ENTRIES), 400),
    "faces in a text": (in_its_form(ENTRIES, text="x"), 422),
    "no photo": (in_its_form(ENTRIES, b"x"), 415),
    "an empty photo": (in_its_form(ENTRIES, b""), 422),
    "a PNG bomb": (in_its_form(ENTRIES, png_claims(30_000, 30_000)), 413),
    "a body over the limit": (in_its_form(ENTRIES, bytes(9_000_000)), 413),
    "two images": (
        {"files": [("image", b"x"), ("image", b"y")], "data": {"entries": "{}"}},
        422,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request(alone: httpx.Client, name: str) -> None:
    request, status = BAD[name]
    answer = alone.post("/predict", **request)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert {*answer.json()} == {"detail"}
    assert not NOT_FOR_CLIENTS.search(answer.json()["detail"])
    assert alone.get("/ping").text == "pong"


def test_another_method_is_refused_in_its_shape(alone: httpx.Client) -> None:
    answer = alone.get("/predict")
    assert (answer.status_code, {*answer.json()}) == (405, {"detail"})
