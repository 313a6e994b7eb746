"""``visavis embed``: computes templates."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options
from visavis.cli.options import gather
from visavis.cli.output import (
    console,
    json_rows,
    messages,
    rows_are_progress,
    stages,
)

if TYPE_CHECKING:
    from visavis.api.records import PhotoResult
    from visavis.types import Template


@options.photo_options("calibration")
def embed(
    photos: options.Photos,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write templates to this private .npz file with the arrays `photo`, `vector` "
            "and `box`.",
        ),
    ] = None,
    faces: Annotated[
        str,
        typer.Option(
            "--faces",
            help="Face to use if a photo has several: largest, central, clear, refuse, all.",
        ),
    ] = "largest",
    workers: options.Workers = None,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Compute templates of faces: unit vectors whose cosine is the score.

    Exit code 0: every photo has a template; 1: some do not, each with its reason; 2: none does.

    Example: `visavis embed album/ --faces all --out album.npz`
    """
    from visavis.api.photos import embed_many, save_templates

    found, names = gather(photos)
    begun = time.monotonic()
    failed = 0
    kept: list[Template] = []
    with ExitStack() as stack:
        if out is not None:
            kept = stack.enter_context(save_templates(out, **photo_options))
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
