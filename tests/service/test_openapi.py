"""The OpenAPI document is true: generated requests meet no 5xx, and only answers that it says."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import hypothesis.errors
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from tests.service.conftest import options
from tests.service.running import Running, running
from tests.service.test_access import PUBLIC, ROUTES

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
