"""The OpenAPI document is true: generated requests meet no 5xx, and only answers that it says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import httpx
import hypothesis
import hypothesis.errors
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from tests.service.conftest import options
from tests.service.running import Running, running
from tests.service.test_access import PUBLIC, ROUTES

import visavis
from visavis.service.app import create_app
from visavis.service.state import GalleryPlace, Service

CHECKS = {
    # No schema says which bytes are a photo of a face, or which ids are enrolled.
    "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 409, 413, 415, 422, 429]},
    "negative_data_rejection": {
        "expected-statuses": [400, 401, 403, 404, 405, 406, 413, 415, 422, 429]
    },
}
"""All checks run; these two are told what a schema cannot know."""

UNSAID = {("GET", "/metrics"), ("GET", "/openapi.json")}

SETTINGS = hypothesis.settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("fuzzed")
    gallery = GalleryPlace(str(place / "door.gallery"), create=True)
    with running(Service({"door": gallery}, options=options(place, jobs=8))) as found:
        yield found


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    service = Service(options=options(tmp_path_factory.mktemp("document")))
    try:
        return create_app(service).openapi()
    finally:
        service.close()


@pytest.fixture(scope="module")
def api(fuzzed: Running) -> schemathesis.BaseSchema:
    _, token = fuzzed.service.keys.create(scopes=["admin"], galleries=["*"], rate=100_000)
    config = SchemathesisConfig.from_dict(
        {"checks": CHECKS, "auth": {"openapi": {"HTTPBearer": {"bearer": token}}}}
    )
    return schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json", config=config)


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", sorted((ROUTES.keys() | PUBLIC) - UNSAID), ids=" ".join)
def test_generated_requests(
    api: schemathesis.BaseSchema, route: tuple[str, str], mode: GenerationMode
) -> None:
    method, path = route
    operation = api[path][method]

    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        response = case.call_and_validate()
        assert response.status_code < 500

    try:
        check()
    except hypothesis.errors.Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE
        pytest.skip("a request without options and body cannot be wrong")


def test_generated_histories(api: schemathesis.BaseSchema) -> None:
    machine = api.as_state_machine()
    machine.run(settings=hypothesis.settings(SETTINGS, max_examples=8, stateful_step_count=6))


class Client:
    """A client made of the document alone: a method for every operation."""

    def __init__(self, http: httpx.Client, document: dict) -> None:
        self._http, self._document = http, document
        self._known = {
            one["operationId"]: (method.upper(), path, one)
            for path, operations in document["paths"].items()
            for method, one in operations.items()
        }

    def __getattr__(self, name: str) -> Callable[..., dict | None]:
        return functools.partial(self._call, name)

    def _call(self, name: str, /, body: dict | None = None, **options: object) -> dict | None:
        method, path, operation = self._known[name]
        told = {one["name"]: one["in"] for one in operation.get("parameters", ())}
        query = {key: value for key, value in options.items() if told[key] == "query"}
        request: dict = {"params": query}
        if body is not None:
            (kind, media), *_ = operation["requestBody"]["content"].items()
            if kind == "multipart/form-data":
                assert {*body} <= {*media["schema"]["properties"]}
                request["files"] = {k: v for k, v in body.items() if isinstance(v, bytes)}
                request["data"] = {k: v for k, v in body.items() if isinstance(v, str)}
            else:
                request["json"] = body
        answer = self._http.request(method, path.format(**options), **request)
        said = operation["responses"][str(answer.status_code)]
        if "content" not in said:
            assert answer.content == b""
            return None
        schema = said["content"]["application/json"]["schema"]
        whole = {**schema, "components": self._document["components"]}
        jsonschema_rs.validate(whole, answer.json())
        return answer.json()


def test_a_client_made_of_the_document_gets_the_decisions_of_the_api(
    fuzzed: Running, face: bytes, mirrored: bytes
) -> None:
    _, token = fuzzed.service.keys.create(scopes=["admin"], galleries=["*"], rate=100_000)
    with fuzzed.keyed(token) as http:
        api = Client(http, http.get("/openapi.json").json())
        compared = api.photos_verify(body={"a": face, "b": mirrored}, fmr=1e-4)
        wanted = visavis.verify(face, mirrored, fmr=1e-4)
        assert compared["same"] is wanted.same is True
        assert compared["score"] == pytest.approx(wanted.score, abs=1e-4)
        assert len(api.photos_detect(body={"photo": face})["faces"]) == 1
        assert len(api.photos_embed(body={"photo": face})["templates"][0]["vector"]) == 128
        made = api.people_add(body={"photo": face, "name": "Ann"}, keep_crops=True)
        ann = made["person"]["id"]
        named = api.photos_identify(body={"photo": mirrored}, gallery="door")
        assert [one["person"] for one in named["faces"]] == ["Ann"]
        assert api.people_people()["people"] == [made["person"]]
        assert api.people_change(person=ann, body={"name": "Bea"})["name"] == "Bea"
        assert api.people_erase(person=ann) is None
        assert api.photos_identify(body={"photo": mirrored})["faces"][0]["person"] is None


def test_examples_are_as_their_schemas_say(document: dict) -> None:
    schemas = document["components"]["schemas"]
    told = {name: one["examples"] for name, one in schemas.items() if "examples" in one}
    assert {"Verification", "IdentifiedPhoto", "Person", "EnrollRow", "Problem", "Job"} <= {*told}
    for name, examples in told.items():
        for example in examples:
            jsonschema_rs.validate(
                {"$ref": f"#/components/schemas/{name}", "components": document["components"]},
                example,
            )


def test_every_operation_is_described(document: dict) -> None:
    for path, operations in document["paths"].items():
        for method, one in operations.items():
            assert one["summary"], (method, path)
            for parameter in one.get("parameters", ()):
                assert parameter["description"], (method, path, parameter["name"])
            success = [code for code in one["responses"] if str(code).startswith("2")]
            assert len(success) == 1, (method, path)
            assert "4XX" in one["responses"]
            if path not in {"/healthz", "/readyz"}:
                assert one["security"], (method, path)
