"""Netpbm files: the parts that Pillow reads slowly in Python."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile

from visavis.images.limits import refuse_excess
from visavis.images.modes import scale

_PLAIN: Final = (b"P1", b"P2", b"P3")
_MOST_COMMENTS: Final = 1024


def check_comments(data: bytes, name: str) -> None:
    """Refuses a plain (text) file with very many comments: Pillow copies the rest for each.

    Raises:
        ImageUnsupportedError: more than 1,024 comments.
    """
    if data.startswith(_PLAIN) and data.count(b"#") > _MOST_COMMENTS:
        refuse_excess(name, "PPM", f"more than {_MOST_COMMENTS:,} comments")


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an opened PNM is binary with a maxval that Pillow reads slowly."""
    return bool(image.tile) and image.tile[0].codec_name == "ppm"


def load_deep(image: ImageFile.ImageFile, data: bytes) -> PillowImage.Image:
    """Decodes such a PNM; samples 0..maxval become 0..255.

    Args:
        image: opened from ``data``, not decoded.
        data: the whole file.

    Raises:
        EOFError: fewer samples than in the header.
    """
    tile = image.tile[0]
    maxval = tile.args[1] if isinstance(tile.args, tuple) else 255
    bands = len(image.getbands())
    width, height = image.size
    count = width * height * bands
    dtype: np.dtype[np.integer[Any]] = np.dtype("u1" if maxval < 256 else ">u2")
    if len(data) < tile.offset + count * dtype.itemsize:
        raise EOFError("image file is truncated")
    samples = np.frombuffer(data, dtype, count, tile.offset)
    shape = (height, width) if bands == 1 else (height, width, bands)
    return PillowImage.fromarray(scale(samples, maxval).reshape(shape))
