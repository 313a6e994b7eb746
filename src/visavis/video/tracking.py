"""Follows faces from frame to frame: assignment by overlap with the predicted boxes.

As in SORT (A. Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016): each track
predicts its box at constant velocity, and faces are assigned to tracks so that the sum of the
overlaps is the largest (Hungarian algorithm). Velocities come from an alpha-beta filter, the steady
state of a Kalman filter. Times are seconds, not frames: a stream skips frames at will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Face

OVERLAP: Final = 0.1
"""A face continues a track if it overlaps the predicted box by more (intersection over union): a
face may move by four fifths of its width between two frames, beyond what its velocity predicts."""

LOST: Final = 1.0
"""Seconds after which a track that is not continued ends."""

_COASTING: Final = 0.5
_GAIN: Final = 0.5

Boxes = NDArray[np.float64]


@dataclass(slots=True)
class _Track:
    number: int
    box: Boxes
    velocity: Boxes
    time: float

    def predicted(self, time: float) -> Boxes:
        moved = self.box.copy()
        moved[:2] += self.velocity * min(time - self.time, _COASTING)
        return moved


class FaceTracker:
    """Numbers the faces of successive frames: one number for each track.

    Args:
        first: number of the first track.
    """

    def __init__(self, *, first: int = 1) -> None:
        self._tracks: list[_Track] = []
        self._count = first - 1

    @property
    def count(self) -> int:
        """The last number given."""
        return self._count

    def update(self, faces: Sequence[Face], time: float) -> list[int]:
        """Returns the track of each face of the next frame; a new number begins a new track.

        Args:
            faces: of the frame.
            time: seconds, never falling.
        """
        from scipy.optimize import linear_sum_assignment

        self._tracks = [one for one in self._tracks if time - one.time <= LOST]
        boxes = np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)
        overlaps = _overlaps(boxes, np.array([t.predicted(time) for t in self._tracks]))
        numbers = [0] * len(faces)
        for k, j in zip(*linear_sum_assignment(-overlaps), strict=True):
            if overlaps[k, j] > OVERLAP:
                track = self._tracks[j]
                elapsed = max(time - track.time, 1e-3)
                moved = _center(boxes[k]) - _center(track.box)
                track.velocity += _GAIN * (moved / elapsed - track.velocity)
                track.box, track.time = boxes[k], time
                numbers[k] = track.number
        for k, number in enumerate(numbers):
            if not number:
                self._count += 1
                self._tracks.append(_Track(self._count, boxes[k], np.zeros(2), time))
                numbers[k] = self._count
        return numbers

    def living(self) -> set[int]:
        """Numbers of the tracks that may go on."""
        return {one.number for one in self._tracks}


def _center(box: Boxes) -> Boxes:
    return box[:2] + box[2:] / 2


def _overlaps(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of every two boxes ``(x, y, width, height)``."""
    b = b.reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    either = np.prod(a[:, 2:], axis=1)[:, None] + np.prod(b[:, 2:], axis=1)[None] - both
    return np.asarray(both / np.maximum(either, 1e-9))
