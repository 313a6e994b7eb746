"""What the pipeline answers with."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.types import Face, OperatingPoint, PassedOver, Quality, Record, Template


@dataclass(frozen=True, slots=True, eq=False)
class PhotoResult(Record):
    """What became of one photo of a batch: templates, or a reason why not.

    Attributes:
        photo: the photo's path, or a description of what was given.
        templates: one for each face that the rule chose; empty when it failed.
        reason: a short stable name such as ``no-face`` or ``image-truncated``; ``None`` when fine.
        message: the error in one line; ``None`` when fine.
        sha256: hash of the photo's bytes, by which it is known again under another name; empty
            where they could not be read.
    """

    photo: str
    templates: tuple[Template, ...]
    reason: str | None = None
    message: str | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FaceUsed(Record):
    """The face of one photo that a comparison used.

    Attributes:
        photo: what the photo is called: its path, or a description of what was given.
        face: where it was found.
        quality: how usable it is.
        faces_found: faces in the photo.
        passed_over: those that the rule did not choose, each with the reason.
        magnitude: of the template, see ``types.Template``.
    """

    photo: str
    face: Face
    quality: Quality
    faces_found: int
    passed_over: tuple[PassedOver, ...] = ()
    magnitude: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Verification(Record):
    """The answer to "are these two photos the same person?".

    Attributes:
        same: whether ``score >= threshold``; ``None`` where the score cannot tell, for photos so
            poor that near the threshold it speaks for neither, see ``visavis.pipeline.comparison``.
        score: cosine similarity of the two templates, in [-1, 1].
        threshold: an observed score, from ``operating_point``.
        fmr: the false match rate that was asked for; the measured one, with its interval, stands in
            ``operating_point``.
        llr: natural log of the likelihood ratio of the score, mated over non-mated; NaN (``None``
            in JSON) where the calibration was made without mated pairs.
        evidence: ``llr`` in words.
        model: model name.
        model_sha256: hash of the model file.
        settings: the pipeline's settings.
        calibration: name of the calibration in use.
        operating_point: the measured error rates behind the threshold.
        rule: how a face was chosen where a photo has several.
        comparisons: pairs of faces compared; above 1 only for ``best-match``, whose threshold is
            that of ``fmr / comparisons``.
        a: the face used of the first photo.
        b: the face used of the second photo.
        posterior: probability of "same person" for the prior stated, or ``None``.
        prior: that prior, or ``None``.
        warnings: sentences about quality, several faces, or a calibration made otherwise.
        reason: why the score cannot tell, and what to do; ``None`` where it can.
        centered: whether the score is about the mean that the calibration carries.
    """

    same: bool | None
    score: float
    threshold: float
    fmr: float
    llr: float
    evidence: str
    model: str
    model_sha256: str
    settings: str
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
