"""Does a face look like somebody else who is enrolled, or unlike the person's other photos?"""

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
"""The chance accepted that a photo of somebody else passes as one of the person's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a face looks like.

    Attributes:
        resembles: the other person whom it matches, or ``None``.
        resembles_score: its score with that person.
        own_score: highest score with the person's other photos; ``None`` where there are none.
        warnings: a sentence for each doubt.
    """

    resembles: str | None = None
    resembles_score: float | None = None
    own_score: float | None = None
    warnings: tuple[str, ...] = ()


class Resemblance:
    """Compares faces to be enrolled with a gallery and with each other.

    A face *matches somebody else* where its score with them reaches the gallery's threshold at
    ``fpir``: so often would a newcomer be said to look like somebody. It *does not match the
    person's other photos* where its highest score with n of them lies below the threshold of FMR
    ``PASSES / n``: so often at most does a stranger's photo pass unnoticed. On LFW (View 1 training
    people, the default model, two to ten photos a person) 0.0 to 0.3 % of rightly labelled photos
    are said not to match, and 99 % of wrongly labelled ones.

    Args:
        gallery: who is enrolled.
        recognizer: its model and calibration count; without a calibration nothing is compared.
        fpir: the chance accepted that a newcomer is said to look like somebody enrolled.
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
        """Whether there is a calibration to compare by."""
        return self._calibration is not None

    def check(self, people: Sequence[str], vectors: Vectors) -> list[Finding]:
        """Look at faces before they are enrolled, in the order in which they will be.

        Args:
            people: whose each face is said to be.
            vectors: ``(N, D)`` their templates.
        """
        if self._calibration is None or not people:
            return [Finding() for _ in people]
        known = calibration_in(self._gallery, self._calibration, self._sha256)
        # Faces to be enrolled are from the camera of those that are.
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
        """The templates that the gallery has of a person, ``(T, D)``."""
        kept: list[Vectors] = []
        # An error for everybody new would search the gallery for names like theirs.
        if self._gallery.has_person(person):
            with suppress(UnknownPersonError):  # removed at this moment
                faces = self._gallery.faces(person=person, model_sha256=self._sha256)
                kept = [face.vector for face in faces]
        return np.stack(kept) if kept else np.zeros((0, dimension), dtype=np.float32)

    def _other_threshold(self, calibration: Calibration, newcomers: int) -> float:
        info = self._gallery.info()
        faces = info.faces.get(self._sha256, 0)
        people = max(1, min(info.people, faces) + newcomers)
        strangers = open_set(
            people=people,
            templates=max(1.0, faces / max(1, min(info.people, faces))),
            calibration=calibration,
        )
        try:
            return strangers.point(self._fpir).threshold
        except UnsupportedFmrError:
            return max(point.threshold for point in calibration.points)


def own_threshold(calibration: Calibration, others: int) -> float:
    """Lowest allowed value of a photo's highest score with the ``others`` photos of its person."""
    try:
        return calibration.operating_point(PASSES / others).threshold
    except UnsupportedFmrError:
        return max(point.threshold for point in calibration.points)
