"""What answers say about a face: place, pose, quality."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from visavis.api.photos import poor_measures, quality_score
from visavis.service.dialects.rekognition.ids import face_id, image_id
from visavis.types import Face, Quality

if TYPE_CHECKING:
    from visavis.api.records import StoredFace

MODEL_VERSION: Final = "7.0"
"""The version of Rekognition's face model whose rules hold here: 100 faces a photo, users."""

_LANDMARKS: Final = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
"""Rekognition's left is the viewer's."""

_SHARP: Final = 30.0
"""Variance of the Laplacian below which visavis warns of a blurred face."""

BARS: Final = {"NONE": 0.0, "AUTO": 0.6, "LOW": 0.3, "MEDIUM": 0.6, "HIGH": 0.8}
"""Lowest quality score by ``QualityFilter``; 0.6 is the default of enrollment."""

_REASONS: Final = {
    "yaw": "EXTREME_POSE", "pitch": "EXTREME_POSE", "roll": "EXTREME_POSE",
    "exposure": "LOW_BRIGHTNESS", "sharpness": "LOW_SHARPNESS",
    "detector_score": "LOW_CONFIDENCE", "size": "SMALL_BOUNDING_BOX",
}  # fmt: skip
_STORED: Final = re.compile(
    r"face at (-?\d\.\d{4}),(-?\d\.\d{4}) (\d\.\d{4})x(\d\.\d{4}), confidence (\d\.\d{4})",
    re.ASCII,
)

Size = tuple[int, int]
"""Width and height of a photo in pixels."""


def bounding_box(face: Face, size: Size) -> dict[str, float]:
    """Returns a face's box as shares of the photo's width and height."""
    x, y, width, height = face.box
    return {
        "Width": width / size[0], "Height": height / size[1],
        "Left": x / size[0], "Top": y / size[1],
    }  # fmt: skip


def compared_face(face: Face, size: Size, quality: Quality | None = None) -> dict[str, Any]:
    """Returns a ``ComparedFace`` or ``FaceDetail``.

    Args:
        face: position in the photo.
        size: the photo's size.
        quality: its quality, for ``Pose`` and ``Quality``.
    """
    found: dict[str, Any] = {
        "BoundingBox": bounding_box(face, size),
        "Confidence": 100 * face.score,
        "Landmarks": [
            {"Type": name, "X": float(x) / size[0], "Y": float(y) / size[1]}
            for name, (x, y) in zip(_LANDMARKS, face.landmarks, strict=True)
        ],
    }
    if quality is not None:
        found["Pose"] = {
            "Roll": (quality.roll + face.turn + 180) % 360 - 180,
            "Yaw": quality.yaw,
            "Pitch": quality.pitch,
        }
        found["Quality"] = {
            "Brightness": 100 * quality.exposure,
            "Sharpness": 100 * quality.sharpness / (quality.sharpness + _SHARP),
        }
    return found


def passes(quality: Quality, bar: str) -> bool:
    """Whether a face passes a ``QualityFilter``."""
    return quality_score(quality) >= BARS[bar]


def reasons(quality: Quality) -> list[str]:
    """Returns why a face did not pass."""
    found = [_REASONS[name] for name in poor_measures(quality) if name in _REASONS]
    return list(dict.fromkeys(found)) or ["LOW_FACE_QUALITY"]


def stored_name(face: Face, size: Size) -> str:
    """Returns the name of a photo under which a face is stored: it says where the face was."""
    box = bounding_box(face, size)
    left, top, width, height = (
        min(max(box[name], -9.0), 9.0) for name in ("Left", "Top", "Width", "Height")
    )
    return f"face at {left:.4f},{top:.4f} {width:.4f}x{height:.4f}, confidence {face.score:.4f}"


def stored_face(face: StoredFace, labels: Mapping[str, str]) -> dict[str, Any]:
    """Returns a ``Face`` of a collection.

    Args:
        face: as the gallery stores it.
        labels: ``ExternalImageId`` and ``UserId``, as far as it has them.
    """
    number = face_id(face)
    return {
        "FaceId": number,
        **dict(_place(face.photo)),
        "ImageId": image_id(face.photo_sha256, number),
        **labels,
        "IndexFacesModelVersion": MODEL_VERSION,
    }


def _place(photo: str) -> Iterator[tuple[str, Any]]:
    """Yields box and confidence of a face that this dialect enrolled."""
    found = _STORED.fullmatch(photo)
    if found is not None:
        left, top, width, height, confidence = map(float, found.groups())
        yield "BoundingBox", {"Width": width, "Height": height, "Left": left, "Top": top}
        yield "Confidence", 100 * confidence
