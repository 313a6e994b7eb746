"""Frozen records of a sorted collection of photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.types import Record


def _no_landmarks() -> NDArray[np.float32]:
    return np.zeros((0, 2), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """One face of a photo as this run found it.

    Attributes:
        box: ``(x, y, width, height)``, pixels of the upright photo.
        landmarks: ``(5, 2)`` float32, see ``visavis.types.Face``.
        usability: 0 to 1, see ``visavis.faces.quality``.
        vector: ``(D,)`` float32 of unit length.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    usability: float
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PhotoFile(Record):
    """A file of the collection.

    Attributes:
        photo: its path below the collection's folder.
        sha256: of its bytes; two files with one hash are one photo. Empty: could not be read.
        reason: why it shows no face (``no-face``, ``image-truncated``, ...); ``None`` when it does.
        message: that in one line.
    """

    photo: str
    sha256: str
    reason: str | None = None
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the photo could not be read. One that shows nobody is fine."""
        return self.reason is not None and self.reason != "no-face"


@dataclass(frozen=True, slots=True, eq=False)
class AlbumFace(Record):
    """A face of the collection.

    Attributes:
        id: its number, kept for good and never used for another; written ``f12``.
        photo_sha256: hash of the photo's bytes.
        number: 1, 2, ... from left to right in the photo; ``photo.jpg#2`` is the second.
        box: ``(x, y, width, height)``, pixels of the upright photo.
        usability: 0 to 1, see ``visavis.faces.quality``.
        cluster: number of its cluster; ``None`` where a correction says that it is no face.
        score: of its template with the mean of the cluster's others; NaN where it is alone.
        doubt: why it may be in the wrong cluster, in words; empty: no doubt.
        confirmed: a correction put it into its cluster.
        landmarks: ``(5, 2)`` float32, for cutting the face out of the photo.
    """

    id: int
    photo_sha256: str
    number: int
    box: tuple[float, float, float, float]
    usability: float
    cluster: int | None
    score: float = float("nan")
    doubt: str = ""
    confirmed: bool = False
    landmarks: NDArray[np.float32] = field(default_factory=_no_landmarks, repr=False)

    @property
    def ref(self) -> str:
        """How commands call it, such as ``f12``."""
        return f"f{self.id}"

    def to_dict(self) -> dict[str, Any]:
        """All but the landmarks."""
        plain = {
            name: getattr(self, name)
            for name in ("photo_sha256", "number", "box", "usability", "cluster", "score", "doubt")
        }
        plain["box"] = [round(value, 1) for value in self.box]
        plain["usability"] = round(self.usability, 4)
        plain["score"] = round(self.score, 4) if np.isfinite(self.score) else None
        return {"face": self.ref, **plain, "confirmed": self.confirmed}


@dataclass(frozen=True, slots=True)
class AlbumCluster(Record):
    """One person, as far as we know.

    Attributes:
        id: its number, kept for good and never used for another.
        name: given by the user, or taken from a gallery; empty where unknown.
        named_by: ``you``, ``gallery`` or empty.
        name_score: score with the enrolled person where the gallery named it; else NaN.
        faces: numbers of its faces, the most typical first.
        photos: how many photos they are in.
        cohesion: mean score of the faces with the mean of the others; NaN for a face alone.
        doubtful: how many of the faces are in doubt.
    """

    id: int
    name: str
    named_by: str
    name_score: float
    faces: tuple[int, ...]
    photos: int
    cohesion: float
    doubtful: int


@dataclass(frozen=True, slots=True)
class LikelySame(Record):
    """Two clusters that are among the most alike of those that are kept apart.

    Attributes:
        a: number of one.
        b: number of the other.
        score: mean score of a face of one with a face of the other.
        strangers: share of pairs of photos of two people that score so high, by the calibration;
            NaN where the run did not keep it.
    """

    a: int
    b: int
    score: float
    strangers: float = float("nan")


@dataclass(frozen=True, slots=True)
class Merged(Record):
    """Clusters of an earlier run that this run made one.

    Attributes:
        kept: the number that stays.
        gone: the numbers that it takes in, never used again.
        faces: the new faces that link them; empty where a list of must-links did.
        why: ``new photos`` or ``must-link``.
    """

    kept: int
    gone: tuple[int, ...]
    faces: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True)
class RunSettings(Record):
    """What a run was asked for; ``fix`` writes its results in the same way.

    Attributes:
        root: the collection's folder, absolute.
        model: model name.
        model_sha256: hash of its file.
        settings: the pipeline's settings.
        algorithm: the clusterer, in words.
        false_merge: the rate asked for.
        threshold: the score it maps to.
        calibration: the calibration that maps it.
        same_photo: whether two faces of one photo are two people.
        min_size: smallest cluster that the contact sheet shows.
        pictures: whether it shows faces.
        copy: whether the folders hold copies in place of links.
        gallery: gallery that names clusters; empty: none.
        fpir: false positive identification rate of those names.
        mean_of_people: how many people the collection's own mean is of, about which scores are;
            0: scores are as the calibration has them.
    """

    root: str
    model: str
    model_sha256: str
    settings: str
    algorithm: str
    false_merge: float
    threshold: float
    calibration: str
    same_photo: bool = True
    min_size: int = 1
    pictures: bool = True
    copy: bool = False
    gallery: str = ""
    fpir: float = float("nan")
    mean_of_people: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Album(Record):
    """A collection sorted by person: what the results are written from.

    Attributes:
        run: number of the run, 1 for the first.
        made: ISO 8601 UTC time.
        settings: what was asked for.
        files: every file that was looked at.
        faces: every face, by number; those that are no faces included.
        clusters: largest first.
        likely_same: the pairs of clusters kept apart that are most alike: some may be one person,
            most are two.
        merged: clusters of earlier runs that the last run made one.
        new_faces: how many faces the last run saw for the first time.
        corrections: how many corrections hold.
    """

    run: int
    made: str
    settings: RunSettings
    files: tuple[PhotoFile, ...]
    faces: dict[int, AlbumFace]
    clusters: tuple[AlbumCluster, ...]
    likely_same: tuple[LikelySame, ...]
    merged: tuple[Merged, ...]
    new_faces: int
    corrections: int

    def to_dict(self) -> dict[str, Any]:
        """What ``clusters.json`` holds: files and faces as lists, counts in front."""
        return {
            "run": self.run,
            "made": self.made,
            "counts": self.counts(),
            "settings": self.settings.to_dict(),
            "clusters": [
                {**one.to_dict(), "faces": [f"f{face}" for face in one.faces]}
                for one in self.clusters
            ],
            "likely_same": [pair.to_dict() for pair in self.likely_same],
            "merged": [
                {**one.to_dict(), "faces": [f"f{face}" for face in one.faces]}
                for one in self.merged
            ],
            "faces": [face.to_dict() for face in self.faces.values()],
            "photos": [file.to_dict() for file in self.files],
        }

    def counts(self) -> dict[str, int]:
        """The numbers that a summary shows."""
        inside = [face for face in self.faces.values() if face.cluster is not None]
        return {
            "photos": len(self.files),
            "failed": sum(file.failed for file in self.files),
            "without_faces": sum(file.reason == "no-face" for file in self.files),
            "faces": len(inside),
            "not_faces": len(self.faces) - len(inside),
            "new_faces": self.new_faces,
            "clusters": len(self.clusters),
            "alone": sum(len(one.faces) == 1 for one in self.clusters),
            "doubtful": sum(one.doubtful for one in self.clusters),
            "corrections": self.corrections,
        }
