"""How close strangers come to a gallery, kept up while the gallery changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.open_set import ENOUGH, OpenSet, open_set
from visavis.errors import UnknownCalibrationError
from visavis.gallery.space import calibration_in

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.gallery.records import GalleryInfo
    from visavis.gallery.store import Fusion, GalleryStore
    from visavis.pipeline import Recognizer

_STALE: Final = 0.05
"""Own scores are taken anew when the gallery has grown or shrunk by this share."""


@dataclass(frozen=True, slots=True)
class _Kept:
    state: tuple[int, ...]
    measured_at: int
    own: NDArray[np.float32]
    calibration: Calibration | None
    fitted: OpenSet


class GalleryThreshold:
    """The open set before one gallery, by model. Safe to use from several threads.

    Args:
        gallery: the gallery.
        fusion: how a person's templates become one score.
        own: use the gallery's own non-mated scores, too, once it is large enough.
    """

    def __init__(self, gallery: GalleryStore, *, fusion: Fusion, own: bool = True) -> None:
        self._gallery = gallery
        self._fusion: Fusion = fusion
        self._use_own = own
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def before(self, recognizer: Recognizer, info: GalleryInfo) -> OpenSet | None:
        """Strangers to the templates of the recognizer's model; ``None`` where there are none.

        Args:
            recognizer: its model and calibration count.
            info: the gallery as it is now.

        Raises:
            UnknownCalibrationError: the model has no calibration, and the gallery is too small to
                tell by itself.
        """
        sha256 = recognizer.model_sha256
        faces = info.faces.get(sha256, 0)
        if not faces:
            return None
        state = (info.people, faces, sum(info.faces.values()))
        with self._lock:
            kept = self._kept.get(sha256)
            if kept is None or kept.state != state:
                kept = self._fit(recognizer, info, state, kept)
                self._kept[sha256] = kept
            return kept.fitted

    def _people(self, info: GalleryInfo, sha256: str) -> int:
        """People with templates of the model."""
        if len([count for count in info.faces.values() if count]) < 2:
            return max(1, min(info.people, info.faces[sha256]))
        # Several models: a change of model is under way, and not everybody has both.
        return max(1, sum(sha256 in person.faces for person in self._gallery.people()))

    def _fit(
        self, recognizer: Recognizer, info: GalleryInfo, state: tuple[int, ...], kept: _Kept | None
    ) -> _Kept:
        sha256 = recognizer.model_sha256
        people = self._people(info, sha256)
        known, unknown = None, None
        try:
            known = recognizer.calibration
        except UnknownCalibrationError as error:
            unknown = error
        if kept is not None and abs(people - kept.measured_at) <= _STALE * kept.measured_at:
            calibration, own, measured_at = kept.calibration, kept.own, kept.measured_at
        else:
            calibration, own, measured_at = known, np.zeros(0, dtype=np.float32), people
            if known is not None:
                calibration = calibration_in(self._gallery, known, sha256)
            domain = None if calibration is None else calibration.domain
            if self._use_own and people > 1:
                own = self._gallery.non_mated(
                    model_sha256=sha256, fusion=self._fusion, domain=domain
                )
        if unknown is not None and len(own) < ENOUGH:
            raise unknown
        fitted = open_set(
            people=people,
            templates=max(1.0, info.faces[sha256] / people),
            fusion=self._fusion,
            calibration=calibration,
            own=own,
            own_mean=calibration is not known,
        )
        return _Kept(state, measured_at, own, calibration, fitted)
