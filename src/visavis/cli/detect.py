"""``visavis detect``: detects faces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import typer

from visavis.cli import options
from visavis.cli.options import gather
from visavis.cli.output import (
    console,
    echo_json,
    json_rows,
    messages,
    rows_are_progress,
    stages,
)

if TYPE_CHECKING:
    from visavis.api.photos import DetectedPhoto


@options.detector_options
def detect(
    photos: options.Photos,
    json: options.Json = False,
    **detector_options: Any,
) -> None:
    """Detect faces: box, five landmarks, confidence.

    Exit code 0: every photo was read (with or without faces); 1: some could not be read;
    2: none could.

    Example: `visavis detect party.jpg --json`
    """
    from visavis.api.photos import detect_many

    found, names = gather(photos)
    failed = 0
    with ExitStack() as stack:
        quiet = len(found) < 5 or rows_are_progress(json=json)
        update = stack.enter_context(stages(quiet=quiet))
        put: Callable[[Any], None] = _show
        rows = detect_many(found, names=names, progress=update, **detector_options)
        if json:
            put = echo_json if len(found) == 1 else stack.enter_context(json_rows())
        for row in rows:
            if row.message:
                messages.print(f"visavis: {row.message}", markup=False)
                failed += 1
            if json or not row.message:
                put(row)
    if failed and len(found) > 1:
        messages.print(f"{failed} of {len(found)} photos could not be read")
    if failed:
        raise typer.Exit(2 if failed == len(found) else 1)


def _show(row: DetectedPhoto) -> None:
    console.print(f"{row.photo}: {len(row.faces)} face(s)", markup=False)
    for face in row.faces:
        x, y, width, height = face.box
        turn = f", turned {face.turn} degrees clockwise" if face.turn else ""
        console.print(
            f"  {width:.0f}x{height:.0f} at ({x:.0f}, {y:.0f}), confidence {face.score:.2f}{turn}"
        )
