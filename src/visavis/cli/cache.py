"""``visavis cache``: what is kept between runs, and erasing it."""

from __future__ import annotations

from pathlib import Path

import typer

from visavis.cli import options
from visavis.cli.output import console, echo_json, home

app = typer.Typer(no_args_is_help=True, help="Templates kept between runs.")


def embeddings() -> Path:
    """The file of kept templates."""
    from visavis.weights import WeightStore

    return WeightStore(home()).home / "cache" / "embeddings.sqlite"


@app.command()
def info(json: options.Json = False) -> None:
    """Say where templates are kept, and how many photos they come from.

    Example: `visavis cache info`
    """
    from visavis.embedding.cache import EmbeddingCache

    path = embeddings()
    photos = 0
    if path.exists():
        with EmbeddingCache(path) as cache:
            photos = len(cache)
    if json:
        echo_json({"path": str(path), "photos": photos})
    else:
        console.print(f"{path}: templates of {photos} photos", markup=False)


@app.command()
def clear() -> None:
    """Erase every kept template from the disk.

    Example: `visavis cache clear`
    """
    from visavis.embedding.cache import EmbeddingCache

    path = embeddings()
    photos = 0
    if path.exists():
        with EmbeddingCache(path) as cache:
            photos = cache.clear()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    console.print(f"erased the templates of {photos} photos")
