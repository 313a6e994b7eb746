"""Thumbnails of faces for the contact sheet."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from visavis import images
from visavis.albums.records import Album, AlbumFace
from visavis.errors import VisavisError
from visavis.faces import align
from visavis.types import Image

SIDE: Final = 72
_QUALITY: Final = 62
_SCALE: Final = 0.74  # includes hair and chin, which help people to recognize a person


def cut(
    album: Album,
    faces: Iterable[int],
    *,
    size: int = SIDE,
    workers: int = 2,
    limits: images.Limits = images.DEFAULT_LIMITS,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Returns square JPEG thumbnails; opens each photo once.

    Missing and unreadable photos are left out.

    Args:
        album: the album.
        faces: their numbers.
        size: side in pixels.
        workers: photos processed in parallel.
        limits: limits for photos.
        progress: called with (photos done, all photos).
    """
    inside: dict[str, list[AlbumFace]] = defaultdict(list)
    for number in faces:
        inside[album.faces[number].photo_sha256].append(album.faces[number])
    root = Path(album.settings.root)
    paths = {file.sha256: root / file.photo for file in reversed(album.files) if file.sha256}

    def work(photo: str) -> list[tuple[int, bytes]]:
        try:
            pixels = images.decode(paths[photo], limits=limits)
            return [
                (f.id, jpeg(align.crop(pixels, f.landmarks, size=size, scale=_SCALE)))
                for f in inside[photo]
            ]
        except VisavisError:
            return []

    photos = [photo for photo in inside if photo in paths]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(photos), 64):
            for some in pool.map(work, photos[start : start + 64]):
                yield from some
            if progress is not None:
                progress(min(start + 64, len(photos)), len(photos))


def jpeg(crop: Image) -> bytes:
    """Encodes a crop as a small JPEG."""
    from PIL import Image as Pictures

    buffer = io.BytesIO()
    Pictures.fromarray(crop).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
