"""``visavis serve``: the HTTP service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.api import gallery as galleries
from visavis.cli.gallery.options import key_in
from visavis.cli.keys import AwsKeyFile, aws_key
from visavis.cli.output import home, messages
from visavis.errors import OptionError, require_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

    from visavis.service.state import Service

_TOKEN = "VISAVIS_GALLERY_TOKEN"  # the variable's name


def serve(
    gallery: Annotated[
        list[str] | None,
        typer.Option(
            "--gallery",
            metavar="[NAME=]DIR|URI",
            help="A gallery to serve, with the name that clients use; repeatable. A folder; or "
            "for Milvus http://HOST:PORT, or a name ending in .db.",
        ),
    ] = None,
    gallery_key_file: Annotated[
        list[str] | None,
        typer.Option(
            "--gallery-key-file",
            metavar="NAME=FILE",
            help="Key file of an encrypted gallery; repeatable. Otherwise VISAVIS_KEY_NAME holds "
            "the key as text.",
        ),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Create galleries that do not exist.")
    ] = False,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Tenant, if several galleries share one Milvus server.")
    ] = "default",
    ui: Annotated[
        bool, typer.Option("--ui", help="Also serve the page for the browser, at /ui.")
    ] = False,
    dialect: Annotated[
        list[str] | None,
        typer.Option(
            "--dialect",
            help="Also answer clients of another service: compreface, deepstack, immich or "
            "rekognition; repeatable.",
        ),
    ] = None,
    collections: Annotated[
        Path | None,
        typer.Option(
            "--collections",
            help="Folder in which clients of the dialect rekognition may create galleries; the "
            "existing ones are served.",
        ),
    ] = None,
    collections_key_file: Annotated[
        Path | None,
        typer.Option(
            "--collections-key-file",
            help="Key file that encrypts all galleries of --collections.",
        ),
    ] = None,
    aws_key_file: AwsKeyFile = None,
    fmr: Annotated[
        float,
        typer.Option("--fmr", help="False match rate of comparisons in a dialect."),
    ] = 1e-3,
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            help="False positive identification rate of searches in a dialect.",
            show_default="0.01, or the lowest that the data support",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="Calibration that gives thresholds in a dialect; see `visavis calibrate`.",
            show_default="the model's own",
        ),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="Immich's own machine learning server, which gets the requests of the dialect "
            "immich that are not about faces.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; any but loopback needs a key."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port.")] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Photos processed in parallel.", show_default="one per core"
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option("--queue", min=1, help="Photos that may wait; more are answered with 429."),
    ] = 64,
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Largest batch of the embedder, in photos.")
    ] = 16,
    max_photo: Annotated[
        float, typer.Option("--max-photo", help="Largest photo, in megabytes.")
    ] = 20.0,
    max_body: Annotated[
        float, typer.Option("--max-body", help="Largest request, in megabytes.")
    ] = 100.0,
    megapixels: Annotated[
        float, typer.Option("--megapixels", help="Largest photo, in megapixels.")
    ] = 50.0,
    faces: Annotated[int, typer.Option("--faces", min=1, help="Most faces in a photo.")] = 100,
    photos: Annotated[int, typer.Option("--photos", min=1, help="Most photos in a request.")] = 100,
    job_photos: Annotated[
        int, typer.Option("--job-photos", min=1, help="Most photos in a job, such as sorting.")
    ] = 2000,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Most jobs that are kept, finished ones included.")
    ] = 16,
    job_hours: Annotated[
        float,
        typer.Option("--job-hours", help="Hours after its last use at which a job is erased."),
    ] = 1.0,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", help="Seconds within which a body must arrive, and then be answered."
        ),
    ] = 30.0,
    grace: Annotated[
        float,
        typer.Option("--grace", help="Seconds to finish accepted requests after SIGTERM."),
    ] = 30.0,
    temporary: Annotated[
        Path | None,
        typer.Option("--temporary", help="Folder for the files of jobs. Default: the system's."),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit/--no-audit",
            help="Record each identification in the gallery's audit log, by ids.",
        ),
    ] = True,
) -> None:
    """Serve verification, identification and people over HTTP, by default on this machine only.

    Without any key (`visavis keys create`) it listens on loopback only. Photos stay in memory,
    except those of jobs, which are erased with the job. Logs are JSON lines on standard error.
    SIGTERM finishes accepted requests; a second one ends the process at once.

    Example: `visavis serve --ui --gallery door=door.gallery`
    """
    require_extra("service", "the service")
    _one_thread_a_request()
    from visavis.service.dialects import load
    from visavis.service.server import require_aws_key, require_keys
    from visavis.service.server import serve as run
    from visavis.service.state import GalleryPlace, Service, ServiceOptions

    limits = ServiceOptions(
        workers=workers, queue=queue, batch=batch, photo_bytes=round(max_photo * 1e6),
        body_bytes=round(max_body * 1e6), megapixels=megapixels, faces=faces, photos=photos,
        seconds=seconds, jobs=jobs, job_photos=job_photos, job_hours=job_hours, audit=audit,
        home=home(), temporary=temporary, dialects=tuple(dialect or ()), fmr=fmr, fpir=fpir,
        calibration=calibration, upstream=upstream,
    )  # fmt: skip
    load(limits.dialects)  # before a gallery is made
    places = _places(gallery or [])
    keys = dict(_pair(text, "--gallery-key-file") for text in gallery_key_file or [])
    if unknown := keys.keys() - places.keys():
        raise OptionError(f"--gallery-key-file {min(unknown)}=...", "name a gallery of --gallery")
    if not create:
        _require_there(places)
    found = {
        name: GalleryPlace(place, create, _access(name, place, keys.get(name), tenant))
        for name, place in places.items()
    }
    made = None
    if collections is not None:
        key = None if collections_key_file is None else key_in(collections_key_file)
        made = GalleryPlace(str(collections), access={"key": key})
    with_galleries = Service(
        found, options=limits, collections=made, aws_key=aws_key(aws_key_file)
    )  # fmt: skip
    try:
        require_keys(with_galleries, host)
        require_aws_key(with_galleries)
        names = ", ".join(found) or "none"
        messages.print(f"galleries: {names}; http://{host}:{port}/openapi.json", markup=False)
        app = page_app(with_galleries) if ui else None
        if ui:
            messages.print(f"page: http://{host}:{port}/ui", markup=False)
        run(with_galleries, host=host, port=port, grace=grace, app=app)
    finally:
        with_galleries.close()


def page_app(service: Service, *, samples: Mapping[str, bytes] | None = None) -> FastAPI:
    """Returns the application of a service with the page.

    Args:
        service: the service.
        samples: photos by name that visitors may try.
    """
    from visavis.service.app import create_app
    from visavis.service.page import mount_page

    app = create_app(service)
    mount_page(app, service, samples=samples)
    return app


def _places(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not equals:
            name, place = Path(text).stem, text
        if not name or not name.isprintable() or "/" in name or not place:
            raise OptionError(f"--gallery {text}", "give NAME=DIR, such as door=door.gallery")
        if name in found:
            raise OptionError(f"--gallery {name} twice", "give each gallery its own name")
        found[name] = place
    return found


def _require_there(places: Mapping[str, str]) -> None:
    for name, place in places.items():
        if not galleries.in_milvus(place) and not Path(place).exists():
            raise OptionError(
                f"--gallery {name}: there is no gallery at {place}",
                "pass --create to make an empty one, or enroll somebody there: "
                f"`visavis enroll DIR --gallery {place}`",
            )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise OptionError(f"{option} {text}", "give NAME=FILE")
    return name, value


def _access(name: str, place: str, file: str | None, tenant: str) -> Any:
    variable = "VISAVIS_KEY_" + "".join(c if c.isalnum() else "_" for c in name).upper()
    if file is not None:
        return {"key": key_in(Path(file))}
    if text := os.environ.get(variable):
        return {"key": galleries.Key.from_text(text)}
    if galleries.in_milvus(place):
        return {"tenant": tenant, "token": os.environ.get(_TOKEN) or None}
    return {}


def _one_thread_a_request() -> None:
    """Keeps FAISS, OpenCV and BLAS on the thread that asks.

    Photos are spread over the cores already: further threads of each search or crop would wait for
    each other. `python -m benchmarks.service` measures it.
    """
    from threadpoolctl import threadpool_limits

    # FAISS's OpenMP and OpenCV read them when they are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    threadpool_limits(1, user_api="blas")
