"""Finds, measures and embeds the faces of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from visavis.errors import UnknownCalibrationError, UnsupportedFmrError
from visavis.faces import align, quality
from visavis.faces.quality import quality_score
from visavis.types import Face, Image, Quality, Template, Vectors

if TYPE_CHECKING:
    from visavis.pipeline import Recognizer


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredFace:
    """A face of a frame.

    Attributes:
        face: position, in pixels of the frame.
        quality: its quality.
        quality_score: 0 to 1.
    """

    face: Face
    quality: Quality
    quality_score: float


class FrameAnalyzer:
    """Detector and embedders of a gallery, for frames.

    Args:
        recognizers: one per model of the gallery; the first detects.
        name: what messages call the frames.
    """

    def __init__(self, recognizers: Sequence[Recognizer], *, name: str = "frame") -> None:
        self._recognizers = tuple(recognizers)
        self._name = name

    def faces(self, pixels: Image) -> list[MeasuredFace]:
        """Returns the faces of a frame, largest first."""
        found = []
        for face in self._recognizers[0].detect_in(pixels, self._name):
            measured = quality.measure(pixels, face, align.crop(pixels, face.landmarks))
            found.append(MeasuredFace(face, measured, quality_score(measured)))
        return found

    def templates(self, pixels: Image, faces: Sequence[MeasuredFace]) -> list[tuple[Template, ...]]:
        """Returns the templates of some faces of a frame, one per recognizer."""
        columns = []
        for recognizer in self._recognizers:
            crops = align.crops(
                pixels,
                [one.face.landmarks for one in faces],
                size=recognizer.embedder.input_size,
                scale=recognizer.crop_scale,
            )
            vectors, _ = recognizer.embed_with_magnitudes(crops)
            columns.append(
                [
                    Template(
                        vector=vector,
                        model=recognizer.model,
                        model_sha256=recognizer.model_sha256,
                        face=one.face,
                        quality=one.quality,
                        photo=self._name,
                    )
                    for vector, one in zip(vectors, faces, strict=True)
                ]
            )
        return list(zip(*columns, strict=True))

    def project(self, vectors: Vectors) -> Vectors:
        """Projects templates of the first recognizer to the space of ``threshold``."""
        try:
            return self._recognizers[0].calibration.project(vectors, side="b")
        except UnknownCalibrationError:
            return vectors

    def threshold(self, fmr: float) -> float:
        """Score of one person's templates at a false match rate; infinite without a calibration."""
        try:
            return self._recognizers[0].calibration.operating_point(fmr).threshold
        except (UnknownCalibrationError, UnsupportedFmrError):
            return inf
