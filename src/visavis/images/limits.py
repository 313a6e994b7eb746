"""Size limits of photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from visavis.errors import ImageTooLargeError, ImageUnsupportedError, OptionError
from visavis.images.describe import with_article
from visavis.types import Record

_MOST_EXIF: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits(Record):
    """Limits that are checked before memory is used.

    Attributes:
        max_pixels: most pixels (width x height), checked on the header before decoding. Decoding
            needs 10 bytes per pixel for a JPEG, up to 22 for a WebP with transparency.
        max_bytes: most bytes of an encoded photo, checked before it is read completely.
        min_side: lowest width and height in pixels.

    Raises:
        OptionError: a limit is not an integer of at least 1.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 100_000_000
    min_side: int = 1

    def __post_init__(self) -> None:
        for option in ("max_pixels", "max_bytes", "min_side"):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(
                    f"Limits({option}={value!r})", "give a whole number of at least 1"
                )

    def check_bytes(self, count: int, name: str) -> None:
        """Refuses an encoded photo of too many bytes."""
        if count > self.max_bytes:
            raise ImageTooLargeError(
                f"{name} has more than {self.max_bytes:,} bytes",
                "store the photo smaller, or raise Limits(max_bytes=...)",
            )

    def check_size(self, width: int, height: int, name: str) -> None:
        """Refuses a photo of too many or too few pixels."""
        if width * height > self.max_pixels:
            raise ImageTooLargeError(
                f"{name} claims {width} x {height} = {width * height:,} pixels, "
                f"more than {self.max_pixels:,}",
                "scale the photo down, or raise Limits(max_pixels=...) if you trust it",
            )
        if min(width, height) < self.min_side:
            raise ImageUnsupportedError(
                f"{name} is {width} x {height} pixels",
                f"give a photo of at least {self.min_side} x {self.min_side}",
            )


DEFAULT_LIMITS = Limits()


def check_exif(size: int, name: str) -> None:
    """Refuses too much EXIF data, because reading it is slow."""
    if size > _MOST_EXIF:
        raise ImageUnsupportedError(
            f"{name} has more than {_MOST_EXIF:,} bytes of EXIF data", "save it without them"
        )


def refuse_excess(name: str, kind: str, what: str) -> NoReturn:
    """Refuses a file that needs too much time or memory relative to its image.

    Args:
        name: name of the photo in messages.
        kind: its format.
        what: the excessive part.
    """
    raise ImageUnsupportedError(
        f"{name} is {with_article(kind)} with {what}", "save it anew as a plain JPEG or PNG"
    )
