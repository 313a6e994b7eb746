"""How large a photo may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from visavis.errors import ImageTooLargeError, ImageUnsupportedError, OptionError
from visavis.images.describe import with_article
from visavis.types import Record

_MOST_EXIF: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits(Record):
    """What is refused before it costs memory.

    Attributes:
        max_pixels: most pixels (width x height), checked on the header before anything is decoded.
            Decoding needs 10 bytes a pixel for a JPEG, up to 22 for a WebP with transparency.
        max_bytes: most bytes of an encoded photo, checked before it is read whole.
        min_side: least width and height in pixels.

    Raises:
        OptionError: if one of them is not a whole number of at least 1.
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
        """Refuse an encoded photo of ``count`` bytes if that is too many."""
        if count > self.max_bytes:
            raise ImageTooLargeError(
                f"{name} has more than {self.max_bytes:,} bytes",
                "store the photo smaller, or raise Limits(max_bytes=...)",
            )

    def check_size(self, width: int, height: int, name: str) -> None:
        """Refuse a photo of ``width`` x ``height`` pixels if that is too many or too few."""
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
    """Refuse EXIF data of ``size`` bytes if that is too many: reading them is slow."""
    if size > _MOST_EXIF:
        raise ImageUnsupportedError(
            f"{name} has more than {_MOST_EXIF:,} bytes of EXIF data", "save it without them"
        )


def refuse_excess(name: str, kind: str, what: str) -> NoReturn:
    """Refuse a file that would take time or memory out of proportion to its picture.

    Args:
        name: what to call the photo.
        kind: its format.
        what: what it has too much of.
    """
    raise ImageUnsupportedError(
        f"{name} is {with_article(kind)} with {what}", "save it anew as a plain JPEG or PNG"
    )
