"""Who may do what: every route x no key, wrong scope, another gallery's key, expired, revoked."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.service.conftest import options
from tests.service.dialects.signing import call
from tests.service.running import Running, running

from visavis.errors import OptionError
from visavis.service.app import create_app
from visavis.service.dialects import DIALECTS
from visavis.service.dialects.rekognition.routes import OPERATIONS
from visavis.service.keys import ServiceKey, access_key_id, secret_access_key
from visavis.service.server import require_keys
from visavis.service.state import GalleryPlace, Service

PHOTO = {"files": {"photo": b"no photo"}}
FILE = {"files": {"file": b"no photo"}}
IMAGE = {"files": {"image": b"no photo"}}
GALLERY = {"gallery": "front"}
BYTES = {"Bytes": "bm8gcGhvdG8="}
NOBODY = "00000000-0000-4000-8000-000000000000"

# Method and path: the scope, whether a gallery is used, and a request that is otherwise well made.
ROUTES: dict[tuple[str, str], tuple[str, bool, dict[str, Any]]] = {
    ("POST", "/v1/verify"): ("verify", False, {"files": {"a": b"1", "b": b"2"}}),
    ("POST", "/v1/detect"): ("verify", False, PHOTO),
    ("POST", "/v1/embed"): ("verify", False, PHOTO),
    ("POST", "/v1/identify"): ("identify", True, PHOTO),
    ("POST", "/v1/batch"): ("identify", True, {**PHOTO, "params": {"task": "identify"}}),
    ("GET", "/v1/people"): ("enroll", True, {}),
    ("POST", "/v1/people"): ("enroll", True, {**PHOTO, "data": {"name": "Ann"}}),
    ("GET", "/v1/people/{person}"): ("enroll", True, {}),
    ("PATCH", "/v1/people/{person}"): ("enroll", True, {"json": {"name": "Bea"}}),
    ("DELETE", "/v1/people/{person}"): ("enroll", True, {}),
    ("GET", "/v1/people/{person}/photos"): ("enroll", True, {}),
    ("POST", "/v1/people/{person}/photos"): ("enroll", True, PHOTO),
    ("DELETE", "/v1/people/{person}/photos/{face}"): ("enroll", True, {}),
    ("POST", "/v1/people/{person}/merge"): ("enroll", True, {"json": {"others": [NOBODY]}}),
    ("GET", "/v1/people/{person}/split"): ("enroll", True, {}),
    ("POST", "/v1/people/{person}/split"): (
        "enroll", True, {"json": {"faces": [1], "into": "Bea"}},
    ),
    ("POST", "/v1/cluster"): ("verify", True, PHOTO),
    ("GET", "/v1/cluster/{job}"): ("verify", False, {}),
    ("POST", "/v1/cluster/{job}/corrections"): ("verify", False, {"json": {"kind": "undo"}}),
    ("DELETE", "/v1/cluster/{job}"): ("verify", False, {}),
    ("GET", "/v1/calibrations"): ("verify", False, {}),
    ("GET", "/v1/calibrations/{name}"): ("verify", False, {}),
    ("POST", "/v1/calibrations"): ("admin", False, {**PHOTO, "params": {"name": "gate"}}),
    ("POST", "/v1/calibrations/check"): ("verify", False, PHOTO),
    ("DELETE", "/v1/calibrations/{name}"): ("admin", False, {}),
    ("GET", "/v1/jobs"): ("verify", False, {}),
    ("GET", "/v1/jobs/{job}"): ("verify", False, {}),
    ("DELETE", "/v1/jobs/{job}"): ("verify", False, {}),
    ("GET", "/v1/models"): ("verify", False, {}),
    ("GET", "/metrics"): ("admin", False, {}),
}  # fmt: skip
# Routes of dialects: the dialect, and as above. Their keys and refusals have shapes of their own.
SPOKEN: dict[tuple[str, str], tuple[str, str, bool, dict[str, Any]]] = {
    **{
        (method, f"/api/v1/recognition/{path}"): ("compreface", scope, True, request)
        for method, path, scope, request in (
            ("GET", "subjects", "enroll", {}),
            ("POST", "subjects", "enroll", {"json": {"subject": "Ann"}}),
            ("DELETE", "subjects", "enroll", {}),
            ("PUT", "subjects/{subject}", "enroll", {"json": {"subject": "Ann"}}),
            ("DELETE", "subjects/{subject}", "enroll", {}),
            ("GET", "faces", "enroll", {}),
            ("POST", "faces", "enroll", {**FILE, "params": {"subject": "Ann"}}),
            ("DELETE", "faces", "enroll", {}),
            ("POST", "faces/delete", "enroll", {"json": [NOBODY]}),
            ("DELETE", "faces/{image_id}", "enroll", {}),
            ("GET", "faces/{image_id}/img", "enroll", {}),
            ("POST", "faces/{image_id}/verify", "identify", FILE),
            ("POST", "recognize", "identify", FILE),
            ("POST", "embeddings/recognize", "identify", {"json": {"embeddings": [[1.0]]}}),
            ("POST", "embeddings/faces/{image_id}/verify", "identify",
             {"json": {"embeddings": [[1.0]]}}),
        )
    },
    ("POST", "/api/v1/verification/verify"): (
        "compreface", "verify", False, {"files": {"source_image": b"1", "target_image": b"2"}},
    ),
    ("POST", "/api/v1/verification/embeddings/verify"): (
        "compreface", "verify", False, {"json": {"source": [1.0], "targets": [[1.0]]}},
    ),
    ("POST", "/api/v1/detection/detect"): ("compreface", "verify", False, FILE),
    ("POST", "/predict"): (
        "immich", "verify", False, {**IMAGE, "data": {"entries": '{"facial-recognition": {}}'}},
    ),
    **{
        ("POST", f"/v1/vision/face{path}"): ("deepstack", scope, scope != "verify", request)
        for path, scope, request in (
            ("", "verify", IMAGE),
            ("/recognize", "identify", IMAGE),
            ("/register", "enroll", {**IMAGE, "data": {"userid": "Ann"}}),
            ("/list", "enroll", {}),
            ("/delete", "enroll", {"data": {"userid": "Ann"}}),
            ("/match", "verify", {"files": {"image1": b"1", "image2": b"2"}}),
        )
    },
}  # fmt: skip


# Operations of Amazon Rekognition, which all are POST /: as above, without the dialect.
AWS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "CompareFaces": ("verify", False, {"SourceImage": BYTES, "TargetImage": BYTES}),
    "DetectFaces": ("verify", False, {"Image": BYTES}),
    "CreateCollection": ("admin", True, {}),
    "DescribeCollection": ("identify", True, {}),
    "ListCollections": ("identify", False, {}),
    "DeleteCollection": ("admin", True, {}),
    "IndexFaces": ("enroll", True, {"Image": BYTES}),
    "ListFaces": ("enroll", True, {}),
    "DeleteFaces": ("enroll", True, {"FaceIds": [NOBODY]}),
    "SearchFaces": ("identify", True, {"FaceId": NOBODY}),
    "SearchFacesByImage": ("identify", True, {"Image": BYTES}),
    "CreateUser": ("enroll", True, {"UserId": "ann"}),
    "DeleteUser": ("enroll", True, {"UserId": "ann"}),
    "ListUsers": ("enroll", True, {}),
    "AssociateFaces": ("enroll", True, {"UserId": "ann", "FaceIds": [NOBODY]}),
    "DisassociateFaces": ("enroll", True, {"UserId": "ann", "FaceIds": [NOBODY]}),
    "SearchUsers": ("identify", True, {"UserId": "ann"}),
    "SearchUsersByImage": ("identify", True, {"Image": BYTES}),
}  # fmt: skip
MASTER = bytes(range(32))


STATIC = ("GET", "/static/{api_key}/images/{image_id}")
"""Of CompreFace: the key is in the path."""


@dataclass(frozen=True)
class Wire:
    """How a dialect's clients send a key, and what a refusal is.

    Attributes:
        send: returns a request with a token.
        none: status, and part of the body, without a key.
        invalid: the same with a key that is not valid.
        forbidden: the same with a key without the scope.
        nowhere: the same with a key whose galleries are not served.
    """

    send: Callable[[dict[str, Any], str], dict[str, Any]]
    none: tuple[int, dict[str, Any]]
    invalid: tuple[int, dict[str, Any]]
    forbidden: tuple[int, dict[str, Any]]
    nowhere: tuple[int, dict[str, Any]]


NOT_FOUND = (404, {"code": 10})
UNTOLD = {"success": False}
WIRES = {
    "compreface": Wire(
        lambda request, token: {**request, "headers": {"x-api-key": token}},
        none=(400, {"code": 20}), invalid=NOT_FOUND, forbidden=NOT_FOUND, nowhere=NOT_FOUND,
    ),
    "immich": Wire(
        lambda request, token: {**request, "headers": {"x-api-key": token}},
        none=(401, {}), invalid=(401, {}), forbidden=(403, {}), nowhere=(404, {}),
    ),
    "deepstack": Wire(
        lambda request, token: {**request, "data": {**request.get("data", {}), "api_key": token}},
        none=(401, UNTOLD), invalid=(401, UNTOLD), forbidden=(403, UNTOLD),
        nowhere=(200, {**UNTOLD, "error": "there is no such gallery; there are: none"}),
    ),
}  # fmt: skip
PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json")}
SPOKEN_PUBLIC = {("GET", "/"), ("GET", "/ping")}
"""Of Immich: they say that the process answers."""

VALUES = {
    "person": NOBODY, "face": "1", "job": "0" * 32, "name": "gate", "subject": "Ann",
    "image_id": NOBODY,
}  # fmt: skip


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with two galleries and keys."""
    place = tmp_path_factory.mktemp("keyed")
    galleries = {
        name: GalleryPlace(str(place / f"{name}.gallery"), create=True)
        for name in ("front", "back")
    }
    known = options(place, dialects=tuple(DIALECTS))
    made = GalleryPlace(str(place / "made"))
    service = Service(galleries, options=known, collections=made, aws_key=MASTER)
    service.keys.create(scopes=["verify"], rate=100_000)  # from now on, keys are needed
    with running(service) as found:
        yield found


def token(keyed: Running, *scopes: str, gallery: str = "front", **more: Any) -> str:
    """A new key's token; of the keys without special wishes one each."""
    if not more:
        return _usual(keyed.service, scopes, gallery)
    made = keyed.service.keys.create(
        scopes=scopes, galleries=[gallery], rate=more.pop("rate", 100_000), **more
    )
    return made[1]


@functools.cache
def _usual(service: Service, scopes: tuple[str, ...], gallery: str) -> str:
    return service.keys.create(scopes=scopes, galleries=[gallery], rate=100_000)[1]


def ask(keyed: Running, token: str | None, route: tuple[str, str]) -> httpx.Response:
    method, path = route
    _, gallery, request = ROUTES.get(route, ("", False, {}))
    request = dict(request)
    if gallery:
        request["params"] = {**request.get("params", {}), **GALLERY}
    return keyed.client.request(method, path.format(**VALUES), headers=bearer(token), **request)


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def test_the_table_has_every_route(keyed: Running) -> None:
    """Of the application itself: a route that is left out of the OpenAPI counts, too."""
    described = {
        (method.upper(), path)
        for path, methods in keyed.client.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    found = set(routes_of(create_app(keyed.service)))
    assert described <= found
    assert found == {*ROUTES, *SPOKEN, *PUBLIC, *SPOKEN_PUBLIC, STATIC, ("POST", "/")}
    assert {*AWS} == {*OPERATIONS}
    assert described.isdisjoint(SPOKEN)
    assert {dialect for dialect, *_ in SPOKEN.values()} | {"rekognition"} == {*DIALECTS}


def routes_of(holder: Any) -> Iterator[tuple[str, str]]:
    """Method and path of all routes, those of included routers and mounts as well."""
    for route in holder.routes:
        if hasattr(route, "methods"):
            yield from ((method, route.path) for method in route.methods - {"HEAD"})
        else:
            inner = getattr(route, "original_router", None) or route
            assert hasattr(inner, "routes"), route
            yield from routes_of(inner)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_route_refuses_who_may_not_use_it(keyed: Running, route: tuple[str, str]) -> None:
    scope, gallery, _ = ROUTES[route]
    past = "2020-01-01T00:00:00+00:00"
    revoked = token(keyed, "admin", label="revoked")
    keyed.service.keys.revoke(revoked.split("_")[1])
    refused = {
        "none": None,
        "garbage": "vv_000000000000_" + "A" * 43,
        "other secret": token(keyed, "admin")[:-1] + "-",
        "expired": token(keyed, "admin", expires=past),
        "revoked": revoked,
    }
    for name, given in refused.items():
        answer = ask(keyed, given, route)
        assert answer.status_code == 401, (name, answer.text)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    lower = {"verify": "enroll", "identify": "verify", "enroll": "identify", "admin": "enroll"}
    wrong = ask(keyed, token(keyed, lower[scope]), route)
    assert (wrong.status_code, wrong.json()["reason"]) == (403, "forbidden")
    if gallery:
        other = ask(keyed, token(keyed, scope, "identify", gallery="back"), route)
        request = dict(ROUTES[route][2])
        request["params"] = {**request.get("params", {}), "gallery": "nowhere"}
        request["headers"] = bearer(token(keyed, scope, "identify", gallery="back"))
        none = keyed.client.request(route[0], route[1].format(**VALUES), **request)
        assert (other.status_code, other.json()["reason"]) == (404, "unknown-gallery")
        same = ("detail", "remedy", "reason")  # as if it did not exist
        assert [other.json()[key] for key in same] == [none.json()[key] for key in same]
    right = ask(keyed, token(keyed, scope, "identify", gallery="*"), route)
    assert right.status_code not in {401, 403}, right.text


@pytest.mark.parametrize("route", SPOKEN, ids=" ".join)
def test_a_route_of_a_dialect_refuses_who_may_not_use_it(
    keyed: Running, route: tuple[str, str]
) -> None:
    dialect, scope, gallery, request = SPOKEN[route]
    wire = WIRES[dialect]

    def asked(given: str | None) -> tuple[int, dict[str, Any]]:
        sent = dict(request) if given is None else wire.send(dict(request), given)
        answer = keyed.client.request(route[0], route[1].format(**VALUES), **sent)
        assert answer.headers["content-type"] != "application/problem+json"
        plain = answer.json() if "json" in answer.headers["content-type"] else {}
        return answer.status_code, plain if isinstance(plain, dict) else {}

    def refused(given: str | None, wanted: tuple[int, dict[str, Any]]) -> None:
        status, body = asked(given)
        assert (status, {**body, **wanted[1]}) == (wanted[0], body)

    allowed = token(keyed, scope, "verify")
    revoked = token(keyed, "admin", label="revoked")
    keyed.service.keys.revoke(revoked.split("_")[1])
    refused(None, wire.none)
    refused("vv_000000000000_" + "A" * 43, wire.invalid)
    refused(token(keyed, "admin")[:-1] + "-", wire.invalid)
    refused(token(keyed, "admin", expires="2020-01-01T00:00:00+00:00"), wire.invalid)
    refused(revoked, wire.invalid)
    lower = {"verify": "enroll", "identify": "verify", "enroll": "identify"}
    refused(token(keyed, lower[scope]), wire.forbidden)
    if gallery:
        refused(token(keyed, scope, "verify", gallery="nowhere"), wire.nowhere)
    status, body = asked(allowed)
    for wanted, part in (wire.none, wire.invalid, wire.forbidden, wire.nowhere):
        assert (status, {**body, **part}) != (wanted, body)


@pytest.mark.parametrize("operation", AWS)
def test_an_operation_of_aws_refuses_who_may_not_use_it(keyed: Running, operation: str) -> None:
    scope, gallery, body = AWS[operation]
    past = "2020-01-01T00:00:00+00:00"
    create = keyed.service.keys.create

    def asked(key: ServiceKey, collection: str = "front", secret: str = "", **more: Any) -> Any:
        access = access_key_id(key)
        answer = call(
            keyed.client, operation, {**body, **({"CollectionId": collection} if gallery else {})},
            identity=access, secret=secret or secret_access_key(access, master=MASTER), **more,
        )  # fmt: skip
        assert answer.headers["content-type"] == "application/x-amz-json-1.1"
        return answer.json().get("__type")

    def made(*scopes: str, where: str = "front", **more: Any) -> ServiceKey:
        return create(scopes=scopes, galleries=[where], rate=100_000, **more)[0]

    right = made(scope, "verify", where="*")
    revoked, unknown = made("admin"), replace(right, id="0" * 12)
    keyed.service.keys.revoke(revoked.id)
    unsigned = keyed.client.post(
        "/", json=body, headers={"X-Amz-Target": f"RekognitionService.{operation}"}
    )
    assert unsigned.json()["__type"] == "MissingAuthenticationTokenException"
    for key in (unknown, revoked, made("admin", expires=past)):
        assert asked(key) == "UnrecognizedClientException"
    access = access_key_id(right)
    other = secret_access_key(access, master=bytes(32))
    assert asked(right, secret=other) == "InvalidSignatureException"
    old = datetime.now(UTC) - timedelta(minutes=6)
    assert asked(right, when=old) == "InvalidSignatureException"
    lower = {"verify": "enroll", "identify": "verify", "enroll": "identify", "admin": "enroll"}
    assert asked(made(lower[scope])) == "AccessDeniedException"
    if gallery:
        hidden = (
            "AccessDeniedException"
            if operation == "CreateCollection"
            else ("ResourceNotFoundException")
        )
        theirs = made(scope, where="back")
        assert asked(theirs) == asked(theirs, collection="nowhere") == hidden
    refusals = {None, "InvalidParameterException", "InvalidImageFormatException",
                "ResourceAlreadyExistsException"}  # fmt: skip
    if operation == "DeleteCollection":  # the table's gallery is one that no client made
        assert asked(right) == "AccessDeniedException"
        call(keyed.client, "CreateCollection", {"CollectionId": "tmp"}, identity=access,
             secret=secret_access_key(access, master=MASTER))  # fmt: skip
        assert asked(right, collection="tmp") is None
    else:
        found = asked(right)
        assert found in refusals or (found, body.get("UserId")) == (
            "ResourceNotFoundException", "ann",
        )  # fmt: skip


def test_who_sends_no_key_is_told_how_clients_of_the_dialect_do(keyed: Running) -> None:
    deepstack = keyed.client.post("/v1/vision/face/list").json()["error"]
    assert "api_key" in deepstack
    immich = keyed.client.post("/predict", data={"entries": "{}"}).json()["detail"]
    assert "X-API-Key" in immich
    assert "Bearer" not in deepstack + immich


def test_a_key_in_a_path_is_checked_and_not_logged(
    keyed: Running, caplog: pytest.LogCaptureFixture
) -> None:
    given = {scope: token(keyed, scope) for scope in ("identify", "enroll")}
    with caplog.at_level("INFO", "visavis.service"):
        for scope, code in (("identify", 10), ("enroll", 44)):
            answer = keyed.client.get(f"/static/{given[scope]}/images/{NOBODY}")
            assert (answer.status_code, answer.json()["code"]) == (404, code), scope
        for _ in range(100):  # a line is written when its answer has been sent
            lines = [vars(one) for one in caplog.records if getattr(one, "route", "") == STATIC[1]]
            if len(lines) == 2:
                break
            time.sleep(0.05)
    assert len(lines) == 2
    assert not any(one in repr(lines) for one in given.values())
    assert keyed.client.get(f"/static/{'x' * 36}/images/{NOBODY}").json()["code"] == 10


def test_a_key_in_a_dialect_sees_its_own_gallery_only(keyed: Running) -> None:
    subjects, people = "/api/v1/recognition/subjects", {}
    for gallery in ("front", "back"):
        headers = {"x-api-key": token(keyed, "enroll", gallery=gallery)}
        keyed.client.delete(subjects, headers=headers)
        keyed.client.post(subjects, headers=headers, json={"subject": f"Ann of {gallery}"})
        people[gallery] = keyed.client.get(subjects, headers=headers).json()["subjects"]
        listed = keyed.client.post(
            "/v1/vision/face/list", data={"api_key": headers["x-api-key"]}
        ).json()["faces"]
        assert listed == people[gallery]
        other = {"front": "back", "back": "front"}[gallery]
        gone = keyed.client.delete(f"{subjects}/Ann of {other}", headers=headers)
        assert gone.json()["code"] == 42
    assert people == {"front": ["Ann of front"], "back": ["Ann of back"]}


def test_a_dialect_needs_a_key_of_one_gallery(keyed: Running) -> None:
    both = keyed.service.keys.create(scopes=["enroll"], galleries=["front", "back"], rate=100_000)[
        1
    ]
    answer = keyed.client.get("/api/v1/recognition/subjects", headers={"x-api-key": both})
    assert (answer.status_code, answer.json()["code"]) == (404, 10)
    assert "one gallery" in answer.json()["message"]


def test_metrics_are_for_keys_of_all_galleries(keyed: Running) -> None:
    assert ask(keyed, token(keyed, "admin"), ("GET", "/metrics")).status_code == 403
    assert ask(keyed, token(keyed, "admin", gallery="*"), ("GET", "/metrics")).status_code == 200


def test_public_routes_need_no_key(keyed: Running) -> None:
    for _, path in PUBLIC | SPOKEN_PUBLIC:
        assert keyed.client.get(path).status_code == 200


def test_a_key_sees_its_own_jobs_only(keyed: Running, faceless: bytes) -> None:
    one, two = token(keyed, "verify", label="one"), token(keyed, "verify", label="two")
    with keyed.keyed(one) as mine, keyed.keyed(two) as theirs:
        job = mine.post("/v1/cluster", files={"photo": faceless}).json()["id"]
        keyed.wait(job, client=mine)
        assert [found["id"] for found in mine.get("/v1/jobs").json()["jobs"]] == [job]
        assert theirs.get("/v1/jobs").json()["jobs"] == []
        for path in (f"/v1/jobs/{job}", f"/v1/cluster/{job}"):
            assert theirs.get(path).status_code == 404
            assert theirs.delete(path).status_code == 404
        assert mine.delete(f"/v1/jobs/{job}").status_code == 204


def test_a_calibration_is_for_keys_of_its_galleries(keyed: Running) -> None:
    service = keyed.service
    home = service.options.home
    assert home is not None
    import visavis

    shipped = visavis.calibrations.names(home=home)[0]
    store = visavis.CalibrationStore(home)
    for name in ("frontal", "shared"):
        store.save(replace(visavis.calibrations.show(shipped, home=home), name=name))
    service.keys.own_calibration("frontal", ["front"])
    with (
        keyed.keyed(token(keyed, "admin")) as front,
        keyed.keyed(token(keyed, "admin", gallery="back")) as back,
    ):
        names = front.get("/v1/calibrations").json()["calibrations"]
        assert {shipped, "frontal", "shared"} <= {*names}
        others = back.get("/v1/calibrations").json()["calibrations"]
        assert {shipped, "shared"} <= {*others}
        assert "frontal" not in others
        assert back.get("/v1/calibrations/frontal").status_code == 404
        assert back.delete("/v1/calibrations/frontal").status_code == 404
        files = {"a": b"1", "b": b"2"}
        used = back.post("/v1/verify", params={"calibration": "frontal"}, files=files)
        assert used.json()["reason"] == "unknown-calibration"
        assert front.delete("/v1/calibrations/shared").status_code == 403
        assert front.delete("/v1/calibrations/frontal").status_code == 204


def test_a_key_in_either_header_is_accepted_and_has_a_rate(keyed: Running) -> None:
    given = token(keyed, "verify", rate=30)
    codes = [
        keyed.client.get("/v1/jobs", headers={"X-API-Key": given}).status_code for _ in range(11)
    ]
    assert codes[:10] == [200] * 10  # ten at once, then one every two seconds
    both = {**bearer(given), "X-API-Key": token(keyed, "verify")}
    assert keyed.client.get("/v1/jobs", headers=both).status_code == 401
    last = keyed.client.get("/v1/jobs", headers=bearer(given))
    assert 429 in {codes[10], last.status_code}
    if last.status_code == 429:
        assert 1 <= int(last.headers["retry-after"]) <= 2


def test_only_a_hash_of_the_secret_is_stored(keyed: Running) -> None:
    given = token(keyed, "verify", label="door")
    path = keyed.service.keys._path
    assert path.stat().st_mode & 0o777 == 0o600
    assert given.split("_", 2)[2].encode() not in path.read_bytes()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT length(hash) FROM key").fetchone() == (32,)


def test_without_keys_it_stays_on_loopback(tmp_path: Path) -> None:
    service = Service(options=options(tmp_path))
    try:
        for host in ("127.0.0.1", "localhost", "::1"):
            require_keys(service, host)
        with pytest.raises(OptionError, match="keys create"):
            require_keys(service, "0.0.0.0")
        service.keys.create(scopes=["verify"])
        require_keys(service, "0.0.0.0")
    finally:
        service.close()
