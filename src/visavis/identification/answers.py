"""From what each model says of a face to one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from visavis.decision.evidence import words
from visavis.decision.open_set import IdentificationPoint, OpenSet
from visavis.identification.records import Candidate, Identification
from visavis.types import Template

if TYPE_CHECKING:
    from visavis.gallery.records import Match
    from visavis.gallery.store import Fusion, GalleryStore
    from visavis.pipeline import Recognizer

_NO_EVIDENCE: Final = "the calibration has no mated pairs, so it weighs no evidence"
_NOBODY: Final = "nobody is enrolled"


@dataclass(frozen=True, slots=True)
class FaceMatches:
    """What one model says of one face: its threshold, and its candidates, the closest first."""

    point: IdentificationPoint
    candidates: tuple[Candidate, ...]

    @property
    def excess(self) -> float:
        """How far the closest candidate lies above the threshold."""
        return self.candidates[0].score - self.point.threshold


@dataclass(frozen=True, slots=True)
class ModelMatches:
    """What one model says of all faces of a photo."""

    point: IdentificationPoint
    faces: tuple[tuple[Candidate, ...], ...]

    def of_face(self, k: int) -> FaceMatches:
        """What it says of one face."""
        return FaceMatches(self.point, self.faces[k])

    @classmethod
    def ask(
        cls,
        gallery: GalleryStore,
        recognizer: Recognizer,
        templates: Sequence[Template],
        strangers: OpenSet,
        *,
        models: int,
        fpir: float,
        k: int,
        fusion: Fusion,
    ) -> Self:
        """Search the gallery for faces.

        Args:
            gallery: the gallery.
            recognizer: the model asked.
            templates: the faces, embedded by it; may be none.
            strangers: how close strangers come to the model's templates.
            models: how many models are asked at once and share the rate.
            fpir: the rate accepted for the whole answer.
            k: candidates a face.
            fusion: how a person's templates become one score.

        Raises:
            UnsupportedFmrError: the data cannot support the rate.
        """
        point = strangers.point(fpir / models)
        if not templates:
            return cls(point, ())
        found = gallery.search(
            np.stack([template.vector for template in templates]),
            model_sha256=recognizer.model_sha256,
            k=k,
            fusion=fusion,
            domain=strangers.domain,
        )
        return cls(
            point,
            tuple(_candidates(matches, recognizer.model, strangers, models) for matches in found),
        )


def _candidates(
    matches: Sequence[Match], model: str, strangers: OpenSet, models: int
) -> tuple[Candidate, ...]:
    scores = np.array([match.score for match in matches], dtype=np.float64)
    rates = np.minimum(strangers.fpir(scores) * models, 1.0)
    known = strangers.calibration
    weighs = known is not None and bool(known.evidence)
    llrs, limits = np.full(len(scores), nan), (nan, nan)
    if known is not None and weighs:
        llrs, limits = known.llr(scores), known.llr_limits()
    return tuple(
        Candidate(
            person=match.person,
            person_id=match.person_id,
            score=match.score,
            fpir=float(rate),
            llr=float(llr),
            evidence=words(float(llr), limits=limits) if weighs else _NO_EVIDENCE,
            best_face=match.best_face,
            best_score=match.best_score,
            faces=match.faces,
            model=model,
        )
        for match, rate, llr in zip(matches, rates, llrs, strict=True)
    )


def fuse(said: Sequence[FaceMatches], face: Template, *, top: int) -> Identification:
    """One answer from those of all models: the better supported one's.

    Scores of two models are never compared with each other; what is compared is the chance that a
    stranger reaches them.

    Args:
        said: what each model says; none in an empty gallery.
        face: where the face is, and how usable.
        top: candidates to list.
    """
    heard = [one for one in said if one.candidates]
    if not heard:
        return Identification(
            None, nan, None, nan, nan, nan, _NOBODY, (), face.face, face.quality,
            tuple(face.quality.warnings),
        )  # fmt: skip
    best = min(heard, key=lambda one: (one.candidates[0].fpir, -one.excess))
    first = best.candidates[0]
    second = best.candidates[1] if len(best.candidates) > 1 else None
    named = best.excess >= 0
    return Identification(
        person=first.person if named else None,
        score=first.score,
        threshold=best.point,
        fpir=first.fpir,
        margin=nan if second is None else first.score - second.score,
        llr=first.llr,
        evidence=first.evidence,
        candidates=_merged(best, heard)[:top],
        face=face.face,
        quality=face.quality,
        warnings=(*face.quality.warnings, *_doubts(best, heard)),
    )


def _merged(best: FaceMatches, heard: Sequence[FaceMatches]) -> tuple[Candidate, ...]:
    """Everybody once, by the model that supports them best."""
    if len(heard) == 1:
        return best.candidates
    by_person: dict[str, Candidate] = {}
    for one in [best, *(other for other in heard if other is not best)]:
        for candidate in one.candidates:
            kept = by_person.get(candidate.person_id)
            if kept is None or candidate.fpir < kept.fpir:
                by_person[candidate.person_id] = candidate
    rest = [c for c in by_person.values() if c is not best.candidates[0]]
    return (best.candidates[0], *sorted(rest, key=lambda c: (c.fpir, -c.llr, c.person)))


def _doubts(best: FaceMatches, heard: Sequence[FaceMatches]) -> list[str]:
    if best.excess < 0:
        return []
    first = best.candidates[0]
    doubts = [
        f"{other.person} is above the threshold, too (score {other.score:.3f}): are they one "
        "person enrolled under two names, or relatives?"
        for other in best.candidates[1:2]
        if other.score >= best.point.threshold
    ]
    for one in heard:
        other = one.candidates[0]
        if one is not best and one.excess >= 0 and other.person_id != first.person_id:
            doubts.append(f"by {other.model} it is {other.person}, by {first.model} {first.person}")
    return doubts
