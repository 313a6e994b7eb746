"""The FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI

from visavis.api import schemas
from visavis.service import dialects, problems
from visavis.service.limits import Guard
from visavis.service.routes import calibrations, collections, jobs, people, photos, system
from visavis.service.state import Service
from visavis.version import __version__

_SWEEP_SECONDS: Final = 30.0

_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457: why a request was refused, and what to do.",
    "properties": {
        "type": {"type": "string", "description": "urn:visavis:problem: and the reason"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what was given"},
        "remedy": {"type": "string", "description": "what to do"},
        "reason": {"type": "string", "description": "short stable name, such as no-face"},
        "instance": {"type": "string", "description": "the request, as in the service's log"},
        "rows": {"type": "array", "items": {"$ref": "#/components/schemas/EnrollRow"}},
    },
    "required": ["type", "title", "status", "detail", "remedy", "reason", "instance"],
    "examples": [
        {
            "type": "urn:visavis:problem:no-face",
            "title": "No face was found in the photo.",
            "status": 422,
            "detail": "a: no face was found",
            "remedy": "give a photo that shows a face",
            "reason": "no-face",
            "instance": "urn:visavis:request:5f0c6f1f0f6f4a4b",
        }
    ],
}
_JOB: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "kind": {"enum": ["cluster", "calibrate", "check"]},
        "state": {"enum": ["waiting", "running", "done", "failed", "canceled"]},
        "stage": {"type": "string"},
        "done": {"type": "integer"},
        "total": {"type": "integer", "description": "0 if unknown"},
        "created": {"type": "string"},
        "expires": {"type": "string", "description": "when photos and result are erased"},
        "problem": {"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]},
    },
    "required": [
        "id", "kind", "state", "stage", "done", "total", "created", "expires", "problem",
    ],
    "examples": [
        {
            "id": "9f86d081884c7d659a2feaa0c55ad015", "kind": "cluster", "state": "running",
            "stage": "photos", "done": 3, "total": 40, "created": "2026-11-30T10:00:00+00:00",
            "expires": "2026-11-30T11:00:00+00:00", "problem": None,
        }
    ],
}  # fmt: skip


def create_app(service: Service) -> FastAPI:
    """Returns the application of a service; it closes the service when it ends.

    Args:
        service: options, models, galleries, keys and jobs.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(_warm_up, service, app)
        sweeper = asyncio.create_task(_sweep(service))
        service.ready = True
        try:
            yield
        finally:
            sweeper.cancel()
            await asyncio.to_thread(service.close)

    app = FastAPI(
        title="visavis",
        version=__version__,
        summary="Verify, identify and sort faces, with error rates that were measured.",
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        telemetry={  # /metrics and the log are ours; no exception message leaves the machine
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        generate_unique_id_function=lambda route: f"{route.tags[0]}_{route.name}",
    )
    app.state.service = service
    spoken = dialects.load(service.options.dialects)
    respond = dialects.responder(spoken)
    problems.install(app, respond)
    app.add_middleware(Guard, service=service, respond=respond)
    for room in (photos, people, collections, calibrations, jobs, system):
        app.include_router(room.router)
    for dialect in spoken:
        app.include_router(dialect.router, include_in_schema=False)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        found = plain()
        known = found.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in known:
            known.update(schemas.components("#/components/schemas/{name}"))
            known.update(Problem=_PROBLEM, Job=_JOB)
            for extra in (people.SCHEMAS, collections.SCHEMAS):
                known.update(extra)
        return found

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does
    return app


def _warm_up(service: Service, app: FastAPI) -> None:
    """Makes the schema and loads models, so that the first request is as quick as the next."""
    import numpy as np

    from visavis.errors import FaceError

    app.openapi()
    crop = np.full((112, 112, 3), 127, np.uint8)
    for call in (service.engine.detect, service.engine.embed):
        try:
            call(crop)
        except FaceError:
            continue


async def _sweep(service: Service) -> None:
    """Erases expired jobs until the service ends."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await asyncio.to_thread(service.jobs.sweep)
