"""What is kept in the home folder between runs, and erasing it."""

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
    """Templates that are kept.

    Attributes:
        path: the file, whether it is there or not.
        photos: how many photos they come from.
    """

    path: str
    photos: int


@dataclass(frozen=True, slots=True)
class ClearedCache(Record):
    """What clearing has erased.

    Attributes:
        photos: how many photos' templates.
        downloads: the folder of downloaded photos that went; ``None`` where there was none.
    """

    photos: int
    downloads: str | None


def info(*, home: Path | None = None) -> CacheInfo:
    """Where templates are kept, and how many photos they come from.

    Args:
        home: folder of models, calibrations and caches; the user's data folder when ``None``.
    """
    from visavis.embedding.cache import EmbeddingCache

    path = embeddings(home)
    if not path.exists():
        return CacheInfo(str(path), 0)
    with EmbeddingCache(path) as cache:
        return CacheInfo(str(path), len(cache))


def clear(*, home: Path | None = None) -> ClearedCache:
    """Erase every template, and every photo that ``evaluate.fetch_lfw`` downloaded.

    Args:
        home: folder of models, calibrations and caches; the user's data folder when ``None``.
    """
    from visavis.embedding.cache import EmbeddingCache

    path, photos = embeddings(home), 0
    if path.exists():
        with suppress(DataError), EmbeddingCache(path) as cache:  # a damaged file goes, too
            photos = cache.clear()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    folder = downloads(home)
    if not folder.is_dir():
        return ClearedCache(photos, None)
    shutil.rmtree(folder)
    return ClearedCache(photos, str(folder))
