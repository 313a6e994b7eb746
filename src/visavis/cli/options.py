"""Options and photos that several commands take."""

from __future__ import annotations

import functools
import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import typer.core

from visavis.cli.output import home
from visavis.errors import ImageNotFoundError, ImageTruncatedError, OptionError


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
        help="The photos are square crops aligned to the 112x112 template. They are "
        "embedded without detection; other images are refused.",
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
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        help="Number format of the embedder: auto (what the model's file was made for), float32, "
        "bf16 (in OpenVINO, on processors that have it) or int8 (8-bit model files).",
    ),
]
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
    "precision": (Precision, "auto"),
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


STANDARD_INPUT: Final = frozenset({"-", "/dev/stdin"})
_NAME: Final = "standard input"


class _Stream(io.BytesIO):
    """Bytes read from standard input, with the name that messages use."""

    name = _NAME


def gather(given: Sequence[str]) -> tuple[list[Path | bytes], list[str]]:
    """Return the photos and their names.

    A file stays a path. A folder becomes the sorted files below it that have a photo's suffix.
    ``-`` becomes the bytes of standard input.

    Raises:
        ImageNotFoundError: a folder holds no photo, or there is no standard input.
        ImageTruncatedError: standard input is empty.
        OptionError: standard input is named twice.
    """
    from visavis.api.photos import photos_in

    _check_once(given)
    photos: list[Path | bytes] = []
    names: list[str] = []
    for name in given:
        if name in STANDARD_INPUT:
            photos.append(_standard_input())
            names.append(_NAME)
        elif os.path.isdir(name):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
            inside = photos_in(Path(name))
            photos += inside
            names += map(str, inside)
        else:
            photos.append(Path(name))
            names.append(name)
    return photos, names


def single(given: Sequence[str]) -> list[str | _Stream]:
    """Return photos, without searching folders: paths as named, standard input's bytes for ``-``.

    Raises:
        ImageNotFoundError, ImageTruncatedError, OptionError: see ``gather``.
    """
    _check_once(given)
    return [_Stream(_standard_input()) if name in STANDARD_INPUT else name for name in given]


def _check_once(given: Sequence[str]) -> None:
    if sum(name in STANDARD_INPUT for name in given) > 1:
        raise OptionError("standard input twice", "it is one photo: name the other one's file")


def _standard_input() -> bytes:
    from visavis.api.photos import read_bytes

    remedy = "pipe one photo into it, such as `visavis detect - < photo.jpg`"
    if sys.stdin is None:
        raise ImageNotFoundError("standard input is closed", remedy)
    if sys.stdin.isatty():
        raise ImageNotFoundError("standard input is a terminal", remedy)
    try:
        return read_bytes(sys.stdin.buffer, name=_NAME)
    except ImageTruncatedError as error:
        raise ImageTruncatedError(error.got, remedy) from error
