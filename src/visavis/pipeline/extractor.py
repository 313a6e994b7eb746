"""Photos to templates: decode, detect, choose, align, measure, embed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import repeat
from math import nan
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from visavis import faces as faces_room
from visavis import images
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import NotAlignedError, SeveralFacesError
from visavis.faces import align, quality
from visavis.faces.aligned import Aligned
from visavis.faces.quality import quality_score
from visavis.pipeline import rules
from visavis.types import (
    Crops,
    Detector,
    Embedder,
    Face,
    Image,
    PassedOver,
    Quality,
    Template,
    Vectors,
)
from visavis.weights import WeightStore


@dataclass(frozen=True, slots=True)
class RecognizerOptions:
    """Options of an extractor.

    Attributes:
        runtime: ``openvino`` or ``onnxruntime``, for detector and embedder.
        threads: CPU threads per call; ``None``: one per core.
        flip: average each crop's template with its mirror image's (twice the embedding time).
        min_face: smallest face, box height in pixels; ``None``: the detector's default.
        min_confidence: lowest ``Face.score``, on the detector's own scale; ``None``: its default.
        limits: pixel and byte limits for photos.
        max_faces: most faces of a photo; one with more is refused. ``None``: any number.
        precision: of the embedder; see ``EmbedderOptions``. Detectors always compute in float32.
    """

    runtime: str = "onnxruntime"
    threads: int | None = None
    flip: bool = False
    min_face: int | None = None
    min_confidence: float | None = None
    limits: images.Limits = images.DEFAULT_LIMITS
    max_faces: int | None = None
    precision: str = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One photo's chosen faces, ready to embed.

    Attributes:
        photo: name of the photo: its path, or a description of the source.
        faces: the chosen faces.
        qualities: quality of each.
        crops: ``(len(faces), S, S, 3)`` RGB uint8.
        faces_found: faces in the photo.
        passed_over: faces that the rule did not choose, each with the reason.
    """

    photo: str
    faces: tuple[Face, ...]
    qualities: tuple[Quality, ...]
    crops: Crops
    faces_found: int
    passed_over: tuple[PassedOver, ...] = ()


_FEW: Final = 4
"""Most faces of a photo that are embedded on the photo's own cores; more use all cores."""


class Extractor:
    """A detector and an embedder, each loaded on first use.

    Thread-safe.

    Args:
        model: registered embedder, see ``visavis models list``.
        detector: ``yunet``, ``mtcnn`` or ``dlib``, or your own ``Detector``.
        aligned: photos are crops already aligned to the 112x112 template; the detector only checks
            this. See ``visavis.faces.aligned``.
        options: runtime, threads, flip averaging, precision, limits.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
        download: download missing model files.
    """

    def __init__(
        self,
        *,
        model: str = "sface",
        detector: str | Detector = "yunet",
        aligned: bool = False,
        options: RecognizerOptions = RecognizerOptions(),
        home: Path | None = None,
        download: bool = False,
    ) -> None:
        self._more: dict[str, Any] = {}
        self._options = options
        self._home = home
        self._download = download
        store = WeightStore(home, download=download)
        self._embedder = OnnxEmbedder(
            model,
            store=store,
            options=EmbedderOptions(
                runtime=options.runtime,
                threads=options.threads,
                flip=options.flip,
                precision=options.precision,
            ),
        )
        self._crop_scale = store.entry(model).crop_scale
        self._asked_detector = detector
        self._detector: Detector = (
            faces_room.detector(
                detector,
                home=home,
                download=download,
                runtime=options.runtime,
                # Photos are processed in parallel, which is faster than many threads for one small
                # pass.
                threads=options.threads or 1,
                min_face=options.min_face,
                min_confidence=options.min_confidence,
            )
            if isinstance(detector, str)
            else detector
        )
        self._aligned = aligned
        if aligned:
            self._detector = Aligned(self._detector)
        if isinstance(self._detector, Aligned):
            # Shrinking a crop adds a black frame, which makes all faces similar. On LFW View 1 this
            # costs more than a slightly too large face.
            self._crop_scale = 1.0

    @property
    def model(self) -> str:
        """Name of the embedder in use."""
        return self._embedder.name

    @property
    def model_sha256(self) -> str:
        """Hash of the embedder's file."""
        return self._embedder.sha256

    @property
    def options(self) -> RecognizerOptions:
        """The options."""
        return self._options

    @property
    def embedder(self) -> Embedder:
        """The embedder in use."""
        return self._embedder

    @property
    def detector(self) -> Detector:
        """The detector in use."""
        return self._detector

    @property
    def crop_scale(self) -> float:
        """Size of the face in the embedder's crop relative to the usual template."""
        return self._crop_scale

    @property
    def pipeline_id(self) -> str:
        """Id of the pipeline: everything besides the model that changes scores, on one line."""
        after = "flip" if self._options.flip else "plain"
        if self._embedder.bf16:
            after += ", bf16"
        crop = f"similarity-5pt-{self._embedder.input_size}*{self._crop_scale:g}"
        return f"{self._detector.name}, {crop}, {after}"

    def detect(self, photo: Any, /) -> list[Face]:
        """Returns the faces of a photo, largest first; may be empty.

        Args:
            photo: path, bytes, file object, PIL image or RGB array.

        Raises:
            ImageError: the photo cannot be read.
            NotAlignedError: ``aligned`` is set and the photo is not an aligned crop.
        """
        source = images.describe(photo)
        return self.detect_in(
            images.decode(photo, limits=self._options.limits, name=source), source
        )

    def detect_in(self, pixels: Image, source: str) -> list[Face]:
        """Returns the faces of a decoded photo; ``source`` is its name in messages."""
        try:
            found = self._detector.detect(pixels)
        except NotAlignedError as error:
            raise NotAlignedError(f"{source}: {error.got}", error.remedy) from None
        most = self._options.max_faces
        if most is not None and len(found) > most:
            raise SeveralFacesError(
                f"{source} has {len(found)} faces, more than {most}", "cut it into several photos"
            )
        return found

    def prepare(self, photo: Any, /, *, rule: str = "largest", name: str | None = None) -> Prepared:
        """Decodes, detects, chooses, aligns and measures; does not embed."""
        named = name or images.describe(photo)
        pixels = images.decode(photo, limits=self._options.limits, name=named)
        found = self.detect_in(pixels, named)
        measured = [
            quality.measure(pixels, face, align.crop(pixels, face.landmarks)) for face in found
        ]
        chosen = rules.choose(
            found,
            rule,
            size=(pixels.shape[1], pixels.shape[0]),
            photo=named,
            weights=[quality_score(one) for one in measured],
        )
        kept = tuple(found[k] for k in chosen.indices)
        return Prepared(
            photo=named,
            faces=kept,
            qualities=tuple(measured[k] for k in chosen.indices),
            crops=align.crops(
                pixels,
                [face.landmarks for face in kept],
                size=self._embedder.input_size,
                scale=self._crop_scale,
            ),
            faces_found=len(found),
            passed_over=chosen.passed_over,
        )

    def templates(
        self, prepared: Prepared, vectors: Any, magnitudes: Iterable[float] | None = None
    ) -> list[Template]:
        """Combines the result of ``prepare`` with the vectors and magnitudes of its crops."""
        lengths = repeat(nan, len(prepared.faces)) if magnitudes is None else magnitudes
        return [
            Template(
                vector=vector,
                model=self.model,
                model_sha256=self.model_sha256,
                face=face,
                quality=measured,
                photo=prepared.photo,
                faces_found=prepared.faces_found,
                passed_over=prepared.passed_over,
                magnitude=float(length),
            )
            for vector, face, measured, length in zip(
                vectors, prepared.faces, prepared.qualities, lengths, strict=True
            )
        ]

    def embed_photo(
        self, photo: Any, rule: str, *, name: str | None = None, threads: int | None = None
    ) -> list[Template]:
        """Returns templates, with magnitudes, of the faces that a rule chooses.

        Args:
            photo: path, bytes, file object, PIL image or RGB array.
            rule: see ``visavis.pipeline.RULES``.
            name: name of the photo in messages.
            threads: threads of the embedder for a photo with few faces; ``None``: as in the
                options.

        Raises:
            ImageError: the photo cannot be read.
            NoFaceError, SeveralFacesError: according to the rule.
        """
        prepared = self.prepare(photo, rule=rule, name=name)
        embedder = self._embedder
        if threads is not None and len(prepared.faces) <= _FEW:
            embedder = embedder.clone(threads=threads)
        return self.templates(prepared, *embedder.embed_with_magnitudes(prepared.crops))

    def embed_with_magnitudes(self, crops: Crops, /) -> tuple[Vectors, NDArray[np.float32]]:
        """Returns the vectors of crops; see ``OnnxEmbedder.embed_with_magnitudes``."""
        return self._embedder.embed_with_magnitudes(crops)

    def clone(self, *, threads: int | None = None, detector: Detector | None = None) -> Self:
        """Returns a copy with other threads, for parallel work, or with another detector."""
        options = self._options if threads is None else replace(self._options, threads=threads)
        return type(self)(
            model=self.model,
            detector=detector or self._asked_detector,
            aligned=self._aligned and detector is None,
            options=options,
            home=self._home,
            download=self._download,
            **self._more,
        )
