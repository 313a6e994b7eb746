"""Result records of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.types import Face, OperatingPoint, PassedOver, Quality, Record, Template


@dataclass(frozen=True, slots=True, eq=False)
class PhotoResult(Record):
    """Result for one photo of a batch: templates, or a reason.

    Attributes:
        photo: path, or a description of the source.
        templates: one per face that the rule chose; empty after a failure.
        reason: a short stable code such as ``no-face`` or ``image-truncated``; ``None`` on success.
        message: the error in one line; ``None`` on success.
        sha256: hash of the photo's bytes; empty if they could not be read.
    """

    photo: str
    templates: tuple[Template, ...]
    reason: str | None = None
    message: str | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class EmbeddedFolder(Record):
    """Summary of a folder of shards.

    Attributes:
        folder: the folder.
        photos: photos with rows in it.
        faces: templates in it.
        reasons: number of photos without a template, by reason.
        shards: number of files.
        earlier: photos that an earlier run had embedded.
    """

    folder: str
    photos: int
    faces: int
    reasons: dict[str, int]
    shards: int
    earlier: int

    @property
    def failed(self) -> int:
        """Photos without a template."""
        return sum(self.reasons.values())


@dataclass(frozen=True, slots=True, eq=False)
class FaceUsed(Record):
    """The face of a photo used for a comparison.

    Attributes:
        photo: name of the photo: its path, or a description of the source.
        face: its position.
        quality: its quality.
        faces_found: faces in the photo.
        passed_over: faces that the rule did not choose, each with the reason.
        magnitude: magnitude of the template, see ``types.Template``.
    """

    photo: str
    face: Face
    quality: Quality
    faces_found: int
    passed_over: tuple[PassedOver, ...] = ()
    magnitude: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Verification(Record):
    """Result of a verification: whether two photos show the same person.

    Attributes:
        same: whether ``score >= threshold``; ``None`` if undecidable: the photos are too poor for a
            score so near to the threshold, see ``visavis.pipeline.comparison``.
        score: cosine similarity of the two templates, in [-1, 1].
        threshold: from ``operating_point``.
        fmr: the requested false match rate; ``operating_point`` has the measured one with its
            interval.
        llr: natural log-likelihood ratio of the score, mated over non-mated; NaN (``None`` in JSON)
            if the calibration was made without mated pairs.
        evidence: ``llr`` in words.
        model: model name.
        model_sha256: hash of the model file.
        pipeline_id: id of the pipeline.
        calibration: name of the calibration in use.
        operating_point: the threshold with its measured error rates.
        rule: how a face was chosen if a photo has several.
        comparisons: pairs of faces compared; above 1 only for ``best-match``, whose threshold is
            that of ``fmr / comparisons``.
        a: the face used of the first photo.
        b: the face used of the second photo.
        posterior: probability of the same person, given ``prior``; or ``None``.
        prior: the given prior, or ``None``.
        warnings: sentences about quality, several faces, or a calibration for another pipeline.
        reason: why the score is undecidable, and what to do; ``None`` otherwise.
        centered: whether templates were centered on the calibration's mean.
    """

    same: bool | None
    score: float
    threshold: float
    fmr: float
    llr: float
    evidence: str
    model: str
    model_sha256: str
    pipeline_id: str
    calibration: str
    operating_point: OperatingPoint
    rule: str
    comparisons: int
    a: FaceUsed
    b: FaceUsed
    posterior: float | None = None
    prior: float | None = None
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    centered: bool = False
