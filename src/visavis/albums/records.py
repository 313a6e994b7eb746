"""Records of a sorted photo collection."""

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
    """One detected face of this run.

    Attributes:
        box: ``(x, y, width, height)``, pixels of the upright photo.
        landmarks: ``(5, 2)`` float32, see ``visavis.types.Face``.
        quality_score: 0 to 1, see ``visavis.faces.quality``.
        vector: ``(D,)`` float32 of unit length.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    quality_score: float
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PhotoFile(Record):
    """A file of the collection.

    Attributes:
        photo: its path below the collection's folder.
        sha256: hash of its bytes; files with the same hash are one photo. Empty: not readable.
        reason: why it has no face (``no-face``, ``image-truncated``, ...); ``None`` if it has.
        message: the reason in one line.
    """

    photo: str
    sha256: str
    reason: str | None = None
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the photo could not be read. A photo without faces is no failure."""
        return self.reason is not None and self.reason != "no-face"


@dataclass(frozen=True, slots=True, eq=False)
class AlbumFace(Record):
    """A face of the collection.

    Attributes:
        id: permanent number, never reused; written ``f12``.
        photo_sha256: hash of the photo's bytes.
        number: 1, 2, ... from left to right in the photo; ``photo.jpg#2`` is the second.
        box: ``(x, y, width, height)``, pixels of the upright photo.
        quality_score: 0 to 1, see ``visavis.faces.quality``.
        cluster: number of its cluster; ``None`` if a correction says that it is no face.
        score: score with the mean of the others in its cluster; NaN if alone.
        doubt: why it may be in the wrong cluster; empty: no doubt.
        confirmed: whether a correction put it into its cluster.
        landmarks: ``(5, 2)`` float32, for cropping the face.
    """

    id: int
    photo_sha256: str
    number: int
    box: tuple[float, float, float, float]
    quality_score: float
    cluster: int | None
    score: float = float("nan")
    doubt: str = ""
    confirmed: bool = False
    landmarks: NDArray[np.float32] = field(default_factory=_no_landmarks, repr=False)

    @property
    def ref(self) -> str:
        """Its text form in commands, such as ``f12``."""
        return f"f{self.id}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields except the landmarks."""
        plain = {
            name: getattr(self, name)
            for name in (
                "photo_sha256",
                "number",
                "box",
                "quality_score",
                "cluster",
                "score",
                "doubt",
            )
        }
        plain["box"] = [round(value, 1) for value in self.box]
        plain["quality_score"] = round(self.quality_score, 4)
        plain["score"] = round(self.score, 4) if np.isfinite(self.score) else None
        return {"face": self.ref, **plain, "confirmed": self.confirmed}


@dataclass(frozen=True, slots=True)
class AlbumCluster(Record):
    """A cluster of faces, probably one person.

    Attributes:
        id: permanent number, never reused.
        name: name by the user or a gallery; empty if unknown.
        named_by: ``you``, ``gallery`` or empty.
        name_score: score with the enrolled person if a gallery named it; else NaN.
        faces: its faces' numbers, most typical first.
        photos: number of photos.
        cohesion: mean score of each face with the mean of the others; NaN for a single face.
        doubtful: number of doubtful faces.
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
    """Two similar clusters that may be one person.

    Attributes:
        a: number of the first.
        b: number of the second.
        score: mean score between their faces.
        fmr: FMR at this score by the calibration; NaN if the run did not store it.
    """

    a: int
    b: int
    score: float
    fmr: float = float("nan")


@dataclass(frozen=True, slots=True)
class MergedClusters(Record):
    """Earlier clusters that this run merged.

    Attributes:
        kept: the remaining number.
        gone: the merged numbers, never reused.
        faces: new faces that connect them; empty for a must-link.
        why: ``new photos`` or ``must-link``.
    """

    kept: int
    gone: tuple[int, ...]
    faces: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True)
class RunSettings(Record):
    """Settings of a run, also used by ``fix``.

    Attributes:
        root: the collection's folder, absolute.
        model: model name.
        model_sha256: hash of its file.
        pipeline_id: id of the pipeline that made the templates.
        algorithm: name of the clusterer.
        false_merge: the false-merge rate.
        threshold: the score for that rate.
        calibration: the calibration used.
        same_photo: whether two faces of one photo are two people.
        min_size: smallest cluster on the contact sheet.
        pictures: whether the contact sheet shows faces.
        copy: whether folders contain copies instead of links.
        gallery: gallery for naming clusters; empty: none.
        fpir: false positive identification rate of those names.
        mean_of_people: number of people behind the collection's own mean, used for centering; 0:
            not centered on it.
    """

    root: str
    model: str
    model_sha256: str
    pipeline_id: str
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
    """A collection sorted by person; the data behind the results.

    Attributes:
        run: number of the run, 1 for the first.
        made: ISO 8601 UTC time.
        settings: settings of the run.
        files: all files.
        faces: all faces by number, including false detections.
        clusters: largest first.
        likely_same: the most similar pairs of clusters: some may be one person, most are two.
        merged: earlier clusters that the last run merged.
        new_faces: number of faces new in the last run.
        corrections: number of active corrections.
    """

    run: int
    made: str
    settings: RunSettings
    files: tuple[PhotoFile, ...]
    faces: dict[int, AlbumFace]
    clusters: tuple[AlbumCluster, ...]
    likely_same: tuple[LikelySame, ...]
    merged: tuple[MergedClusters, ...]
    new_faces: int
    corrections: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of ``clusters.json``: files and faces as lists, counts first."""
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
        """Returns the numbers for a summary."""
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
