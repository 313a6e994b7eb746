"""What training data must have nothing of: the people and photos of a test protocol."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.errors import VisavisError
from visavis.faces import align
from visavis.training.data import looks
from visavis.training.data.pack import Pack
from visavis.training.data.packing import Find
from visavis.training.data.photo import Photo

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache

_LOOK: Final = f"look-{looks.SIDE}-1"  # stands where the cache has a model's hash
_NONE: Final = np.zeros((0, looks.SIDE * looks.SIDE), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Against:
    """A protocol's photos.

    Attributes:
        name: what messages call it.
        people: M names, the person of each photo.
        names: M names of photos.
        sources: M SHA-256 of their bytes, "" where unknown.
        looks: ``(M, K)`` float32, see ``looks.looks``; zero rows where no face was found.
    """

    name: str
    people: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[str, ...]
    looks: NDArray[np.float32]


def of_pack(pack: Pack) -> Against:
    """A protocol that was packed."""
    return Against(
        name=str(pack.path),
        people=tuple(pack.people[label] for label in pack.labels),
        names=pack.names,
        sources=pack.sources,
        looks=looks.looks(pack.crops, size=pack.size, scale=pack.scale),
    )


def of_photos(
    photos: Sequence[Photo],
    *,
    name: str,
    finder: Callable[[], Find] | None,
    how: str,
    cache: EmbeddingCache | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Against:
    """A protocol whose photos lie in files.

    Args:
        photos: in any order.
        name: what messages call the protocol.
        finder: as in ``packing.pack``.
        how: names detector and rule; part of the cache's key.
        cache: keeps looks between runs, under the photos' hashes.
        workers: photos in work at once; all cores when ``None``.
        progress: called with (done, total).
    """
    local = threading.local()

    def work(photo: Photo) -> tuple[str, NDArray[np.float32]]:
        try:
            data = photo.read()
        except VisavisError:
            return "", _NONE
        digest = images.digest(data)
        kept = cache.get(digest, how, _LOOK) if cache is not None else None
        if kept is not None:
            return digest, kept[1].reshape(-1, _NONE.shape[1])
        try:
            pixels = images.decode(data, name=photo.name)
            if finder is None:
                landmarks = align.positions(size=pixels.shape[0])
            else:
                if not hasattr(local, "find"):
                    local.find = finder()
                landmarks = local.find(pixels, photo.name)
            crop = align.crop(pixels, landmarks, size=looks.VIEW)
            row = looks.looks(crop[None], size=looks.VIEW, scale=1.0)
        except VisavisError:
            row = _NONE
        if cache is not None:
            cache.put(digest, how, _LOOK, {"faces": [{}] * len(row)}, row)
        return digest, row

    rows = np.zeros((len(photos), _NONE.shape[1]), dtype=np.float32)
    sources: list[str] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for k, (digest, row) in enumerate(pool.map(work, photos)):
            sources.append(digest)
            rows[k] = row.sum(axis=0)  # of one row, or none
            if progress is not None:
                progress(k + 1, len(photos))
    return Against(
        name=name,
        people=tuple(photo.person for photo in photos),
        names=tuple(photo.name for photo in photos),
        sources=tuple(sources),
        looks=rows,
    )
