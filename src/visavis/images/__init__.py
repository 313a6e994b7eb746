"""Image decoding: any photo to upright RGB uint8. No other package decodes.

>>> from visavis import images
>>> pixels = images.decode("people/ann.jpg")  # doctest: +SKIP
>>> pixels.shape  # doctest: +SKIP
(480, 640, 3)
"""

from __future__ import annotations

from visavis.images.decoding import decode, digest, size
from visavis.images.listing import PHOTO_SUFFIXES, photos_below, photos_by_person
from visavis.images.reading import DEFAULT_LIMITS, Limits, describe, read_bytes

__all__ = [
    "DEFAULT_LIMITS",
    "PHOTO_SUFFIXES",
    "Limits",
    "decode",
    "describe",
    "digest",
    "photos_below",
    "photos_by_person",
    "read_bytes",
    "size",
]
