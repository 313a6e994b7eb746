"""Checks new faces: similar to another enrolled person, or unlike the person's other photos."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.decision.open_set import open_set
from visavis.errors import UnknownCalibrationError, UnknownPersonError, UnsupportedFmrError
from visavis.gallery.space import calibration_in
from visavis.types import Vectors

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.gallery.store import GalleryStore
    from visavis.pipeline import Recognizer

PASSES: Final = 0.01
"""Accepted rate at which a photo of somebody else passes as one of the person's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of the check.

    Attributes:
        resembles: the other person that the face matches, or ``None``.
        resembles_score: its score with that person.
        own_score: highest score with the person's other photos; ``None`` where there are none.
        warnings: sentences.
    """

    resembles: str | None = None
    resembles_score: float | None = None
    own_score: float | None = None
    warnings: tuple[str, ...] = ()


class Resemblance:
    """Compares new faces with a gallery and with each other.

    A face *matches somebody else* if its score with them reaches the gallery's threshold at
    ``fpir``. It *does not match the person's other photos* if its highest score with n of them is
    below the threshold of FMR ``PASSES / n``; so at most this share of wrong photos passes
    unnoticed. On LFW (View 1 training people, the default model, two to ten photos per person) 0.0
    to 0.3 % of correctly labelled photos get this warning, and 99 % of wrongly labelled ones.

    Args:
        gallery: the gallery to compare with.
        recognizer: gives model and calibration; without a calibration nothing is compared.
        fpir: accepted rate of false warnings for a new person.
    """

    def __init__(self, gallery: GalleryStore, recognizer: Recognizer, *, fpir: float) -> None:
        self._gallery = gallery
        self._sha256 = recognizer.model_sha256
        self._fpir = fpir
        self._calibration: Calibration | None = None
        with suppress(UnknownCalibrationError):
            self._calibration = recognizer.calibration

    @property
    def compares(self) -> bool:
        """Whether there is a calibration."""
        return self._calibration is not None

    def check(self, people: Sequence[str], vectors: Vectors) -> list[Finding]:
        """Checks faces before enrollment, in order of enrollment.

        Args:
            people: name given for each face.
            vectors: ``(N, D)`` their templates.
        """
        if self._calibration is None or not people:
            return [Finding() for _ in people]
        known = calibration_in(self._gallery, self._calibration, self._sha256)
        # New faces come from the same camera as the enrolled ones.
        domain = None if known.domain is None else replace(known.domain, mean_b=None)
        enrolled = self._gallery.search(vectors, model_sha256=self._sha256, k=2, domain=domain)
        before = {
            person: known.project(self._templates(person, vectors.shape[1]))
            for person in set(people)
        }
        vectors = known.project(vectors)
        scores = np.clip(vectors @ vectors.T, -1, 1)
        threshold = self._other_threshold(known, len(set(people)))
        findings = []
        for k, person in enumerate(people):
            found = [(m.score, m.person) for m in enrolled[k] if m.person != person]
            found += [(float(scores[k, j]), people[j]) for j in range(k) if people[j] != person]
            others = [j for j in range(len(people)) if j != k and people[j] == person]
            own = np.concatenate([scores[k, others], before[person] @ vectors[k]])
            findings.append(self._judge(person, max(found, default=None), threshold, own, known))
        return findings

    def _judge(
        self,
        person: str,
        closest: tuple[float, str] | None,
        threshold: float,
        own: np.ndarray,
        calibration: Calibration,
    ) -> Finding:
        warnings = []
        if closest is not None and closest[0] < threshold:
            closest = None
        if len(own):
            best = float(own.max())
            least = own_threshold(calibration, len(own))
            if best < least:
                photos = "other photo" if len(own) == 1 else f"{len(own)} other photos"
                warnings.append(
                    f"does not look like {person}'s {photos}: score {best:.3f}, under {least:.3f}"
                )
        if closest is not None:
            warnings.append(
                f"looks like {closest[1]}, who is enrolled: score {closest[0]:.3f}, "
                f"over {threshold:.3f}"
            )
        return Finding(
            resembles=None if closest is None else closest[1],
            resembles_score=None if closest is None else closest[0],
            own_score=float(own.max()) if len(own) else None,
            warnings=tuple(warnings),
        )

    def _templates(self, person: str, dimension: int) -> Vectors:
        """The person's templates in the gallery, ``(T, D)``."""
        kept: list[Vectors] = []
        # An error for each new person would search the gallery for similar names.
        if self._gallery.has_person(person):
            with suppress(UnknownPersonError):  # removed at this moment
                faces = self._gallery.faces(person=person, model_sha256=self._sha256)
                kept = [face.vector for face in faces]
        return np.stack(kept) if kept else np.zeros((0, dimension), dtype=np.float32)

    def _other_threshold(self, calibration: Calibration, newcomers: int) -> float:
        info = self._gallery.info()
        faces = info.faces.get(self._sha256, 0)
        people = max(1, min(info.people, faces) + newcomers)
        open_set_model = open_set(
            people=people,
            templates=max(1.0, faces / max(1, min(info.people, faces))),
            calibration=calibration,
        )
        try:
            return open_set_model.point(self._fpir).threshold
        except UnsupportedFmrError:
            return max(point.threshold for point in calibration.points)


def own_threshold(calibration: Calibration, others: int) -> float:
    """Returns the lowest allowed maximum score with ``others`` photos of the same person."""
    try:
        return calibration.operating_point(PASSES / others).threshold
    except UnsupportedFmrError:
        return max(point.threshold for point in calibration.points)
