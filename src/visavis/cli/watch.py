"""``visavis watch``: who is in front of a camera, or in a video."""

from __future__ import annotations

import json as to_json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console

if TYPE_CHECKING:
    from visavis.api.records import VisitEvent

_STYLES = {"identified": "green", "unknown": "yellow", "no-usable-face": "dim"}


@options.photo_options("model", "calibration", "aligned")
def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            envvar="VISAVIS_SOURCE",
            help="A video file; the address of a stream (rtsp://...); or the number of a camera.",
        ),
    ],
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            help="Accepted rate at which the visit of a person who is not enrolled gets a name. "
            "Default: 0.01, or the lowest supported rate if that is higher.",
        ),
    ] = None,
    fps: Annotated[float, typer.Option("--fps", help="Most frames analyzed per second.")] = 10.0,
    looks: Annotated[
        int, typer.Option("--looks", help="Number of frames of a visit that are fused: the best.")
    ] = 8,
    gap: Annotated[
        float, typer.Option("--gap", help="Seconds without the person that end a visit.")
    ] = 5.0,
    longest: Annotated[
        float, typer.Option("--longest", help="Longest visit, in seconds; then a new one begins.")
    ] = 600.0,
    min_quality: Annotated[
        float | None,
        typer.Option(
            "--min-quality", help="Lowest quality score of a usable face, 0 to 1. Default: 0.6."
        ),
    ] = None,
    arrivals: Annotated[
        bool,
        typer.Option(
            "--arrivals",
            help="Report each visit twice: when it is decided, and when it ends.",
        ),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="End after this many seconds.")
    ] = None,
    camera: Annotated[
        str, typer.Option("--camera", help="Name of the camera in events and topics.")
    ] = "camera",
    save_crops: Annotated[
        Path | None,
        typer.Option(
            "--save-crops",
            metavar="DIR",
            help="Save a picture of the face for each visit. Otherwise no picture is stored.",
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook",
            metavar="URL",
            envvar="VISAVIS_WEBHOOK",
            help="Post each event as JSON to this address.",
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="URL",
            envvar="VISAVIS_MQTT",
            help="Publish each event to this broker: mqtt://USER:PASSWORD@HOST:PORT.",
        ),
    ] = None,
    max_size: Annotated[
        int,
        typer.Option(
            "--max-size", help="Longest side of a frame, in pixels; larger ones are reduced."
        ),
    ] = 1280,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", help="Seconds without a frame after which a stream is opened again."
        ),
    ] = 10.0,
    patience: Annotated[
        float,
        typer.Option("--patience", help="Seconds without a frame after which the command ends."),
    ] = 600.0,
    fusion: Annotated[
        str,
        typer.Option(
            "--fusion",
            help="Fusion of a person's templates: weighted (mean by quality), mean or max.",
        ),
    ] = "weighted",
    model: Annotated[
        str | None,
        typer.Option("--model", help="Use this model's templates only. Default: all."),
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option(
            "--calibration",
            help="A calibration saved by `visavis calibrate`, one per model. Default: the model's "
            "own.",
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Record each decision in the gallery's audit log, by ids."),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per event, each on its own line.")
    ] = False,
    **photo_options: Any,
) -> None:
    """Watch a camera, a stream or a video file, and report who visits it, from when to when.

    Ctrl-C and SIGTERM end it; open visits are reported first. Addresses with passwords can be given
    by the environment: VISAVIS_SOURCE, VISAVIS_MQTT, VISAVIS_WEBHOOK.

    Example: `visavis watch rtsp://door.lan/live --gallery door.gallery --fpir 0.001`
    """
    from visavis.api.watch import watch as run

    place = gallery_options.named(gallery)
    access = gallery_options.access(place, key_file, tenant)
    with _stopped_by_signals() as stop:
        for event in run(
            source,
            gallery=place,
            fpir=fpir,
            fps=fps,
            looks=looks,
            gap=gap,
            longest=longest,
            min_quality=min_quality,
            arrivals=arrivals,
            seconds=seconds,
            camera=camera,
            save_crops=save_crops,
            webhook=webhook,
            mqtt=mqtt,
            max_size=max_size,
            timeout=timeout,
            patience=patience,
            fusion=fusion,
            model=model,
            calibrations=calibration or (),
            audit=audit,
            stop=stop,
            **access,
            **photo_options,
        ):
            _show(event, json=json)
    if stop.interrupted:
        raise typer.Exit(130)


class _Stop(threading.Event):
    """Set by the first signal."""

    interrupted = False


@contextmanager
def _stopped_by_signals() -> Iterator[_Stop]:
    """Yields an event that SIGINT and SIGTERM set; a second signal ends the process as usual."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, _frame: Any) -> None:
        stop.interrupted = number == signal.SIGINT
        stop.set()
        for one, former in before.items():
            signal.signal(one, former)

    for one, former in before.items():
        if former is not signal.SIG_IGN:
            signal.signal(one, end)
    try:
        yield stop
    finally:
        for one, former in before.items():
            signal.signal(one, former)


def _show(event: VisitEvent, *, json: bool) -> None:
    if json:
        line = to_json.dumps(event.to_dict(), ensure_ascii=False, allow_nan=False)
        sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.flush()
        return
    seen = f"{event.frames} frames"
    if event.score is not None and event.threshold is not None:
        sign = "≥" if event.person is not None else "<"
        seen = (
            f"score {event.score:.3f} {sign} {event.threshold:.3f}, {event.looks} of {seen} fused"
        )
    console.print(f"{event.sentence}  [{seen}]", markup=False, style=_STYLES[event.outcome])
    for sentence in event.warnings if event.person is not None else ():
        console.print(f"    warning: {sentence}", style="yellow", markup=False)
