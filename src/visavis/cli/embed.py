"""``visavis embed``: the templates of photos."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options
from visavis.cli.output import (
    console,
    json_rows,
    messages,
    rows_are_progress,
    stages,
)
from visavis.cli.photos import gather
from visavis.errors import OptionError, VisavisError
from visavis.writing import private_folder, replacing

if TYPE_CHECKING:
    from visavis.pipeline import PhotoResult
    from visavis.types import Template


@options.photo_options("calibration")
def embed(
    photos: options.Photos,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write templates to this .npz, which only you can read. Its arrays are `photo`, "
            "`vector` and `box`.",
        ),
    ] = None,
    faces: Annotated[
        str,
        typer.Option(
            "--faces", help="Where a photo has several: largest, central, clear, refuse, all."
        ),
    ] = "largest",
    workers: options.Workers = None,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Turn faces into templates: unit vectors whose cosine is the score.

    Exit code 0: every photo gave a template; 1: some did not, each with its reason; 2: none did.

    Example: `visavis embed album/ --faces all --out album.npz`
    """
    from visavis.api.options import recognizer
    from visavis.api.photos import embed_many

    found, names = gather(photos)
    begun = time.monotonic()
    failed = 0
    kept: list[Template] = []
    with ExitStack() as stack:
        file = None if out is None else stack.enter_context(_replacing(out))
        quiet = len(found) < 5 or (out is None and rows_are_progress(json=json))
        update = stack.enter_context(stages(quiet=quiet))
        put = stack.enter_context(json_rows()) if json else _show
        rows = embed_many(
            found, faces=faces, names=names, workers=workers, progress=update, **photo_options
        )
        for row in stack.enter_context(closing(rows)):  # type: ignore[type-var]
            if row.message:
                failed += 1
                messages.print(f"visavis: {row.message}", markup=False)
            if json or (out is None and not row.message):
                put(row)
            if out is not None:
                kept += row.templates
        if file is not None:
            known = recognizer(**photo_options)
            _write(file, kept, known.embedder.dimension, known.model_sha256)
    if out is not None and not json:
        console.print(f"{out}: {len(kept)} templates of {len(found)} photos", markup=False)
    if len(found) > 1:
        seconds = time.monotonic() - begun
        rate = len(found) / max(seconds, 1e-9)
        messages.print(f"{len(found):,} photos in {seconds:,.1f} s, {rate:,.1f} photos/s")
    if failed:
        if len(found) > 1:
            messages.print(f"{failed} of {len(found)} photos gave no template")
        raise typer.Exit(2 if failed == len(found) else 1)


def _show(row: PhotoResult) -> None:
    console.print(f"{row.photo}: {len(row.templates)} template(s)", markup=False)


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield the file to write, opened before any photo is embedded; only its owner can read it."""
    try:
        private_folder(out.parent)
        with replacing(out, private=True) as file:
            yield file
    except OSError as error:
        if isinstance(error, VisavisError):
            raise
        raise OptionError(
            f"--out {out} cannot be written ({error.strerror or error})", "name another file"
        ) from error


def _write(file: Path, kept: list[Template], dimension: int, sha256: str) -> None:
    import numpy as np

    vectors = [template.vector for template in kept]
    with file.open("wb") as stream:
        np.savez(
            stream,
            photo=np.array([template.photo for template in kept], dtype=np.str_),
            vector=np.stack(vectors) if vectors else np.zeros((0, dimension), np.float32),
            box=np.array([template.face.box for template in kept]).reshape(-1, 4),
            model_sha256=np.array(sha256),
        )
