"""One number for how usable a face is, from the measures of ``Quality``."""

from __future__ import annotations

from visavis.types import Quality


def usability(quality: Quality) -> float:
    """How much a template of this face can be relied on, 0 (not at all) to 1.

    Args:
        quality: what was measured of the face.
    """
    turned = max(0.0, 1.0 - abs(quality.yaw) / 60.0)
    resolved = min(1.0, quality.size / 32.0)
    sharp = min(1.0, quality.sharpness / 40.0)
    return float(max(0.0, min(1.0, quality.detector_score * turned * resolved * sharp)))
