"""Options of augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from visavis.training.fields import Share, check
from visavis.types import Record

_Half = Annotated[float, Meta(ge=0, le=0.5)]


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
        color: strength of the change of brightness, contrast, saturation and color balance:
            0.2 means factors between 0.8 and 1.2.
        gray: share of crops that lose their color.
        blur: share of crops that are blurred, by focus or by motion.
        jpeg: share of crops that are compressed as JPEG, quality 15 to 80.
        low_resolution: share of crops reduced to between 0.25 and 0.7 of their size and enlarged
            again.
        erase: share of crops of which a rectangle (5 % to 25 % of the area) is overwritten.
        mask: share of crops that are given a synthetic face mask, and with it the alignment that a
            detector finds where it sees the mask (``mask_alignment``).
        mix: share of crops, after all of that, into which another crop of the batch is mixed, at
            up to half (H. Zhang et al., "mixup", ICLR 2018, arXiv:1710.09412). A mixed face is
            nobody's, so it is for losses that ask a teacher and not for who it is.

    >>> AugmentOptions(erase=0.25).erase
    0.25
    >>> AugmentOptions.none().flip
    0.0
    """

    flip: Share = 0.5
    rotation: Annotated[float, Meta(ge=0, le=45)] = 0.0
    zoom: _Half = 0.0
    shift: _Half = 0.0
    color: Share = 0.0
    gray: Share = 0.0
    blur: Share = 0.0
    jpeg: Share = 0.0
    low_resolution: Share = 0.0
    erase: Share = 0.0
    mask: Share = 0.0
    mix: Share = 0.0

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def none(cls) -> AugmentOptions:
        """No augmentation at all."""
        return cls(flip=0.0)
