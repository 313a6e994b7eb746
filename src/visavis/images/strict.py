"""Damage is refused in host programs, too, that told Pillow to be lenient."""

from __future__ import annotations

import io
from typing import Any, Final, cast

from PIL import Image as PillowImage
from PIL import ImageFile

_CODEC: Final = "visavis-strict"
# These try to read on after a whole image; that they are whole is checked elsewhere.
_READ_TO_THE_END: Final = frozenset(("PNG", "JPEG2000"))
_CORE: Final[Any] = PillowImage.core  # type: ignore[attr-defined]


class Stream(io.BytesIO):
    """Encoded bytes that notice when a reader asks for more than there are."""

    starved = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, as ``io.BytesIO`` does."""
        data = super().read(size)
        self.starved |= not data and size != 0
        return data


def open_stream(data: bytes) -> io.BytesIO:
    """A stream for Pillow to read from, watched where the host is lenient."""
    return Stream(data) if ImageFile.LOAD_TRUNCATED_IMAGES else io.BytesIO(data)


def load_strictly(image: ImageFile.ImageFile) -> None:
    """Decode the pixels of an image opened on ``open_stream``; raise where they are incomplete.

    ``ImageFile.LOAD_TRUNCATED_IMAGES``, which a host program may have set, makes Pillow fill
    missing parts and pass over the errors of its codecs. Changing it back would change the host's
    other threads, so under it the stream is watched, and a stand-in for each codec raises.

    Raises:
        OSError: the data end early or a codec failed, besides what Pillow raises itself.
    """
    stream = image.fp
    if not isinstance(stream, Stream):
        image.load()
        return
    PillowImage.register_decoder(_CODEC, cast("Any", _StrictDecoder))
    image.tile = [_through_stand_in(tile) for tile in image.tile]
    stream.starved = False
    image.load()
    if stream.starved and image.format not in _READ_TO_THE_END:
        raise OSError("image file is truncated")


def _through_stand_in(tile: Any) -> Any:
    """A tile description that names the stand-in, and its codec as the first argument."""
    if tile.codec_name == "libtiff" or not hasattr(_CORE, f"{tile.codec_name}_decoder"):
        return tile  # libtiff's errors, and those of codecs written in Python, are always raised
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    return tile._replace(codec_name=_CODEC, args=(tile.codec_name, *args))


class _StrictDecoder:
    """Passes everything on to a codec of Pillow's, and raises the errors that it reports."""

    def __init__(self, mode: str, codec: str, *args: Any) -> None:
        self._codec = getattr(_CORE, f"{codec}_decoder")(mode, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, data: bytes) -> tuple[int, int]:
        count, error = self._codec.decode(data)
        if count < 0 and error < 0:
            raise OSError(f"codec error {error} when reading image file")
        return count, error
