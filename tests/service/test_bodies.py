"""Bad requests: the right 4xx, and the next request is served."""

from __future__ import annotations

import ast
import base64
import io
import json
import re
import socket
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.images.corpus import recipes
from tests.service.conftest import jpeg, options
from tests.service.running import Running, running
from tests.service.test_routes import archive

from visavis.errors import ImageError, ImageTooLargeError, NotAnImageError
from visavis.service import problems, server
from visavis.service.state import GalleryPlace, Service
from visavis.service.uploads import Photo, file_name, safe_name

FORM = "multipart/form-data; boundary=x"
TRICKS = {
    "control characters": "a\r\nSet-Cookie: x.jpg",
    "folders": "../../../../etc/passwd",
    "a drive": "C:\\windows\\system32\\a.jpg",
    "right to left": "gpj.\u202eexe.jpg",
    "10 kB": "a" * 10_000 + ".jpg",
    "NUL": "a\0.jpg",
    "dots": "....",
    "dash": "-rf.jpg",
    "emoji": "\U0001f600.jpg",
    "a template": "{{7*7}}%s%n.jpg",
    "markup": "<script>alert(1)</script>.jpg",
    "half a surrogate": "\ud800.jpg".encode("utf-8", "surrogatepass").decode("latin-1"),
}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def raw(body: bytes, kind: str = FORM) -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": kind}}


def part(name: str, content: bytes, *, filename: str | None = "a.jpg", more: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n'
    return head.encode("utf-8", "surrogatepass") + content + b"\r\n"


END = b"--x--\r\n"
OK = part("photo", b"no photo") + END


def zip_of(files: dict[str, bytes], *, edit: Callable[[bytearray], None] | None = None) -> bytes:
    data = bytearray(archive(files))
    if edit is not None:
        edit(data)
    return bytes(data)


def deflated(name: str, size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, bytes(size))
    return file.getvalue()


def encrypted(data: bytearray) -> None:
    """Sets the flag of an encrypted entry, here and in the directory."""
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1


def png_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


DETECT, VERIFY, PEOPLE, CLUSTER = "/v1/detect", "/v1/verify", "/v1/people", "/v1/cluster"
ONE = "/v1/people/00000000-0000-4000-8000-000000000000"

BAD: dict[str, tuple[str, dict[str, Any], int]] = {
    # forms
    "no body": (DETECT, {}, 415),
    "no content type": (DETECT, {"content": OK}, 415),
    "text": (DETECT, raw(b"hello", "text/plain"), 415),
    "a photo as the body": (DETECT, raw(b"\xff\xd8\xff", "image/jpeg"), 415),
    "a form of a browser": (DETECT, {"data": {"photo": "x"}}, 415),
    "a content type that never ends": (DETECT, raw(OK, "a" * 5000), 415),
    "compressed": (
        DETECT, {"content": OK, "headers": {"Content-Type": FORM, "Content-Encoding": "gzip"}}, 415,
    ),
    "no boundary": (DETECT, raw(OK, "multipart/form-data"), 400),
    "empty boundary": (DETECT, raw(OK, "multipart/form-data; boundary="), 400),
    "another boundary": (DETECT, raw(OK, "multipart/form-data; boundary=y"), 400),
    "a boundary of 5 kB": (DETECT, raw(OK, "multipart/form-data; boundary=" + "b" * 5000), 400),
    "an empty form": (DETECT, raw(END), 422),
    "an empty body of a form": (DETECT, raw(b""), 422),
    "a form without its end": (DETECT, raw(part("photo", b"x")[:-2]), 422),
    "a part without a name": (
        DETECT, raw(b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END), 400,
    ),
    "a part without a header": (DETECT, raw(b"--x\r\n\r\nx\r\n" + END), 400),
    "headers that never end": (DETECT, raw(b"--x\r\nA: " + b"a" * 100_000), 400),
    "many headers": (DETECT, raw(b"--x\r\n" + b"A: b\r\n" * 20_000 + b"\r\nx\r\n" + END), 400),
    "a header that is no header": (DETECT, raw(b"--x\r\n\0\1\2\r\n\r\nx\r\n" + END), 400),
    "a photo as text": (DETECT, raw(part("photo", b"x", filename=None) + END), 422),
    "a URL as text": (
        DETECT, raw(part("photo", b"http://localhost/a.jpg", filename=None) + END), 422,
    ),
    "a path as text": (DETECT, raw(part("photo", b"/etc/passwd", filename=None) + END), 422),
    "a URL as a file": (DETECT, raw(part("photo", b"http://localhost/a.jpg") + END), 415),
    "an unknown part": (DETECT, raw(part("image", b"x") + END), 422),
    "an unknown text": (DETECT, raw(part("x", b"y", filename=None) + OK), 422),
    "two photos where one goes": (DETECT, {"files": [("photo", b"x"), ("photo", b"y")]}, 422),
    "a twice": (VERIFY, {"files": [("a", b"x"), ("a", b"y"), ("b", b"z")]}, 422),
    "b is missing": (VERIFY, {"files": {"a": b"x"}}, 422),
    "too many photos": ("/v1/batch", {"files": [("photo", b"x")] * 21}, 422),
    "thousands of parts": (DETECT, raw(part("photo", b"x") * 5000 + END), 422),
    "thousands of texts": (DETECT, raw(part("x", b"y", filename=None) * 5000 + END), 422),
    "an empty photo": (DETECT, {"files": {"photo": b""}}, 422),
    "a photo over the limit": (DETECT, {"files": {"photo": bytes(2_000_001)}}, 413),
    "a body over the limit": (DETECT, {"files": {"photo": bytes(9_000_000)}}, 413),
    "a text of 1 MB": (
        PEOPLE, {"files": {"photo": b"x"}, "data": {"name": "n" * 1_000_000}}, 400,
    ),
    # JSON
    "JSON that is none": (DETECT, raw(b"{photo}", "application/json"), 400),
    "JSON, cut": (DETECT, raw(b'{"photo": "AA', "application/json"), 400),
    "JSON, empty": (DETECT, raw(b"", "application/json"), 400),
    "JSON, no UTF-8": (DETECT, raw(b'{"\xff\xfe": ""}', "application/json"), 400),
    "JSON, UTF-16": (DETECT, raw('{"photo": ""}'.encode("utf-16"), "application/json"), 400),
    "JSON, a list": (DETECT, {"json": ["x"]}, 422),
    "JSON, null": (DETECT, {"json": None, **raw(b"null", "application/json")}, 422),
    "JSON, a number": (DETECT, {"json": {"photo": 1}}, 422),
    "JSON, an object": (DETECT, {"json": {"photo": {"url": "http://localhost/"}}}, 422),
    "JSON, photo is null": (DETECT, {"json": {"photo": None}}, 422),
    "JSON, without photo": (DETECT, {"json": {}}, 422),
    "JSON, another name": (DETECT, {"json": {"photo": "", "url": "x"}}, 422),
    "JSON, no base64": (DETECT, {"json": {"photo": "!!!"}}, 422),
    "JSON, base64 cut": (DETECT, {"json": {"photo": "AAA"}}, 422),
    "JSON, a data URL": (DETECT, {"json": {"photo": "data:image/png;base64,AAAA"}}, 415),
    "JSON, a URL": (DETECT, {"json": {"photo": "http://localhost/a.jpg"}}, 422),
    "JSON, base64 of nothing": (DETECT, {"json": {"photo": ""}}, 422),
    "JSON, base64 of text": (DETECT, {"json": {"photo": b64(b"hello there")}}, 415),
    "JSON, deep": (DETECT, raw(b"[" * 200_000 + b"]" * 200_000, "application/json"), 422),
    "JSON, deep in photo": (
        DETECT, raw(b'{"photo":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json"), 422,
    ),
    "JSON, a million numbers": (
        DETECT, raw(b'{"photo":[' + b"0," * 1_000_000 + b"0]}", "application/json"), 422,
    ),
    "JSON, a long number": (
        DETECT, raw(b'{"photo":' + b"9" * 1_000_000 + b"}", "application/json"), 422,
    ),
    "JSON, many keys": (
        DETECT, {"json": {str(k): "x" for k in range(9000)}}, 422,
    ),
    "JSON, too many photos": ("/v1/batch", {"json": {"photo": [""] * 21}}, 422),
    # bombs and polyglots
    "a PNG bomb": (DETECT, {"files": {"photo": png_claims(30_000, 30_000)}}, 413),
    "a PNG of no width": (DETECT, {"files": {"photo": png_claims(0, 10)}}, 422),
    "a zip as a photo": (DETECT, {"files": {"photo": archive({"a.jpg": b"x"})}}, 415),
    "a page as a photo": (DETECT, {"files": {"photo": b"<html><img src=x></html>"}}, 415),
    "a script behind a JPEG's start": (
        DETECT, {"files": {"photo": b"\xff\xd8\xff\xe0<?php system('id'); ?>"}}, 422,
    ),
    "a GIF that is a script": (DETECT, {"files": {"photo": b"GIF89a=1;alert(1)//"}}, 422),
    # archives
    "an archive that is none": (CLUSTER, {"files": {"archive": b"PK\3\4 no zip"}}, 422),
    "an archive, cut": (CLUSTER, {"files": {"archive": archive({"a.jpg": bytes(999)})[:500]}}, 422),
    "an empty archive": (CLUSTER, {"files": {"archive": archive({})}}, 422),
    "a zip bomb": (CLUSTER, {"files": {"archive": deflated("a.jpg", 200_000_000)}}, 413),
    "a zip of very many files": (
        CLUSTER, {"files": {"archive": archive({f"{k}.jpg": b"" for k in range(3000)})}}, 413,
    ),
    "an encrypted zip": (
        CLUSTER, {"files": {"archive": zip_of({"a.jpg": b"x"}, edit=encrypted)}}, 422,
    ),
    "two archives": (CLUSTER, {"files": [("archive", b"x"), ("archive", b"y")]}, 422),
    "nothing to sort": (CLUSTER, raw(END), 422),
    # options
    "an unknown option": (f"{DETECT}?url=http://localhost/", {"files": {"photo": b"x"}}, 422),
    "an unknown model": (f"{VERIFY}?model=../x", {"files": {"a": b"x", "b": b"y"}}, 404),
    "an unknown calibration": (
        f"{VERIFY}?calibration=none", {"files": {"a": b"x", "b": b"y"}}, 404,
    ),
    "a calibration that is a path": (
        f"{VERIFY}?calibration=../../x", {"files": {"a": b"x", "b": b"y"}}, 422,
    ),
    "an unknown gallery": ("/v1/identify?gallery=no", {"files": {"photo": b"x"}}, 404),
    "a gallery that is a path": ("/v1/identify?gallery=/etc", {"files": {"photo": b"x"}}, 404),
    **{
        f"{option} {value}": (
            f"{VERIFY}?{option}={value}", {"files": {"a": b"x", "b": b"y"}}, 422,
        )
        for option, value in (
            ("fmr", "0"), ("fmr", "1"), ("fmr", "-1"), ("fmr", "nan"), ("fmr", "inf"),
            ("fmr", "x"), ("fmr", ""), ("fmr", "1e-12"), ("fmr", "0.1%26fmr=0.2"),
            ("faces", "all"), ("faces", "%00"), ("prior", "2"), ("flip", "maybe"),
        )
    },
    "fmr twice": (f"{VERIFY}?fmr=0.1&fmr=0.2", {"files": {"a": b"x", "b": b"y"}}, 422),
    "top 0": ("/v1/identify?top=0", {"files": {"photo": b"x"}}, 422),
    "fpir 1": ("/v1/identify?fpir=1", {"files": {"photo": b"x"}}, 422),
    "a limit of a million": ("GET /v1/people?limit=1000000", {}, 422),
    "a name of a calibration that is a path": (
        "/v1/calibrations?name=../x", {"files": {"photo": b"x"}}, 422,
    ),
    # people
    "an unknown person": (f"GET {ONE}", {}, 404),
    "an id that is none": ("GET /v1/people/'%20or%201=1", {}, 404),
    "a person who is a path": ("GET /v1/people/..%2f..%2fetc", {}, 404),
    "a face that is none": (f"DELETE {ONE}/photos/x", {}, 422),
    "a face below 1": (f"DELETE {ONE}/photos/-1", {}, 422),
    "a change of nothing known": (f"PATCH {ONE}", {"json": {"face": 1}}, 422),
    "a change that is a list": (f"PATCH {ONE}", {"json": []}, 422),
    "a merge with nobody": (f"{ONE}/merge", {"json": {"others": []}}, 422),
    "a split of texts": (f"{ONE}/split", {"json": {"faces": ["x"], "into": "B"}}, 422),
    "a change of 2 MB": (f"PATCH {ONE}", raw(b" " * 2_000_000, "application/json"), 413),
    "a change as a form": (f"PATCH {ONE}", {"files": {"name": b"x"}}, 415),
    "an unknown correction": (
        f"{CLUSTER}/{'0' * 32}/corrections", {"json": {"kind": "undo"}}, 404,
    ),
    # the request itself
    "an unknown route": ("GET /v1/nothing", {}, 404),
    "another method": (f"GET {VERIFY}", {}, 405),
    "TRACE": (f"TRACE {VERIFY}", {}, 405),
    "a slash too many": ("GET /v1/models/", {}, 404),
}  # fmt: skip


def test_bad_requests_get_the_right_answer(door: Running) -> None:
    assert len(BAD) >= 80
    wrong = {}
    for name, (target, request, status) in BAD.items():
        method, _, path = target.rpartition(" ")
        answer = door.client.request(method or "POST", path, **request)
        told = answer.json() if answer.content else {}
        if answer.status_code != status or told.get("status") != status or not told["remedy"]:
            wrong[name] = (status, answer.status_code, answer.text[:200])
        assert answer.headers["content-type"] == "application/problem+json", name
        assert door.client.get("/healthz").status_code == 200, name
    assert wrong == {}


def test_crafted_photos_get_the_right_answer(door: Running, tmp_path: Path) -> None:
    tried, wrong = 0, {}
    for recipe in recipes():
        if recipe.expect is None or not issubclass(recipe.expect, ImageError):
            continue
        source = recipe.make(tmp_path)
        if not isinstance(source, bytes):  # a path or an array: it does not come by HTTP
            continue
        tried += 1
        status = {ImageTooLargeError: 413, NotAnImageError: 415}.get(recipe.expect, 422)
        answer = door.client.post("/v1/detect", files={"photo": source})
        if answer.status_code not in {status, 413}:
            wrong[recipe.name] = (status, answer.status_code, answer.text)
    assert tried >= 60
    assert wrong == {}
    assert door.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_in_names(door: Running, trick: str, face: bytes, faceless: bytes) -> None:
    """Names of files are never used but in a sorted collection, made safe; names of people are
    refused or kept as they are."""
    name = TRICKS[trick]
    header = name.replace('"', "%22").replace("\r\n", "%0D%0A")
    answer = door.client.post("/v1/detect", **raw(part("photo", faceless, filename=header) + END))
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        assert answer.json()["photo"] == "photo"
    packed = door.client.post("/v1/cluster", files={"archive": archive({name: faceless})})
    if packed.status_code == 202:
        job = packed.json()["id"]
        door.wait(job)
        photos = door.client.get(f"/v1/cluster/{job}").json()["album"]["photos"]
        assert [one["photo"] for one in photos] == [photos[0]["photo"]]
        assert "/" not in photos[0]["photo"]
        assert photos[0]["photo"].isprintable()
        inside = [path for path in door.service.jobs.folder.rglob("*") if path.is_file()]
        assert all(path.stat().st_mode & 0o077 == 0 for path in inside if path.suffix == ".jpg")
        door.client.delete(f"/v1/jobs/{job}")
    else:
        assert packed.status_code == 422, packed.text
    person = door.client.post("/v1/people", files={"photo": face}, data={"name": name})
    assert person.status_code in {201, 400, 422}, person.text
    if person.status_code == 201:
        found = person.json()["person"]
        assert found["name"] == name
        assert door.client.delete(f"/v1/people/{found['id']}").status_code == 204


def test_safe_names_are_short_and_plain() -> None:
    for name in TRICKS.values():
        safe = safe_name(name)
        assert len(safe) <= 60
        assert not safe.startswith((".", "-"))
        assert all(c.isalnum() or c in "._-" for c in safe)


def test_files_of_a_collection_keep_their_names() -> None:
    """The number is put before a name only where another has it, in whatever case."""
    given = [
        "a.jpg",
        "b.PNG",
        "A.JPG",
        "a.jpg",
        "00004-a.jpg",
        "00004-a.jpg",
        "",
        "x.txt",
        "con.jpg",
    ]
    for order in (given, given[::-1], sorted(given)):
        taken: set[str] = set()
        found = [file_name(Photo.of(b"", "", n), k, taken) for k, n in enumerate(order, 1)]
        assert len({name.casefold() for name in found}) == len(given)
        assert "b.PNG" in found
        assert "con.jpg" not in found
        assert all(
            new.endswith(old) for new, old in zip(found, order, strict=True) if "x" not in new
        )
    first: set[str] = set()
    assert [file_name(Photo.of(b"", "", n), k, first) for k, n in enumerate(given[:4], 1)] == [
        "a.jpg", "b.PNG", "00003-A.JPG", "00004-a.jpg",
    ]  # fmt: skip


OF_THE_LIBRARY = re.compile(r"seek\(|Limits\(|`visavis|(?<!\w)-- ?[a-z]|\bvisavis (people|models)")
"""What only readers of Python or of a command line understand."""


def told(door: Running, target: str, **request: Any) -> dict[str, Any]:
    """The problem that a request is answered with."""
    method, _, path = target.rpartition(" ")
    answer: dict[str, Any] = door.client.request(method or "POST", path, **request).json()
    return answer


def test_remedies_fit_who_sends_a_request(door: Running, face: bytes) -> None:
    empty = told(door, DETECT, files={"photo": b""})
    assert "send" in empty["remedy"]
    large = told(door, DETECT, files={"photo": bytes(2_000_001)})
    assert "--max-photo" in large["remedy"]
    assert "smaller" in large["remedy"]
    bomb = told(door, DETECT, files={"photo": png_claims(30_000, 30_000)})
    assert "--megapixels" in bomb["remedy"]
    assert "/v1/people" in told(door, f"GET {ONE}")["remedy"]
    assert "/v1/models" in told(door, f"{VERIFY}?model=x", files={"a": face, "b": face})["remedy"]
    rows = told(door, "/v1/batch", files=[("photo", b"")])["rows"]
    enrolled = told(door, PEOPLE, files={"photo": b""}, data={"name": "A"})["rows"]
    said = [empty["remedy"], *(row["message"] for row in (*rows, *enrolled))]
    assert not [text for text in said if OF_THE_LIBRARY.search(text)]
    assert all(said)


def test_a_heic_photo_without_its_reader(door: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    problem = told(door, DETECT, files={"photo": heic})
    assert problem["reason"] == "missing-extra"
    assert "JPEG" in problem["remedy"]


def test_no_bad_request_is_told_of_python(door: Running) -> None:
    found = {name: told(door, target, **request) for name, (target, request, _) in BAD.items()}
    wrong = {
        name: one["remedy"] for name, one in found.items() if OF_THE_LIBRARY.search(one["remedy"])
    }
    assert set(wrong) == {"a photo over the limit", "a PNG bomb"}  # name an option of the service
    assert all("who runs the service" in remedy for remedy in wrong.values())
    assert {name for name, one in found.items() if one["title"] == "Unprocessable Entity"} == set()


def test_every_reason_has_a_title() -> None:
    """Of the reasons in the source; the library's errors have theirs."""
    reasons = set()
    for path in Path(problems.__file__).parent.glob("**/*.py"):
        if not {"page", "dialects"} & set(path.parts):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ProblemError":
                    reasons |= {
                        one.value for one in node.args[1:2] if isinstance(one, ast.Constant)
                    }
    assert len(reasons) >= 20
    assert reasons - problems._TITLES.keys() == set()


def test_json_takes_what_browsers_make_and_opens_no_url(door: Running, face: bytes) -> None:
    plain = door.client.post(DETECT, json={"photo": b64(face)})
    browser = door.client.post(DETECT, json={"photo": f"data:image/jpeg;base64,{b64(face)}"})
    assert plain.status_code == browser.status_code == 200
    assert plain.json() == browser.json()
    assert len(plain.json()["faces"]) == 1
    for url in ("http://localhost/a.jpg", "data:image/jpeg,xx", "/etc/passwd"):
        problem = told(door, DETECT, json={"photo": url})
        assert problem["reason"] == "base64"
        assert "URL" in problem["remedy"]
        assert "multipart" in problem["remedy"]


def test_options_that_are_wrong_are_told_by_example(door: Running, face: bytes) -> None:
    photos = {"a": face, "b": face}
    assert "fmr=0.001" in told(door, f"{VERIFY}?fmr=0.1%25", files=photos)["remedy"]
    assert "fmr=0.0001" in told(door, f"{VERIFY}?fmr=x", files=photos)["remedy"]
    problem = told(door, f"{PEOPLE}?name=Ann", files={"photo": face})
    assert problem["reason"] == "unknown-option"
    assert "name in the form" in problem["remedy"]
    assert "fmr" in told(door, f"{VERIFY}?far=0.1", files=photos)["remedy"]


def test_a_photo_of_two_people_says_which_option_chooses(door: Running, face: bytes) -> None:
    one = np.asarray(Image.open(io.BytesIO(face)))
    problem = told(door, PEOPLE, files={"photo": jpeg(np.hstack([one, one]))}, data={"name": "A"})
    (row,) = problem["rows"]
    assert (row["status"], row["faces_found"]) == ("several-faces", 2)
    assert "faces=largest" in row["message"]


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A service that waits for a second only."""
    monkeypatch.setattr(server, "_HEADER_SECONDS", 1.0)
    place = GalleryPlace(str(tmp_path / "door.gallery"), create=True)
    with running(Service({"door": place}, options=options(tmp_path, seconds=1))) as found:
        yield found


def connected(service: Running) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


HEAD = (
    b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)


def answer_of(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    while data := connection.recv(65536):  # ends: the service closes, or the time limit raises
        parts.append(data)
    return b"".join(parts)


def test_a_client_that_leaves_is_no_error(door: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="visavis.service"):
        with connected(door) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n--x\r\n")
            time.sleep(0.5)
        for _ in range(100):
            found = [one for one in caplog.records if getattr(one, "status", 0) == 499]
            if found:
                break
            time.sleep(0.1)
    assert len(found) == 1
    assert all(one.levelname == "INFO" for one in caplog.records if one.name == "visavis.service")


def test_a_slow_sender_is_told_so(hasty: Running) -> None:
    with connected(hasty) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n--x\r\n")
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"reason":"request-timeout"' in answer
    assert hasty.client.get("/healthz").status_code == 200


def test_slow_headers_end_the_connection(hasty: Running) -> None:
    with connected(hasty) as connection:
        connection.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: local")
        assert answer_of(connection) == b""
    with connected(hasty) as connection:
        assert answer_of(connection) == b""  # nothing was ever sent
    assert hasty.client.get("/healthz").status_code == 200


def test_a_chunked_body_without_end_is_cut(hasty: Running) -> None:
    with connected(hasty) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        stop = threading.Event()

        def send() -> None:
            chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
            for _ in range(100_000):
                if stop.is_set():
                    return
                try:
                    connection.sendall(chunk)
                except OSError:
                    return

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            answer = answer_of(connection)
        except ConnectionError:
            answer = b""  # cut while it was sending
        stop.set()
        sender.join(60)
    assert not answer or answer.split(b" ")[1] in {b"400", b"408", b"413"}
    for _ in range(100):
        if hasty.service.receiving == 0:
            break
        time.sleep(0.1)
    assert hasty.service.receiving == 0
    assert hasty.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
    ids=["binary", "version", "length", "two lengths", "no host", "long header"],
)
def test_what_is_no_request_is_refused(door: Running, request_bytes: bytes) -> None:
    with connected(door) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = answer_of(connection)
        except ConnectionError:
            answer = b""
    # What is cut while it is still being sent may not see the answer.
    cut = not answer and len(request_bytes) > 65536
    assert cut or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert door.client.get("/healthz").status_code == 200


def test_a_full_queue_is_answered_with_429(door: Running, face: bytes) -> None:
    """More photos than may wait, at once: each request is answered or told to come again."""
    queue, codes = door.service.options.queue, []

    def ask() -> None:
        with door.keyed(None) as client:
            answer = client.post("/v1/embed", files={"photo": face})
            codes.append((answer.status_code, answer.headers.get("retry-after")))

    waiting = door.service.engine._queue
    size, waiting._size = waiting._size, 1
    try:
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        waiting._size = size
    assert queue == size
    assert {code for code, _ in codes} <= {200, 429}
    assert len(codes) == 12
    assert all((code == 429) == (after is not None) for code, after in codes)
    assert (429, "1") in codes


def test_the_log_has_no_name_photo_or_score(
    door: Running, face: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    from visavis.service.limits import JsonFormatter

    with caplog.at_level("INFO", logger="visavis.service"):
        name = "Zeno Quibble"
        made = door.client.post("/v1/people", files={"photo": face}, data={"name": name})
        person = made.json()["person"]["id"]
        answers = [
            made,
            door.client.post("/v1/identify", files={"photo": face}),
            door.client.get("/v1/people", params={"name": name}),
            door.client.delete(f"/v1/people/{person}"),
        ]
    ids = {one.headers["x-request-id"] for one in answers}  # a test before may still be logged
    lines = [
        JsonFormatter().format(record)
        for record in caplog.records
        if record.name == "visavis.service" and record.__dict__.get("request") in ids
    ]
    assert [json.loads(line)["route"] for line in lines] == [
        "/v1/people", "/v1/identify", "/v1/people", "/v1/people/{person}",
    ]  # fmt: skip
    text = "".join(lines)
    assert not any(word in text for word in ("Zeno", "Quibble", person, "score", "photo"))
