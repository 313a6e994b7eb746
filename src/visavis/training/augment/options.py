"""What a training crop may be put through, and how much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from visavis.errors import OptionError
from visavis.types import Record

_SPREADS = ("rotation", "zoom", "shift", "colour")
_LARGEST = {"rotation": 45.0, "zoom": 0.5, "shift": 0.5, "colour": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions(Record):
    """Strengths and probabilities of augmentation. Zero everywhere (`AugmentOptions.none()`)
    leaves crops as verification will see them.

    The first group is drawn for every crop; the second says how many crops out of one get the
    treatment at all, each with a strength drawn for that crop.

    Attributes:
        flip: share of crops that are mirrored.
        rotation: standard deviation of the rotation about the middle of the face, degrees; drawn
            normally and cut off at two standard deviations, like `zoom` and `shift`.
        zoom: standard deviation of the logarithm of the size, so 0.05 is about 5 %.
        shift: standard deviation of the move along each axis, as a share of the crop's side.
        colour: strength of the change of brightness, contrast, saturation and colour balance:
            0.2 means factors between 0.8 and 1.2.
        gray: share of crops that lose their colour.
        blur: share of crops that are blurred, by focus or by motion.
        jpeg: share of crops that are compressed as JPEG, quality 15 to 80.
        low_resolution: share of crops reduced to between 0.25 and 0.7 of their size and enlarged
            again.
        erase: share of crops of which a rectangle (5 % to 25 % of the area) is overwritten.
        mask: share of crops that are given a synthetic face mask, and with it the alignment that a
            detector finds where it sees the mask (``mask_alignment``).

    >>> AugmentOptions(erase=0.25).erase
    0.25
    >>> AugmentOptions.none().flip
    0.0
    """

    flip: float = 0.5
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    jpeg: float = 0.0
    low_resolution: float = 0.0
    erase: float = 0.0
    mask: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            largest = _LARGEST.get(field.name, 1.0)
            if not (math.isfinite(value) and 0.0 <= value <= largest):
                what = "a strength" if field.name in _SPREADS else "a share"
                raise OptionError(
                    f"augmentation {field.name}={value}", f"give {what} between 0 and {largest:g}"
                )

    @classmethod
    def none(cls) -> AugmentOptions:
        """No augmentation at all."""
        return cls(flip=0.0)

    @property
    def moves(self) -> bool:
        """Whether any crop is mirrored, turned, zoomed or shifted."""
        return any((self.flip, self.rotation, self.zoom, self.shift))
