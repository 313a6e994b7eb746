"""Photos of known geometry, made from the portrait that scikit-image ships."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

LANDMARKS = np.array(
    [[203.3, 101.0], [246.6, 103.5], [223.5, 127.0], [201.5, 140.0], [246.5, 140.5]]
)
"""The portrait's five landmarks, marked by hand on an eightfold enlargement, in its own pixels."""

TOP, BOTTOM, LEFT, RIGHT = 61, 179, 181, 269
"""Its face: hairline to chin, cheek to cheek, by eye."""

HEIGHT = BOTTOM - TOP
SIDE = 512


@dataclass(frozen=True)
class Photo:
    """Pixels, and where the landmarks of the faces in them are, the largest face first."""

    pixels: NDArray[np.uint8]
    landmarks: NDArray[np.float64]  # (F, 5, 2)


def scaled(portrait: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    side = round(SIDE * scale)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(portrait, (side, side), interpolation=method)


def placed(
    portrait: NDArray[np.uint8],
    shape: tuple[int, int],
    faces: list[tuple[float, tuple[float, float]]],
    *,
    paper: int = 120,
) -> Photo:
    """Portraits on a plain canvas.

    Args:
        portrait: the portrait.
        shape: canvas (height, width).
        faces: for each, the height of the face in pixels and where the middle of the face lies, as
            parts of the canvas's width and height. Later ones cover earlier ones.
        paper: the canvas's gray level.
    """
    pixels = np.full((*shape, 3), paper, dtype=np.uint8)
    landmarks = []
    for height, (across, down) in faces:
        picture = scaled(portrait, height / HEIGHT)
        scale = picture.shape[0] / SIDE
        # The head with some room, so that neighbors fit.
        room = 0.7 * HEIGHT
        x0, x1 = (round(v * scale) for v in (LEFT - room, RIGHT + room))
        y0, y1 = (round(max(v, 0) * scale) for v in (TOP - room, BOTTOM + room))
        left = round(across * shape[1] - (LEFT + RIGHT) / 2 * scale)
        top = round(down * shape[0] - (TOP + BOTTOM) / 2 * scale)
        x0, x1 = max(x0, -left), min(x1, shape[1] - left)
        y0, y1 = max(y0, -top), min(y1, shape[0] - top)
        pixels[top + y0 : top + y1, left + x0 : left + x1] = picture[y0:y1, x0:x1]
        landmarks.append(LANDMARKS * scale + (left, top))
    order = np.argsort([-height for height, _ in faces])
    return Photo(pixels, np.array(landmarks)[order])


def cut(portrait: NDArray[np.uint8], box: tuple[float, float, float, float], longest: int) -> Photo:
    """The part (left, top, right, bottom) of the portrait, scaled to ``longest`` pixels."""
    left, top, right, bottom = (round(v) for v in box)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, SIDE), min(bottom, SIDE)
    part = portrait[top:bottom, left:right]
    scale = longest / max(part.shape[:2])
    size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(part, size, interpolation=method)
    per_pixel = np.array(size) / part.shape[1::-1]
    return Photo(pixels, ((LANDMARKS - (left, top)) * per_pixel)[None])


def at_border(portrait: NDArray[np.uint8], side: str, inside: float) -> Photo:
    """The face against one border, ``inside`` face sizes of it showing, 180 px a side or more."""
    wide, high = RIGHT - LEFT, HEIGHT
    left, top = LEFT - 1.5 * wide, TOP - high
    right, bottom = RIGHT + 1.5 * wide, BOTTOM + 1.5 * high
    if side == "left":
        left = RIGHT - inside * wide
    elif side == "right":
        right = LEFT + inside * wide
    elif side == "top":
        top = BOTTOM - inside * high
    else:
        bottom = TOP + inside * high
    return cut(portrait, (left, top, right, bottom), 320)


def error(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Mean distance of five landmarks from where they belong, in parts of the eye distance."""
    eyes = np.hypot(*(wanted[1] - wanted[0]))
    return float(np.hypot(*(np.asarray(found, dtype=float) - wanted).T).mean() / eyes)
