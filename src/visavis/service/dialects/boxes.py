"""Boxes of faces in whole pixels, as other services give them."""

from __future__ import annotations

from visavis.types import Face


def corners(face: Face, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of a face, within the photo.

    Args:
        face: the face; its box may reach over the border.
        size: width and height of the photo in pixels.
    """
    (x, y, width, height), (right, bottom) = face.box, size
    return (
        _within(x, right),
        _within(y, bottom),
        _within(x + width, right),
        _within(y + height, bottom),
    )


def _within(place: float, size: int) -> int:
    return min(max(round(place), 0), size)
