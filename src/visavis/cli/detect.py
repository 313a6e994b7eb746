"""``visavis detect``: the faces of photos."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import typer

from visavis.cli import options
from visavis.cli.output import (
    console,
    echo_json,
    home,
    json_rows,
    messages,
    progress,
    rows_are_progress,
)
from visavis.cli.photos import gather
from visavis.errors import VisavisError


def detect(
    photos: options.Photos,
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Find faces: box, five landmarks, confidence.

    Exit code 0: every photo was read (with or without faces); 1: some could not be read;
    2: none could.

    Example: `visavis detect party.jpg --json`
    """
    from visavis import faces, images

    found, names = gather(photos)
    finder = faces.detector(
        detector,
        home=home(),
        runtime=runtime,
        threads=threads,
        min_face=min_face,
        min_confidence=min_confidence,
    )
    failed = 0
    with ExitStack() as stack:
        quiet = len(found) < 5 or rows_are_progress(json=json)
        update = stack.enter_context(progress("detect", quiet=quiet))
        put: Callable[[dict[str, Any]], None] = _show
        if json:
            put = echo_json if len(found) == 1 else stack.enter_context(json_rows())
        for k, (photo, name) in enumerate(zip(found, names, strict=True)):
            row: dict[str, Any] = {"photo": name, "faces": [], "reason": None, "message": None}
            try:
                seen = finder.detect(images.decode(photo, name=name))
                row["faces"] = [face.to_dict() for face in seen]
            except VisavisError as error:
                row["reason"], row["message"] = error.reason, str(error)
                messages.print(f"visavis: {error}", markup=False)
                failed += 1
            if json or not row["reason"]:
                put(row)
            update(k + 1, len(found))
    if failed and len(found) > 1:
        messages.print(f"{failed} of {len(found)} photos could not be read")
    if failed:
        raise typer.Exit(2 if failed == len(found) else 1)


def _show(row: dict[str, Any]) -> None:
    console.print(f"{row['photo']}: {len(row['faces'])} face(s)", markup=False)
    for face in row["faces"]:
        x, y, width, height = face["box"]
        turn = f", turned {face['turn']} degrees clockwise" if face["turn"] else ""
        console.print(
            f"  {width:.0f}x{height:.0f} at ({x:.0f}, {y:.0f}), "
            f"confidence {face['score']:.2f}{turn}"
        )
