"""Result records of enrollment and identification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from visavis.decision.open_set import IdentificationPoint
from visavis.types import Face, Quality, Record

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
