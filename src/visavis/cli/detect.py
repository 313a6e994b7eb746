"""``visavis detect``: the faces of photos."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from visavis.cli import options
from visavis.cli.output import console, echo_json, home, messages, progress
from visavis.cli.photos import gather
from visavis.errors import VisavisError


def detect(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Photos or folders.")],
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

    paths = gather(photos)
    finder = faces.detector(
        detector,
        home=home(),
        runtime=runtime,
        threads=threads,
        min_face=min_face,
        min_confidence=min_confidence,
    )
    rows: list[dict[str, Any]] = []
    with progress("detect", quiet=len(paths) < 5) as update:
        for k, path in enumerate(paths):
            row: dict[str, Any] = {"photo": str(path), "faces": [], "reason": None, "message": None}
            try:
                row["faces"] = [face.to_dict() for face in finder.detect(images.decode(path))]
            except VisavisError as error:
                row["reason"], row["message"] = error.reason, str(error)
            rows.append(row)
            update(k + 1, len(paths))
    failed = [row for row in rows if row["reason"]]
    if json:
        echo_json(rows if len(rows) > 1 else rows[0])
    for row in rows:
        if row["message"]:
            messages.print(f"visavis: {row['message']}", markup=False)
        elif not json:
            _show(row)
    if failed and len(rows) > 1:
        messages.print(f"{len(failed)} of {len(rows)} photos could not be read")
    if failed:
        raise typer.Exit(2 if len(failed) == len(rows) else 1)


def _show(row: dict[str, Any]) -> None:
    console.print(f"{row['photo']}: {len(row['faces'])} face(s)", markup=False)
    for face in row["faces"]:
        x, y, width, height = face["box"]
        console.print(
            f"  {width:.0f}x{height:.0f} at ({x:.0f}, {y:.0f}), confidence {face['score']:.2f}"
        )
