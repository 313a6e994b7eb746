"""Face quality: seven measures, each with its unit, and a warning where one is poor.

========== ================================================================ ===================
measure    how it is measured                                               unit
========== ================================================================ ===================
size       distance between the eye landmarks                               pixels of the photo
sharpness  variance of the Laplacian (3x3, four neighbors) of the gray     gray levels squared
           112x112 crop
exposure   mean gray level of the crop                                      0 black to 1 white
contrast   standard deviation of the crop's gray levels                     0 to 0.5
yaw, pitch see ``visavis.faces.pose``                                       degrees
roll       see ``visavis.faces.pose``                                       degrees
========== ================================================================ ===================

Sharpness also decreases with size, contrast and exposure; directional motion blur lowers it little.
The detector's score is passed on; each detector has its own scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from visavis.errors import OptionError
from visavis.faces.pose import estimate_pose
from visavis.types import Face, Image, Quality

_SIDE: Final = 112


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Limits for warnings.

    Chosen on LFW View 1 training people by two criteria. From 1,500 photos (YuNet; for angles and
    score also 300 photos with MTCNN and dlib): at most about 2 % get a warning for any one measure
    (3 % for yaw with dlib). From 200 mated and 200 non-mated training pairs, the second photo of
    each degraded step by step, default embedder: the limit is reached before the separation of the
    scores (d') has fallen by 10 %. If both allow a range, the second decides.

    Attributes:
        size: lowest eye distance in pixels. LFW: 0.5 % are below 25; d' is unchanged down to 16, 4
            % lower at 12, 18 % at 8 (with the landmarks of the full photo).
        sharpness: lowest sharpness. LFW: 0.5 % are below 31; a Gaussian blur of 1.5 crop pixels
            reduces the median face to 16 and d' by 2 %, one of 2.5 pixels to 6 and by 12 %.
        exposure: lowest and highest mean. LFW: 99 % are in 0.25 to 0.68; d' is 2 % lower at 0.14,
            13 % at 0.05; brightened until white clips, 6 % at 0.65, 11 % at 0.68, 25 % at 0.75.
        contrast: lowest contrast. LFW: 0.5 % are below 0.105; d' is 5 % lower at 0.06, 16 % at
            0.04.
        yaw: most degrees to either side. LFW: 98 % are in -37 to 34 (YuNet), -38 to 39 (MTCNN), -43
            to 45 (dlib).
        pitch: most degrees up or down. LFW: 98 % are in -9 to 7 (YuNet), -20 to 26 (MTCNN), -20 to
            33 (dlib).
        roll: most degrees to either side. LFW is upright (98 % are in -9 to 7), so this limit comes
            from photos rotated by known angles: at 30 degrees all three detectors still found 40 of
            40 faces; at 45 dlib missed 10, and YuNet's landmarks were off by 31 % of the eye
            distance.
        outside: largest part of the face box beyond the photo's border. LFW: always 0.
        detector_score: lowest score. LFW: 2 % are below 0.90 (YuNet), 0.96 (MTCNN), 0.60 (dlib).
    """

    size: float = 16
    sharpness: float = 30
    exposure: tuple[float, float] = (0.12, 0.67)
    contrast: float = 0.07
    yaw: float = 40
    pitch: float = 30
    roll: float = 30
    outside: float = 0.2
    detector_score: float = 0.6

    def __post_init__(self) -> None:
        least, most = self.exposure
        if not least <= most:
            raise OptionError(f"exposure limits {self.exposure}", "give the darker one first")


def measure(
    image: Image, face: Face, crop: Image, *, limits: QualityLimits = QualityLimits()
) -> Quality:
    """Measures the quality of one face.

    Args:
        image: the upright RGB photo, ``(H, W, 3)`` uint8.
        face: the detected face.
        crop: the aligned face, ``(S, S, 3)`` RGB uint8; scaled to 112x112 for another S.
        limits: limits for warnings.

    Raises:
        OptionError: an image, crop or landmarks of another shape.
    """
    import cv2

    if image.ndim != 3 or crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8:
        raise OptionError(
            f"a photo of shape {image.shape} and a crop of shape {crop.shape}, {crop.dtype}",
            "give the photo and its aligned crop, (S, S, 3) uint8",
        )
    pose = estimate_pose(face.landmarks)
    right_eye, left_eye = np.asarray(face.landmarks, dtype=np.float64)[:2]
    gray: Any = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    if gray.shape != (_SIDE, _SIDE):
        gray = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    measured = Quality(
        size=float(np.hypot(*(left_eye - right_eye))),
        sharpness=float(cv2.Laplacian(gray, cv2.CV_64F).var()),
        exposure=float(gray.mean() / 255),
        contrast=float(gray.std() / 255),
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=(pose.roll - face.turn + 180) % 360 - 180,
        detector_score=face.score,
    )
    warnings = tuple(_warnings(measured, _outside(face, image), limits))
    values = {name: getattr(measured, name) for name in measured.__dataclass_fields__}
    return Quality(**{**values, "warnings": warnings})


def poor_measures(quality: Quality, *, limits: QualityLimits = QualityLimits()) -> tuple[str, ...]:
    """Returns the names of measures outside their limits, as ``Quality`` has them.

    Args:
        quality: the measures of a face.
        limits: limits for warnings.

    >>> poor_measures(Quality(8, 140, 0.45, 0.2, -50, 0, 0, 0.94))
    ('size', 'yaw')
    """
    darkest, brightest = limits.exposure
    poor = {
        "size": quality.size < limits.size,
        "sharpness": quality.sharpness < limits.sharpness,
        "exposure": not darkest <= quality.exposure <= brightest,
        "contrast": quality.contrast < limits.contrast,
        "yaw": abs(quality.yaw) > limits.yaw,
        "pitch": abs(quality.pitch) > limits.pitch,
        "roll": abs(quality.roll) > limits.roll,
        "detector_score": quality.detector_score < limits.detector_score,
    }
    return tuple(name for name, found in poor.items() if found)


def _outside(face: Face, image: Image) -> float:
    """Part of the box beyond the photo's border, 0 to 1."""
    x, y, width, height = face.box
    across = min(x + width, image.shape[1]) - max(x, 0)
    down = min(y + height, image.shape[0]) - max(y, 0)
    if face.area <= 0:
        return 0.0
    inside: float = max(across, 0) * max(down, 0)
    return 1 - inside / face.area


def _warnings(found: Quality, outside: float, limits: QualityLimits) -> Iterator[str]:
    darkest, brightest = limits.exposure
    if found.size < limits.size:
        yield (
            f"eyes are {found.size:.1f} px apart, under {limits.size:g}: "
            "move closer or use a larger photo"
        )
    if found.sharpness < limits.sharpness:
        yield (
            f"sharpness is {found.sharpness:.0f}, under {limits.sharpness:g}: "
            "focus on the face, hold the camera still, or use a larger photo"
        )
    if found.exposure < darkest:
        yield (
            f"brightness is {found.exposure:.2f}, under {darkest:g}: "
            "light the face from the front or expose longer"
        )
    if found.exposure > brightest:
        yield (
            f"brightness is {found.exposure:.2f}, over {brightest:g}: "
            "expose shorter or turn the face away from the light"
        )
    if found.contrast < limits.contrast:
        yield (
            f"contrast is {found.contrast:.3f}, under {limits.contrast:g}: "
            "use more light, clean the lens, avoid haze and back light"
        )
    if abs(found.yaw) > limits.yaw:
        side = "right" if found.yaw > 0 else "left"
        yield (
            f"head is turned {abs(found.yaw):.0f} degrees to the viewer's {side}, "
            f"over {limits.yaw:g}: look into the camera"
        )
    if abs(found.pitch) > limits.pitch:
        way = "up" if found.pitch > 0 else "down"
        yield (
            f"head is tilted {abs(found.pitch):.0f} degrees {way}, over {limits.pitch:g}: "
            "hold the camera at eye level"
        )
    if abs(found.roll) > limits.roll:
        way, back = ("clockwise", "back") if found.roll > 0 else ("counter-clockwise", "clockwise")
        yield (
            f"face is rotated {abs(found.roll):.0f} degrees {way}, over {limits.roll:g}: "
            f"turn the photo {back}"
        )
    if outside > limits.outside:
        yield (
            f"{outside:.0%} of the face lies outside the photo, over {limits.outside:.0%}: "
            "use a photo that shows the whole face"
        )
    if found.detector_score < limits.detector_score:
        yield (
            f"detector score is {found.detector_score:.2f}, under {limits.detector_score:g}: "
            "check that this is a face, or use a clearer photo"
        )


POOR: Final = 0.6
"""Below this a face is poor: clustering attaches it last and joins nothing through it; enrollment
refuses it by default. At about this value mated scores have lost half their distance from non-mated
ones: eyes less than 6 pixels apart, or a blur (sigma) of a tenth of that distance. 7 in 10,000 of
LFW's training photos are poor."""

Anchors = tuple[tuple[float, float], ...]

# Remaining separation by measure. From 220 photos of LFW's View 1 training people, each degraded in
# fourteen ways, against their other photos (mated) and 2,000 non-mated ones: d' of these scores
# relative to d' of the original photos (6.3). Default detector and model. Remaining, from weak to
# strong degradation: eyes 12, 8, 6 px apart 0.92, 0.80, 0.62; sharpness 17, 8, 5, 4 (blur) 0.93,
# 0.81, 0.65, 0.37; brightness 0.25, 0.14, 0.11 (dark, noisy) 0.96, 0.82, 0.80, and 0.66, 0.81
# (clipped) 0.93, 0.69; contrast 0.08, 0.04 (flat, noisy) 0.95, 0.77. The product of the factors
# below agrees within 0.08. Turned heads are from the original photos: mated scores are 0.02 lower
# at 25 to 38 degrees, 0.07 beyond.
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


def quality_score(quality: Quality) -> float:
    """Returns the reliability of a template of this face, 0 to 1.

    Estimates the remaining share of the separation between mated and non-mated scores, relative to
    a perfect photo: a product of one factor per measure, each non-increasing as the measure gets
    worse.

    Args:
        quality: the measures of the face.

    >>> quality_score(Quality(42, 140, 0.45, 0.2, 0, 0, 0, 0.94)), POOR
    (1.0, 0.6)
    >>> round(quality_score(Quality(8, 140, 0.45, 0.2, 50, 0, 0, 0.94)), 3)
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
    """Linear interpolation between the anchors, constant beyond them."""
    return float(np.interp(value, [x for x, _ in anchors], [y for _, y in anchors]))
