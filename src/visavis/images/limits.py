"""How large a photo may be."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.errors import ImageTooLargeError, ImageUnsupportedError, OptionError
from visavis.types import Record


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
