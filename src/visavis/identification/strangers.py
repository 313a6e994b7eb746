"""Open-set thresholds of a gallery, kept current while the gallery changes."""

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
"""The gallery's non-mated scores are computed again after a change in size by this share."""


@dataclass(frozen=True, slots=True)
class _CachedOpenSet:
    state: tuple[int, ...]
    measured_at: int
    own: NDArray[np.float32]
    calibration: Calibration | None
    fitted: OpenSet


class GalleryThreshold:
    """Open-set models of a gallery, one per model. Thread-safe.

    Args:
        gallery: the gallery.
        fusion: how scores of a person's templates are combined.
        own: also use the gallery's own non-mated scores if it is large enough.
    """

    def __init__(self, gallery: GalleryStore, *, fusion: Fusion, own: bool = True) -> None:
        self._gallery = gallery
        self._fusion: Fusion = fusion
        self._use_own = own
        self._kept: dict[str, _CachedOpenSet] = {}
        self._lock = threading.Lock()

    def before(self, recognizer: Recognizer, info: GalleryInfo) -> OpenSet | None:
        """Returns the open-set model for the recognizer's templates; ``None`` if there are none.

        Args:
            recognizer: gives model and calibration.
            info: current gallery information.

        Raises:
            UnknownCalibrationError: the model has no calibration, and the gallery is too small to
                do without.
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
        """Number of people with templates of the model."""
        if len([count for count in info.faces.values() if count]) < 2:
            return max(1, min(info.people, info.faces[sha256]))
        # Several models: a migration is in progress, and not everybody has both.
        return max(1, sum(sha256 in person.faces for person in self._gallery.people()))

    def _fit(
        self,
        recognizer: Recognizer,
        info: GalleryInfo,
        state: tuple[int, ...],
        kept: _CachedOpenSet | None,
    ) -> _CachedOpenSet:
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
        return _CachedOpenSet(state, measured_at, own, calibration, fitted)
