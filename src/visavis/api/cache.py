"""The template cache in the home folder: information and erasure."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from visavis.api.options import downloads, embeddings
from visavis.errors import DataError
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class CacheInfo(Record):
    """Content of the template cache.

    Attributes:
        path: the file, whether it exists or not.
        photos: number of photos.
    """

    path: str
    photos: int


@dataclass(frozen=True, slots=True)
class ClearedCache(Record):
    """Result of clearing the cache.

    Attributes:
        photos: number of photos whose templates were erased.
        downloads: erased folder of downloaded photos, or ``None``.
    """

    photos: int
    downloads: str | None


def info(*, home: Path | None = None) -> CacheInfo:
    """Returns the location of the template cache, and the number of photos in it.

    Args:
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """
    from visavis.embedding.cache import EmbeddingCache

    path = embeddings(home)
    if not path.exists():
        return CacheInfo(str(path), 0)
    with EmbeddingCache(path) as cache:
        return CacheInfo(str(path), len(cache))


def clear(*, home: Path | None = None) -> ClearedCache:
    """Erases all cached templates, and all photos downloaded by ``evaluate.fetch_lfw``.

    Args:
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """
    from visavis.embedding.cache import EmbeddingCache

    path, photos = embeddings(home), 0
    if path.exists():
        with suppress(DataError), EmbeddingCache(path) as cache:  # also removes a damaged file
            photos = cache.clear()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    folder = downloads(home)
    if not folder.is_dir():
        return ClearedCache(photos, None)
    shutil.rmtree(folder)
    return ClearedCache(photos, str(folder))
