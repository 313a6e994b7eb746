"""Combines the matches of several models into one answer per face."""

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
    """One model's matches for one face: its threshold, and its candidates, best first."""

    point: IdentificationPoint
    candidates: tuple[Candidate, ...]

    @property
    def excess(self) -> float:
        """Best score minus threshold."""
        return self.candidates[0].score - self.point.threshold


@dataclass(frozen=True, slots=True)
class ModelMatches:
    """One model's matches for all faces of a photo."""

    point: IdentificationPoint
    faces: tuple[tuple[Candidate, ...], ...]

    def of_face(self, k: int) -> FaceMatches:
        """Returns the matches of face ``k``."""
        return FaceMatches(self.point, self.faces[k])

    @classmethod
    def ask(
        cls,
        gallery: GalleryStore,
        recognizer: Recognizer,
        templates: Sequence[Template],
        open_set: OpenSet,
        *,
        models: int,
        fpir: float,
        k: int,
        fusion: Fusion,
    ) -> Self:
        """Searches the gallery for faces.

        Args:
            gallery: the gallery.
            recognizer: of the model to search with.
            templates: the faces' templates by this model; may be empty.
            open_set: open-set model of the gallery's templates.
            models: number of models searched, which share the rate.
            fpir: accepted FPIR of the combined answer.
            k: candidates per face.
            fusion: how the scores of a person's templates are combined.

        Raises:
            UnsupportedFmrError: the data cannot support the rate.
        """
        point = open_set.point(fpir / models)
        if not templates:
            return cls(point, ())
        found = gallery.search(
            np.stack([template.vector for template in templates]),
            model_sha256=recognizer.model_sha256,
            k=k,
            fusion=fusion,
            domain=open_set.domain,
        )
        return cls(
            point,
            tuple(_candidates(matches, recognizer.model, open_set, models) for matches in found),
        )


def _candidates(
    matches: Sequence[Match], model: str, open_set: OpenSet, models: int
) -> tuple[Candidate, ...]:
    scores = np.array([match.score for match in matches], dtype=np.float64)
    rates = np.minimum(open_set.fpir(scores) * models, 1.0)
    known = open_set.calibration
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


def fuse(matches_by_model: Sequence[FaceMatches], face: Template, *, top: int) -> Identification:
    """Combines the matches of all models for one face.

    Scores of different models are never compared with each other. The FPIR of each score is.

    Args:
        matches_by_model: matches of each model; empty for an empty gallery.
        face: position and quality of the face.
        top: candidates to list.
    """
    others = [one for one in matches_by_model if one.candidates]
    if not others:
        return Identification(
            None, nan, None, nan, nan, nan, _NOBODY, (), face.face, face.quality,
            tuple(face.quality.warnings),
        )  # fmt: skip
    best = min(others, key=lambda one: (one.candidates[0].fpir, -one.excess))
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
        candidates=_merged(best, others)[:top],
        face=face.face,
        quality=face.quality,
        warnings=(*face.quality.warnings, *_doubts(best, others)),
    )


def _merged(best: FaceMatches, others: Sequence[FaceMatches]) -> tuple[Candidate, ...]:
    """Candidates without duplicates, each by its best-supporting model."""
    if len(others) == 1:
        return best.candidates
    by_person: dict[str, Candidate] = {}
    for one in [best, *(other for other in others if other is not best)]:
        for candidate in one.candidates:
            kept = by_person.get(candidate.person_id)
            if kept is None or candidate.fpir < kept.fpir:
                by_person[candidate.person_id] = candidate
    rest = [c for c in by_person.values() if c is not best.candidates[0]]
    return (best.candidates[0], *sorted(rest, key=lambda c: (c.fpir, -c.llr, c.person)))


def _doubts(best: FaceMatches, others: Sequence[FaceMatches]) -> list[str]:
    if best.excess < 0:
        return []
    first = best.candidates[0]
    doubts = [
        f"{other.person} is above the threshold, too (score {other.score:.3f}): are they one "
        "person enrolled under two names, or relatives?"
        for other in best.candidates[1:2]
        if other.score >= best.point.threshold
    ]
    for one in others:
        other = one.candidates[0]
        if one is not best and one.excess >= 0 and other.person_id != first.person_id:
            doubts.append(f"by {other.model} it is {other.person}, by {first.model} {first.person}")
    return doubts
