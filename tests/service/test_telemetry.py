"""FastAPI's telemetry, which the environment can switch on, stays off."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.service.conftest import options

from visavis.service.app import create_app
from visavis.service.state import Service

trace = pytest.importorskip("opentelemetry.trace")


class Recorder(trace.TracerProvider):
    """Notes the names of the tracers that are asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_tracer(self, name: str, *_args: object, **_more: object) -> object:
        self.asked.append(name)
        return trace.NoOpTracer()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: found)
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    return found


def _nothing() -> None:
    """Answers nothing."""


def test_a_plain_application_is_traced(recorder: Recorder) -> None:
    app = FastAPI(telemetry={"auto_configure": False})
    app.get("/")(_nothing)
    TestClient(app).get("/")
    assert recorder.asked


def test_the_service_is_not(recorder: Recorder, tmp_path: Path) -> None:
    service = Service({}, options=options(tmp_path))
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        assert client.get("/healthz").status_code == 200
    assert not recorder.asked
