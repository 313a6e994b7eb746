"""Results of enrollment and identification, and how the matches of several models become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from visavis.decision.llr import words
from visavis.decision.open_set import IdentificationPoint, OpenSet
from visavis.faces.quality import quality_score
from visavis.gallery.fusion import fused_probe
from visavis.types import Face, Quality, Record, Template, Vectors

if TYPE_CHECKING:
    from visavis.gallery.records import Match
    from visavis.gallery.store import Fusion, GalleryStore
    from visavis.pipeline import Recognizer


STATUSES: Final = {
    "enrolled": "a template is in the gallery now",
    "already-enrolled": "this very photo was enrolled for this person before",
    "no-face": "no face was found",
    "several-faces": "more than one face was found, and the rule refuses to guess",
    "low-quality": "the face is below the minimum quality score",
    "unreadable": "the photo could not be read",
    "unusable-name": "nobody can be called that",
}
"""Status of a photo after enrollment; only the first two mean that it is in the gallery."""


@dataclass(frozen=True, slots=True)
class EnrollRow(Record):
    """Result for one photo.

    Attributes:
        photo: its path, or what it was called.
        person: the person given for it.
        status: one of ``STATUSES``.
        message: why it was not enrolled; ``None`` if it was.
        face: number of the face in the gallery; ``None`` unless ``status`` is ``enrolled``.
        quality_score: quality score of the face, 0 to 1; ``None`` if no face was chosen.
        faces_found: faces in the photo; 0 if the detector did not run.
        resembles: another person whom the face matches, or ``None``.
        resembles_score: its score with that person, or ``None``.
        own_score: highest score with the person's other photos; ``None`` if there are none.
        warnings: sentences: the face matches somebody else, or not the person's other photos.
    """

    photo: str
    person: str
    status: str
    message: str | None = None
    face: int | None = None
    quality_score: float | None = None
    faces_found: int = 0
    resembles: str | None = None
    resembles_score: float | None = None
    own_score: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether the photo is in the gallery."""
        return self.status in {"enrolled", "already-enrolled"}


@dataclass(frozen=True, slots=True)
class Candidate(Record):
    """An enrolled person as a candidate for a face.

    Attributes:
        person: name.
        person_id: opaque id; does not change when the person is renamed.
        score: fused score with the person's templates, in [-1, 1].
        fpir: probability that a non-mated probe reaches this score in this gallery; an upper limit
            where the data end.
        llr: natural log-likelihood ratio of the score, mated over non-mated; NaN without a mapping.
        evidence: ``llr`` in words.
        best_face: number of the person's best-matching template.
        best_score: score with that template.
        faces: number of the person's templates by this model.
        model: name of the model.
    """

    person: str
    person_id: str
    score: float
    fpir: float
    llr: float
    evidence: str
    best_face: int
    best_score: float
    faces: int
    model: str


@dataclass(frozen=True, slots=True, eq=False)
class Identification(Record):
    """Result for one face: a person, or nobody.

    Attributes:
        person: name; ``None`` if no enrolled person matches.
        score: score of the best person; NaN (``None`` in JSON) for an empty gallery.
        threshold: threshold with its origin; ``None`` for an empty gallery.
        fpir: probability that a non-mated probe reaches this score in this gallery; NaN for an
            empty gallery.
        margin: score minus that of the second person; NaN if there is none.
        llr: natural log-likelihood ratio of the score; NaN if unknown.
        evidence: ``llr`` in words.
        candidates: best people, highest support first.
        face: position of the face.
        quality: its quality.
        warnings: sentences about quality, a close second person, or another pipeline at
            enrollment.
    """

    person: str | None
    score: float
    threshold: IdentificationPoint | None
    fpir: float
    margin: float
    llr: float
    evidence: str
    candidates: tuple[Candidate, ...]
    face: Face
    quality: Quality
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class IdentifiedPhoto(Record):
    """Results for one photo.

    Attributes:
        photo: its path, or what it was called.
        faces: one result per face that the rule chose, largest face first.
        reason: a short stable code such as ``no-face`` if there are none; else ``None``.
        message: the reason as a sentence.
    """

    photo: str
    faces: tuple[Identification, ...]
    reason: str | None = None
    message: str | None = None

    @property
    def named(self) -> bool:
        """Whether there are faces and all were identified."""
        return bool(self.faces) and all(face.person is not None for face in self.faces)


_NO_EVIDENCE: Final = "the calibration has no mated pairs, so it weighs no evidence"
_NOBODY: Final = "nobody is enrolled"


@dataclass(frozen=True, slots=True)
class FaceMatches:
    """One model's matches for one face: its threshold, and its candidates, best first."""

    point: IdentificationPoint
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """The person who is identified; ``None`` if nobody reaches the threshold."""
        return self.candidates[0] if self.candidates and self.excess >= 0 else None

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
        one_face: bool = False,
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
            one_face: the templates are of one face, seen several times: one probe.

        Raises:
            UnsupportedFmrError: the data cannot support the rate.
        """
        point = open_set.point(fpir / models)
        if not templates:
            return cls(point, ())
        probes, factor = np.stack([template.vector for template in templates]), 1.0
        if one_face:
            weights = [quality_score(template.quality) for template in templates]
            probes, factor = fused_probe(probes, weights=weights, domain=open_set.domain)
        found = gallery.search(
            probes,
            model_sha256=recognizer.model_sha256,
            k=k,
            fusion=fusion,
            domain=open_set.domain,
        )
        if one_face:
            found = [
                [replace(m, score=m.score * factor, best_score=m.best_score * factor) for m in one]
                for one in found
            ]
        return cls(
            point,
            tuple(_candidates(matches, recognizer.model, open_set, models) for matches in found),
        )


def search(
    gallery: GalleryStore,
    recognizer: Recognizer,
    vectors: Vectors,
    open_set: OpenSet,
    *,
    fpir: float,
    k: int,
    fusion: Fusion,
) -> list[FaceMatches]:
    """Searches a gallery of one model with ``(Q, D)`` templates; see ``ModelMatches.ask``."""
    point = open_set.point(fpir)
    found = gallery.search(
        vectors, model_sha256=recognizer.model_sha256, k=k, fusion=fusion, domain=open_set.domain
    )
    return [FaceMatches(point, _candidates(one, recognizer.model, open_set, 1)) for one in found]


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
