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
    echo_json,
    json_rows,
    messages,
    rows_are_progress,
    stages,
)
from visavis.errors import OptionError

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
            "and `box`, or to this folder of Parquet files. The same command continues a run that "
            "was killed.",
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
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Embed on the Ray cluster at this address into the folder of --out; `local` "
            "starts one on this machine. All machines share the disks of the photos and --out.",
        ),
    ] = None,
    shard: Annotated[
        int, typer.Option("--shard", min=1, help="Photos of a Parquet file, a multiple of 16.")
    ] = 512,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Compute templates of faces: unit vectors whose cosine is the score.

    Exit code 0: every photo has a template; 1: some do not, each with its reason; 2: none does.

    With a folder in --out, a PHOTO may be a Parquet file with a column `photo`, the paths.

    Example: `visavis embed album/ --faces all --out album.npz`
    """
    from visavis.api.photos import embed_many, save_templates

    if out is not None and out.suffix != ".npz":
        _to_parquet(
            photos, out, json=json,
            faces=faces, workers=workers, ray=ray, shard=shard, **photo_options
        )  # fmt: skip
        return
    if ray is not None:
        raise OptionError("--ray without a folder to write to", "add --out FOLDER")
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


def _to_parquet(photos: list[str], out: Path, *, json: bool, **given: Any) -> None:
    from visavis.api.photos import embed_to_parquet, listed_in

    found: list[Path] = []
    for name in photos:
        paths = [*listed_in(Path(name))] if name.endswith(".parquet") else gather([name])[0]
        if any(isinstance(path, bytes) for path in paths):
            raise OptionError(f"standard input with --out {out}", "give files, or --out FILE.npz")
        found += paths  # type: ignore[arg-type]
    begun = time.monotonic()
    with stages() as update:
        made = embed_to_parquet(found, out, progress=update, **given)
    if json:
        echo_json(made)
    else:
        line = f"{out}: {made.faces:,} templates of {made.photos:,} photos in {made.shards:,} files"
        console.print(line, markup=False)
    seconds = time.monotonic() - begun
    new = made.photos - made.earlier
    earlier = f", {made.earlier:,} were there before" if made.earlier else ""
    rate = new / max(seconds, 1e-9)
    messages.print(f"{new:,} photos in {seconds:,.1f} s, {rate:,.1f} photos/s{earlier}")
    if made.failed:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in made.reasons.items())
        messages.print(f"{made.failed:,} of {made.photos:,} photos gave no template: {counts}")
        raise typer.Exit(2 if made.failed == made.photos else 1)
