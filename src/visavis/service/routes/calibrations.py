"""Calibrations: list, make from unlabelled photos, check, delete."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from visavis.api import calibrations
from visavis.errors import OptionError
from visavis.service.jobs import Job
from visavis.service.problems import ProblemError
from visavis.service.routes.common import (
    Answer,
    Calibration,
    Flip,
    Model,
    Rate,
    described,
    needs,
    nothing,
    photos,
    schema,
    service_of,
)
from visavis.service.routes.jobs import erase_photos, receive, started
from visavis.service.state import Caller

router = APIRouter(tags=["calibrations"])

Name = Annotated[str, Path(description="Name of a calibration.")]
_CALIBRATE: Final = "POST them to /v1/calibrations?name=mine, then pass calibration=mine"
_PHOTOS = photos({"photo": 2000, "archive": 1}, optional=["photo", "archive"])


@router.get(
    "/v1/calibrations",
    **described(
        {
            "type": "object",
            "properties": {"calibrations": {"type": "array", "items": {"type": "string"}}},
            "required": ["calibrations"],
        }
    ),
)
async def names(request: Request, caller: Annotated[Caller, needs("verify")]) -> Answer:
    """List the calibrations that may be used."""
    service = service_of(request)
    return Answer({"calibrations": await service.run(service.calibrations, caller)})


_OF_JOB: Final = {"job=$response.body#/id": ("jobs_show", "jobs_cancel")}


@router.get("/v1/calibrations/{name}", **described({"type": "object"}))
async def show(request: Request, caller: Annotated[Caller, needs("verify")], name: Name) -> Answer:
    """Show a calibration: its thresholds with their measured error rates."""
    service = service_of(request)
    service.require_calibration(name, caller)
    return Answer(await service.run(calibrations.show, name, home=service.options.home))


@router.post(
    "/v1/calibrations", **described(schema("Job"), status=202, body=_PHOTOS, links=_OF_JOB)
)
async def make(
    request: Request,
    caller: Annotated[Caller, needs("admin")],
    name: Annotated[
        str,
        Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="What it is to be called."),
    ],
    dataset: Annotated[
        str | None, Query(max_length=200, description="Description of the photos.")
    ] = None,
    model: Model = "sface",
    calibration: Annotated[
        str | None, Query(description="The labelled calibration that it starts from.")
    ] = None,
    flip: Flip = False,
) -> Response:
    """Make a calibration from photos of mostly different people, names unknown; 50 at least."""
    service = service_of(request)
    service.require_calibration(calibration, caller)
    home = service.options.home

    def require_free() -> None:
        if name in calibrations.names(home=home):
            raise OptionError(f"the name {name!r} is taken", "choose another")

    await service.run(require_free)
    job = await receive(request, service, "calibrate", caller)
    owners = None if caller.key is None else caller.key.galleries

    def work(running: Job) -> Any:
        try:
            require_free()
            service.keys.own_calibration(name, owners)  # before anybody can see it
            return calibrations.calibrate(
                unlabelled=running.folder / "photos", name=name, dataset=dataset or name,
                command="POST /v1/calibrations", cache=False, workers=1, threads=1,
                progress=running.update, model=model, calibration=calibration, flip=flip, home=home,
            ).to_dict()  # fmt: skip
        except BaseException:
            if name not in calibrations.names(home=home):
                service.keys.own_calibration(name, None)
            raise
        finally:
            erase_photos(running)

    service.jobs.start(job, work)
    return started(job, f"/v1/jobs/{job.id}")


@router.post(
    "/v1/calibrations/check", **described(schema("Job"), status=202, body=_PHOTOS, links=_OF_JOB)
)
async def check(
    request: Request,
    caller: Annotated[Caller, needs("verify")],
    calibration: Calibration = None,
    fmr: Rate = 1e-3,
    model: Model = "sface",
    flip: Flip = False,
) -> Response:
    """Check whether the error rates of a calibration hold on photos, names unknown; 50 at least."""
    service = service_of(request)
    service.require_calibration(calibration, caller)
    job = await receive(request, service, "check", caller)

    def work(running: Job) -> Any:
        try:
            found = calibrations.check(
                running.folder / "photos", fmr=fmr, cache=False, workers=1, threads=1,
                progress=running.update, model=model, calibration=calibration, flip=flip,
                home=service.options.home,
            ).to_dict()  # fmt: skip
            if found["remedy"]:
                found["remedy"] = found["remedy"].partition("run `")[0] + _CALIBRATE
            return found
        finally:
            erase_photos(running)

    service.jobs.start(job, work)
    return started(job, f"/v1/jobs/{job.id}")


@router.delete("/v1/calibrations/{name}", **described(None, status=204))
async def erase(
    request: Request, caller: Annotated[Caller, needs("admin")], name: Name
) -> Response:
    """Erase a calibration that was made with a key of the same galleries."""
    service = service_of(request)
    service.require_calibration(name, caller)
    if not caller.everywhere and name not in service.keys.calibrations():
        raise ProblemError(
            403, "forbidden", "the calibration is for everybody", "ask who runs the service"
        )
    await service.run(calibrations.delete, name, home=service.options.home)
    service.keys.own_calibration(name, None)
    return nothing()
