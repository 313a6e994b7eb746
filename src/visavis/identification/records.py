"""What enrollment and identification answer with."""

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
    "low-quality": "the face is below the usability asked for",
    "unreadable": "the photo could not be read",
    "unusable-name": "nobody can be called that",
}
"""What can become of a photo at enrollment; only the first two mean that it is in the gallery."""


@dataclass(frozen=True, slots=True)
class EnrollRow(Record):
    """What became of one photo.

    Attributes:
        photo: its path, or what it was called.
        person: whom it was to be enrolled for.
        status: one of ``STATUSES``.
        message: why it was not enrolled, in one line; ``None`` where it was.
        face: number of the face in the gallery; ``None`` unless ``status`` is ``enrolled``.
        usability: how usable the face is, 0 to 1; ``None`` where no face was chosen.
        faces_found: faces in the photo, 0 where it was not looked at.
        resembles: the other person whom the face matches, or ``None``.
        resembles_score: its score with that person, or ``None``.
        own_score: highest score with the person's other photos, or ``None`` where there are none.
        warnings: sentences: the face matches somebody else, or not the person's other photos.
    """

    photo: str
    person: str
    status: str
    message: str | None = None
    face: int | None = None
    usability: float | None = None
    faces_found: int = 0
    resembles: str | None = None
    resembles_score: float | None = None
    own_score: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether the photo is in the gallery now."""
        return self.status in {"enrolled", "already-enrolled"}


@dataclass(frozen=True, slots=True)
class Candidate(Record):
    """An enrolled person, and what speaks for the face being theirs.

    Attributes:
        person: name.
        person_id: opaque id, kept over a rename.
        score: fused score with the person's templates, in [-1, 1].
        fpir: the chance that a stranger reaches this score with anybody in this gallery; at most
            this, where the data behind it end.
        llr: natural log of the likelihood ratio of the score, mated over non-mated; NaN where the
            calibration weighs no evidence.
        evidence: ``llr`` in words.
        best_face: number of the person's closest template.
        best_score: score with that template.
        faces: templates the person has of the model.
        model: name of the model that compared.
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
    """Who one face is, or that nobody enrolled comes close enough.

    Attributes:
        person: name, or ``None``: nobody we know.
        score: score of the closest person; NaN (``None`` in JSON) in an empty gallery.
        threshold: what the score was compared with, and where that comes from; ``None`` in an
            empty gallery.
        fpir: the chance that a stranger reaches this score in this gallery; NaN in an empty one.
        margin: how far the next person's score lies below; NaN where there is no next person.
        llr: natural log of the likelihood ratio of the score; NaN where not known.
        evidence: ``llr`` in words.
        candidates: closest people, best supported first.
        face: where the face is.
        quality: how usable it is.
        warnings: sentences on quality, a close second, or a gallery made with other settings.
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
    """Who is in one photo.

    Attributes:
        photo: its path, or what it was called.
        faces: one answer a face that the rule chose, the largest face first.
        reason: a short stable name such as ``no-face`` where there is none; else ``None``.
        message: the same as one line.
    """

    photo: str
    faces: tuple[Identification, ...]
    reason: str | None = None
    message: str | None = None

    @property
    def named(self) -> bool:
        """Whether there is a face, and every face was named."""
        return bool(self.faces) and all(face.person is not None for face in self.faces)
