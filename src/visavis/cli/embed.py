"""``visavis embed``: the templates of photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options
from visavis.cli.output import console, echo_json, home, messages, progress
from visavis.cli.photos import gather

if TYPE_CHECKING:
    from visavis.pipeline import PhotoResult


def embed(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Photos or folders.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write templates to this .npz: arrays `photo`, `vector` and `box`."
        ),
    ] = None,
    faces: Annotated[
        str,
        typer.Option("--faces", help="Where a photo has several: largest, central, refuse, all."),
    ] = "largest",
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """Turn faces into templates: unit vectors whose cosine is the score.

    Exit code 0: every photo gave a template; 1: some did not, each with its reason; 2: none did.

    Example: `visavis embed album/ --faces all --out album.npz`
    """
    from visavis.pipeline import Recognizer, RecognizerOptions

    paths = gather(photos)
    recognizer = Recognizer(
        model=model,
        detector=detector,
        aligned=aligned,
        options=RecognizerOptions(
            runtime=runtime, flip=flip, min_face=min_face, min_confidence=min_confidence
        ),
        home=home(),
    )
    with progress("embed", quiet=len(paths) < 5) as update:
        rows = list(recognizer.embed_many(paths, rule=faces, workers=workers, progress=update))
    failed = [row for row in rows if row.reason]
    if out is not None:
        _write(out, rows, recognizer.embedder.dimension, recognizer.model_sha256)
    if json:
        echo_json([row.to_dict() for row in rows])
    for row in rows:
        if row.message:
            messages.print(f"visavis: {row.message}", markup=False)
        elif not json and out is None:
            console.print(f"{row.photo}: {len(row.templates)} template(s)", markup=False)
    if out is not None and not json:
        count = sum(len(row.templates) for row in rows)
        console.print(f"{out}: {count} templates of {len(rows)} photos", markup=False)
    if failed:
        if len(rows) > 1:
            messages.print(f"{len(failed)} of {len(rows)} photos gave no template")
        raise typer.Exit(2 if len(failed) == len(rows) else 1)


def _write(out: Path, rows: list[PhotoResult], dimension: int, sha256: str) -> None:
    import numpy as np

    pairs = [(row.photo, template) for row in rows for template in row.templates]
    vectors = [template.vector for _, template in pairs]
    with out.open("wb") as file:
        np.savez(
            file,
            photo=np.array([source for source, _ in pairs], dtype=np.str_),
            vector=np.stack(vectors) if vectors else np.zeros((0, dimension), np.float32),
            box=np.array([template.face.box for _, template in pairs]).reshape(-1, 4),
            model_sha256=np.array(sha256),
        )
