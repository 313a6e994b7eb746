"""One number for how usable a face is, from the measures of ``Quality``."""

from __future__ import annotations

from typing import Final

import numpy as np

from visavis.types import Quality

POOR: Final = 0.6
"""Below this a face is poor: clustering attaches it last and joins nothing through it, enrolment
refuses it unless told."""

Anchors = tuple[tuple[float, float], ...]

# Each measure, and the share of the separation of mated from non-mated scores (d') that is left.
_SIZE: Final[Anchors] = ((0, 0.0), (4, 0.4), (8, 0.82), (12, 0.96), (16, 1.0))
_SHARPNESS: Final[Anchors] = ((0, 0.3), (6, 0.88), (16, 0.98), (30, 1.0))
_EXPOSURE: Final[Anchors] = (
    *((0, 0.0), (0.05, 0.87), (0.14, 0.98), (0.2, 1.0)),
    *((0.66, 1.0), (0.72, 0.9), (0.8, 0.7), (1, 0.0)),
)
_CONTRAST: Final[Anchors] = ((0, 0.0), (0.04, 0.84), (0.06, 0.95), (0.08, 1.0))
_YAW: Final[Anchors] = ((25, 1.0), (40, 0.9), (50, 0.8), (60, 0.6), (90, 0.1))
_PITCH: Final[Anchors] = ((30, 1.0), (45, 0.8), (60, 0.5), (90, 0.1))
_ROLL: Final[Anchors] = ((45, 1.0), (90, 0.7), (180, 0.5))
_DETECTOR: Final[Anchors] = ((0.3, 0.0), (0.6, 0.5), (0.9, 0.95), (0.94, 1.0))


def usability(quality: Quality) -> float:
    """How much a template of this face can be relied on, 0 (not at all) to 1.

    An estimate of the share of the separation between mated and non-mated scores that is left
    beside a flawless photo: a product of one factor a measure, each never rising as the measure
    gets worse.

    Args:
        quality: what was measured of the face.

    >>> usability(Quality(42, 140, 0.45, 0.2, 0, 0, 0, 0.94)), POOR
    (1.0, 0.6)
    >>> round(usability(Quality(8, 140, 0.45, 0.2, 50, 0, 0, 0.94)), 3)
    0.656
    """
    share = (
        _factor(quality.size, _SIZE)
        * _factor(quality.sharpness, _SHARPNESS)
        * _factor(quality.exposure, _EXPOSURE)
        * _factor(quality.contrast, _CONTRAST)
        * _factor(abs(quality.yaw), _YAW)
        * _factor(abs(quality.pitch), _PITCH)
        * _factor(abs(quality.roll), _ROLL)
        * _factor(quality.detector_score, _DETECTOR)
    )
    return share if np.isfinite(share) else 0.0


def _factor(value: float, anchors: Anchors) -> float:
    """Straight lines between the anchors, level beyond them."""
    return float(np.interp(value, [x for x, _ in anchors], [y for _, y in anchors]))
