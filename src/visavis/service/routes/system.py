"""Health, metrics and models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from visavis.api import models as api_models
from visavis.service.metrics import CONTENT_TYPE
from visavis.service.problems import ProblemError
from visavis.service.routes.common import (
    ANYONE,
    Answer,
    described,
    needs,
    schema,
    service_of,
)
from visavis.service.state import Caller

router = APIRouter(tags=["system"])

_STATUS = {
    "type": "object",
    "properties": {"status": {"type": "string"}},
    "required": ["status"],
}


@router.get("/healthz", **described(_STATUS))
async def alive(caller: Annotated[Caller, needs(ANYONE)]) -> Answer:
    """Say that the process answers."""
    return Answer({"status": "ok"})


@router.get("/readyz", **described(_STATUS))
async def ready(request: Request, caller: Annotated[Caller, needs(ANYONE)]) -> Answer:
    """Say whether models are loaded, galleries are open and keys can be read."""
    service = service_of(request)
    await run_in_threadpool(bool, service.keys)  # raises if they cannot
    if not service.ready:
        raise ProblemError(
            503, "not-ready", "models are being loaded, or the service is ending", "ask again",
            headers={"Retry-After": "1"},
        )  # fmt: skip
    return Answer({"status": "ready"})


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, caller: Annotated[Caller, needs("admin")]) -> Response:
    """Show counters and histograms in Prometheus's text format; for keys of all galleries."""
    if not caller.everywhere:
        raise ProblemError(
            403,
            "forbidden",
            "the key is for some galleries only",
            "use one with scope admin and gallery *",
        )
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


@router.get(
    "/v1/models",
    **described(
        {
            "type": "object",
            "properties": {"models": {"type": "array", "items": schema("ModelEntry")}},
            "required": ["models"],
        }
    ),
)
async def models(request: Request, caller: Annotated[Caller, needs("verify")]) -> Answer:
    """List registered models with license, source and hash."""
    service = service_of(request)
    found = await service.run(api_models.list, home=service.options.home)
    return Answer({"models": found})
