"""Options shared by several commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
import typer.core

from visavis.cli.output import home


class RunByDefault(typer.core.TyperGroup):
    """Makes ``GROUP ARGUMENT`` mean ``GROUP run ARGUMENT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


Model = Annotated[str, typer.Option("--model", help="Embedder, a name from `visavis models list`.")]
DetectorName = Annotated[str, typer.Option("--detector", help="yunet, mtcnn or dlib.")]
MinFace = Annotated[
    int | None,
    typer.Option(
        "--min-face",
        help="Smallest face to detect: box height in pixels, 8 or more.",
        show_default="20",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        help="Lowest confidence of a face, 0 to 1, on the detector's own scale.",
        show_default="0.8 for yunet",
    ),
]
Photos = Annotated[
    list[str],
    typer.Argument(metavar="PHOTO...", help="Photos or folders; - is a photo from standard input."),
]
Aligned = Annotated[
    bool,
    typer.Option(
        "--aligned",
        help="The photos are square crops aligned to the 112x112 template. They are used as "
        "they are; other images are refused.",
    ),
]
CalibrationName = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        help="A calibration saved by `visavis calibrate`. Default: the model's own.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip", help="Average the templates of each face and its mirror image: twice the time."
    ),
]
Runtime = Annotated[str, typer.Option("--runtime", help="onnxruntime (default) or openvino.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads. Default: one per core.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Photos processed in parallel. Default: one per core."),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Do not use the template cache."),
]

_DETECTOR: Final = {
    "detector": (DetectorName, "yunet"),
    "min_face": (MinFace, None),
    "min_confidence": (MinConfidence, None),
    "runtime": (Runtime, "onnxruntime"),
    "threads": (Threads, None),
}
_PHOTO: Final = {
    "model": (Model, "sface"),
    **_DETECTOR,
    "aligned": (Aligned, False),
    "calibration": (CalibrationName, None),
    "flip": (Flip, False),
}


def detector_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of ``DetectorOptions`` to a command, replacing its ``**options``."""
    return _taking(command, _DETECTOR)


def photo_options(
    *without: str, **further: tuple[Any, Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options of ``PhotoOptions`` to a command, replacing its ``**options``.

    Args:
        without: options to leave out.
        **further: other shared options: annotation and default of each.
    """
    kept = {name: known for name, known in _PHOTO.items() if name not in without} | further
    return lambda command: _taking(command, kept)


def _taking(
    command: Callable[..., None], shared: dict[str, tuple[Any, Any]]
) -> Callable[..., None]:
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in shared.items()
    ]
    # Before --json, which is last.
    head = [p.replace(kind=kind) for p in own[:-1] if p.name != "json"]
    tail = [p.replace(kind=kind) for p in own if p.name == "json"]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**given, home=home())

    run.__signature__ = inspect.Signature([*head, *added, *tail])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*head, *added, *tail)}
    return run
