"""One number for how usable a face is, from the measures of ``Quality``."""

from __future__ import annotations

from typing import Final

import numpy as np

from visavis.types import Quality

POOR: Final = 0.6
"""Below this a face is poor: clustering attaches it last and joins nothing through it, enrolment
refuses it unless told. About where mated scores have lost half their distance from strangers':
eyes under 6 pixels apart, or a blur (sigma) of a tenth of that distance. Of LFW's training
photos 7 in 10,000 are poor."""

Anchors = tuple[tuple[float, float], ...]

# Each measure with the share of the separation that is left. Measured on 220 photos of LFW's View 1
# training people, each made worse in fourteen ways, against their other photos (mated) and 2,000
# strangers: d' of these scores over d' of the untouched photos' (6.3). Default detector and model.
# Left, from the least to the most of each: eyes 12, 8, 6 px apart 0.92, 0.80, 0.62; sharpness 17,
# 8, 5, 4 (blur) 0.93, 0.81, 0.65, 0.37; brightness 0.25, 0.14, 0.11 (dark, noisy) 0.96, 0.82,
# 0.80, and 0.66, 0.81 (clipped) 0.93, 0.69; contrast 0.08, 0.04 (flat, noisy) 0.95, 0.77. The
# product of the factors below keeps to these within 0.08. Turned heads are from the photos as they
# are: mated scores lie 0.02 lower at 25 to 38 degrees, 0.07 beyond.
_SIZE: Final[Anchors] = ((0, 0.0), (4, 0.6), (6, 0.76), (8, 0.87), (12, 0.95), (16, 1.0))
_SHARPNESS: Final[Anchors] = (
    *((0, 0.1), (3.7, 0.42), (5.3, 0.68), (8, 0.83), (16, 0.94), (30, 1.0)),
)
_EXPOSURE: Final[Anchors] = (
    *((0, 0.0), (0.05, 0.7), (0.11, 0.83), (0.14, 0.87), (0.25, 0.98), (0.32, 1.0)),
    *((0.62, 1.0), (0.66, 0.96), (0.72, 0.87), (0.81, 0.73), (1, 0.0)),
)
_CONTRAST: Final[Anchors] = ((0, 0.0), (0.04, 0.84), (0.08, 0.97), (0.11, 1.0))
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
    0.696
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
