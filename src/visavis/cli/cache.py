"""``visavis cache``: what is kept between runs, and erasing it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from visavis.cli import options
from visavis.cli.output import console, echo_json, home, messages

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache

app = typer.Typer(no_args_is_help=True, help="Templates kept between runs.")


def embeddings() -> Path:
    """The file of kept templates."""
    from visavis.weights import WeightStore

    return WeightStore(home()).home / "cache" / "embeddings.sqlite"


def downloaded_photos() -> Path:
    """Where ``visavis demo --fetch`` puts Labeled Faces in the Wild."""
    from visavis.weights import WeightStore

    return WeightStore(home()).home / "lfw"


@contextmanager
def kept_templates(*, no_cache: bool) -> Iterator[EmbeddingCache | None]:
    """Yield the template cache, or ``None`` with ``no_cache``; report what was added."""
    if no_cache:
        yield None
        return
    from visavis.embedding.cache import EmbeddingCache

    with EmbeddingCache(embeddings()) as cache:
        before = len(cache)
        try:
            yield cache
        finally:
            if (more := len(cache) - before) > 0:
                messages.print(
                    f"visavis: templates of {more:,} more photo(s) are kept for the next run in "
                    f"{embeddings()}; `visavis cache clear` erases them, --no-cache keeps none",
                    markup=False,
                )


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
    """Erase every template and every photo from the home folder of visavis.

    These are the template cache and the copy of Labeled Faces in the Wild from `demo --fetch`.
    Folders that you named are not touched: docs/concepts/privacy.md says how to erase them.

    Example: `visavis cache clear`
    """
    from visavis.embedding.cache import EmbeddingCache
    from visavis.errors import DataError

    path = embeddings()
    photos = 0
    if path.exists():
        with suppress(DataError), EmbeddingCache(path) as cache:  # a damaged file goes, too
            photos = cache.clear()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    console.print(f"erased the templates of {photos} photos")
    if (downloads := downloaded_photos()).is_dir():
        shutil.rmtree(downloads)
        console.print(f"erased the photos in {downloads}", markup=False)
