"""The OpenAPI document is true: generated requests meet no 5xx, and only answers that it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
from tests.service.conftest import options
from tests.service.running import Running, running

from visavis.service.app import create_app
from visavis.service.state import GalleryPlace, Service

ROOT = Path(__file__).parents[2]
SETTINGS = """
[auth.openapi.HTTPBearer]
bearer = "{token}"

[phases.stateful.generation]
max-examples = 40

# No schema says which bytes are a photo of a face, or which ids are enrolled.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404, 409, 413, 415, 422, 429]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 413, 415, 422, 429]
"""


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


@pytest.mark.clients
def test_all_checks_hold_in_all_phases(
    fuzzed: Running, face: bytes, mirrored: bytes, tmp_path: Path
) -> None:
    """Examples, coverage of the schemas' bounds, random requests, and histories along links."""
    _, token = fuzzed.service.keys.create(scopes=["admin"], galleries=["*"], rate=100_000)
    for name, photo in (("face", face), ("mirrored", mirrored)):
        (tmp_path / f"{name}.jpg").write_bytes(photo)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS.format(token=token), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run",
         f"{fuzzed.url}/openapi.json", "--checks", "all", "--max-examples", "8", "--seed", "19",
         "--phases", "examples,coverage,fuzzing,stateful", "--generation-deterministic"],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.service.openapi_hooks",
                          "PHOTOS": str(tmp_path)},
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


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
