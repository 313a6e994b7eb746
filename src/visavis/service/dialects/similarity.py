"""Numbers that clients of other services compare with their habitual thresholds.

Each map is strictly increasing in the score, and the threshold in force becomes the client's
default: 0.5 for CompreFace and DeepStack, 80 for Amazon Rekognition. It is a logistic function of
the distance of the two unit vectors, as in CompreFace. No map reaches its limit: a number is
never rounded to 1.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Final

_STEEPNESS: Final = 12.0
"""Twice the slope of the hyperbolic tangent, 6; CompreFace's own models have 5.3 to 6.6."""


def compreface(score: float, *, threshold: float) -> float:
    """Returns CompreFace's similarity, in (0, 1); 0.5 at the threshold.

    Args:
        score: cosine similarity, in [-1, 1].
        threshold: the score from which on the service decides "same" or names a person.

    >>> round(compreface(0.6, threshold=0.4099), 5)
    0.90915
    """
    return _logistic(_STEEPNESS * _margin(score, threshold))


def rekognition(score: float, *, threshold: float) -> float:
    """Returns Amazon Rekognition's similarity, in (0, 100); 80 at the threshold.

    Args:
        score: cosine similarity, in [-1, 1].
        threshold: the score from which on the service decides "same" or names a person.

    >>> round(rekognition(0.6, threshold=0.4099), 2)
    97.56
    """
    return 100 * _logistic(_STEEPNESS * _margin(score, threshold) + log(4))


deepstack = compreface
"""DeepStack's confidence, in (0, 1); 0.5 at the threshold."""


def _margin(score: float, threshold: float) -> float:
    """Returns by how much two unit vectors are closer than at the threshold."""
    return _distance(threshold) - _distance(score)


def _distance(score: float) -> float:
    return sqrt(max(0.0, 2 - 2 * score))


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x))
