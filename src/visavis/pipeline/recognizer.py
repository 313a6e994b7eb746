"""The Recognizer: photos in, templates and decisions out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from visavis import faces as faces_room
from visavis import images
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import NotAlignedError
from visavis.faces import align, quality
from visavis.faces.aligned import Aligned
from visavis.faces.usability import usability
from visavis.pipeline import batch, rules
from visavis.pipeline.records import PhotoResult, Verification
from visavis.types import Detector, Embedder, Face, Image, Template
from visavis.weights import WeightStore

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache


_FEW: Final = 4
"""Faces of a photo that are embedded on the photo's own cores; more of them get all."""


@dataclass(frozen=True, slots=True)
class RecognizerOptions:
    """How photos become templates.

    Attributes:
        runtime: ``openvino`` or ``onnxruntime``, for detector and embedder.
        threads: CPU threads one call may use; all cores when ``None``.
        flip: average each crop's template with its mirror image's (twice the embedding time).
        min_face: smallest face to find, box height in pixels; the detector's own when ``None``.
        min_confidence: least ``Face.score``, on the detector's own scale; its own when ``None``.
        limits: pixel and byte limits for photos.
    """

    runtime: str = "onnxruntime"
    threads: int | None = None
    flip: bool = False
    min_face: int | None = None
    min_confidence: float | None = None
    limits: images.Limits = images.DEFAULT_LIMITS


class Recognizer:
    """Detector, embedder and calibration brought together; loads each when first used.

    Safe to call from several threads at once.

    Args:
        model: registered embedder, see ``visavis models list``.
        detector: ``yunet``, ``mtcnn`` or ``dlib``, or your own ``Detector``.
        aligned: photos are already crops aligned to the 112x112 template and used as they are; the
            detector only checks this. See ``visavis.faces.aligned``.
        calibration: name of a saved calibration; the one shipped for the model when ``None``.
        options: runtime, threads, flip averaging, limits.
        home: folder of models, calibrations and caches; the user's data folder when ``None``.
        download: allow fetching missing model files from the network.

    Example:
        >>> recognizer = Recognizer()  # doctest: +SKIP
        >>> recognizer.verify("a.jpg", "b.jpg", fmr=1e-4).same  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        *,
        model: str = "sface",
        detector: str | Detector = "yunet",
        aligned: bool = False,
        calibration: str | Calibration | None = None,
        options: RecognizerOptions = RecognizerOptions(),
        home: Path | None = None,
        download: bool = False,
    ) -> None:
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
            ),
        )
        self._crop_scale = store.entry(model).crop_scale
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._asked_detector = detector
        self._detector: Detector = (
            faces_room.detector(
                detector,
                home=home,
                download=download,
                runtime=options.runtime,
                # Photos are looked at side by side, which beats many threads on one small look.
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
            # Shrinking a crop adds a black frame, which makes all faces alike. On LFW View 1 this
            # costs more than a face that is a little too large.
            self._crop_scale = 1.0
        self._asked_calibration = calibration
        self._calibration: Calibration | None = None

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
        """How photos become templates."""
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
    def settings(self) -> str:
        """Everything besides the model that changes scores, as one comparable line."""
        after = "flip" if self._options.flip else "plain"
        crop = f"similarity-5pt-{self._embedder.input_size}*{self._crop_scale:g}"
        return f"{self._detector.name}, {crop}, {after}"

    @property
    def calibration(self) -> Calibration:
        """The calibration in use.

        Raises:
            UnknownCalibrationError: none is saved under the name, or none ships for the model.
            ModelMismatchError: it was made with another model file, or with levelled templates of a
                former version.
        """
        if self._calibration is None:
            asked = self._asked_calibration
            if asked is None or isinstance(asked, str):
                from visavis.decision.profile import CalibrationStore

                found = CalibrationStore(self._home).for_model(
                    asked,
                    model=self.model,
                    model_sha256=self.model_sha256,
                    settings=self.settings,
                )
            else:
                found = asked
            found.require_model(self.model, self.model_sha256)
            self._calibration = found
        return self._calibration

    def detect(self, photo: Any, /) -> list[Face]:
        """Faces of a photo, largest first; an empty list where there is none.

        Args:
            photo: path, bytes, file object, PIL image or RGB array.

        Raises:
            ImageError: the photo cannot be read.
            NotAlignedError: ``aligned`` is set and the photo is not an aligned crop.
        """
        source = images.describe(photo)
        return self._find(images.decode(photo, limits=self._options.limits, name=source), source)

    def _find(self, pixels: Image, source: str) -> list[Face]:
        try:
            return self._detector.detect(pixels)
        except NotAlignedError as error:
            raise NotAlignedError(f"{source}: {error.got}", error.remedy) from None

    def embed(self, photo: Any, /, *, rule: str = "largest") -> list[Template]:
        """Templates of the faces of a photo that ``rule`` keeps, at least one.

        Args:
            photo: path, bytes, file object, PIL image or RGB array.
            rule: see ``visavis.pipeline.RULES``.

        Raises:
            ImageError: the photo cannot be read.
            NoFaceError, SeveralFacesError: as the rule says.
        """
        return self._embed_many_photos([photo], rule)[0]

    def _embed_many_photos(self, photos: Sequence[Any], rule: str) -> list[list[Template]]:
        """Templates of a few photos.

        Each photo goes its way on cores of its own: the steps of one photo on all cores wait for
        each other too often.
        """
        cores = self._options.threads or os.cpu_count() or 1
        if len(photos) == 1 or cores == 1:
            return [self._embed_photo(photo, rule, self._embedder) for photo in photos]
        embedder = self._embedder.with_threads(max(1, cores // len(photos)))
        tasks = [
            self._side_by_side().submit(self._embed_photo, photo, rule, embedder)
            for photo in photos
        ]
        wait(tasks)  # what the caller gave is not in use any more, whatever is raised
        return [task.result() for task in tasks]

    def _embed_photo(self, photo: Any, rule: str, embedder: OnnxEmbedder) -> list[Template]:
        prepared = self.prepare(photo, rule=rule)
        if len(prepared.faces) > _FEW:
            embedder = self._embedder
        vectors, magnitudes = embedder.embed_with_magnitudes(prepared.crops)
        found = zip(self.templates(prepared, vectors), magnitudes, strict=True)
        return [replace(template, magnitude=float(magnitude)) for template, magnitude in found]

    def _side_by_side(self) -> ThreadPoolExecutor:
        """Threads for photos; kept, since memory new to a thread costs more than its start.

        A forked child has the object but not the threads.
        """
        process = os.getpid()
        if self._pool is None or self._pool[0] != process:
            self._pool = (process, ThreadPoolExecutor(self._options.threads or os.cpu_count()))
        return self._pool[1]

    def prepare(
        self, photo: Any, /, *, rule: str = "largest", name: str | None = None
    ) -> batch.Prepared:
        """Decode, detect, choose, align and measure: all but the embedding."""
        named = name or images.describe(photo)
        pixels = images.decode(photo, limits=self._options.limits, name=named)
        found = self._find(pixels, named)
        measured = [
            quality.measure(pixels, face, align.crop(pixels, face.landmarks)) for face in found
        ]
        chosen = rules.choose(
            found,
            rule,
            size=(pixels.shape[1], pixels.shape[0]),
            photo=named,
            weights=[usability(one) for one in measured],
        )
        kept = tuple(found[k] for k in chosen.indices)
        return batch.Prepared(
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

    def templates(self, prepared: batch.Prepared, vectors: Any) -> list[Template]:
        """Join what ``prepare`` found with the vectors of its crops."""
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
            )
            for vector, face, measured in zip(
                vectors, prepared.faces, prepared.qualities, strict=True
            )
        ]

    def embed_many(
        self,
        photos: Sequence[Any],
        *,
        names: Sequence[str] | None = None,
        rule: str = "central",
        cache: EmbeddingCache | None = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        skip: Callable[[int, str], bool] | None = None,
        look: Callable[[int, Image, Sequence[Face]], None] | None = None,
    ) -> Iterator[PhotoResult]:
        """Templates of many photos, in their order; a bad photo is a result with a reason.

        Args:
            photos: paths, bytes, file objects, PIL images or RGB arrays; the last two have no
                hash and are not cached.
            names: what results and messages call them; paths as given when ``None``.
            rule: see ``visavis.pipeline.RULES``.
            cache: keeps and finds templates by (photo hash, settings and rule, model hash).
            workers: photos in work at once; all cores when ``None``.
            progress: called with (done, total) after each photo.
            skip: called with a photo's position and SHA-256, in any thread; true leaves the photo
                out (``skipped``).
            look: called with a photo's position, pixels and chosen faces unless it is cached, in
                any thread.
        """
        rules.check(rule)
        return batch.embed_many(
            self,
            photos,
            names=names,
            rule=rule,
            cache=cache,
            workers=workers,
            progress=progress,
            skip=skip,
            look=look,
        )

    def twin(self, *, threads: int | None = None, detector: Detector | None = None) -> Recognizer:
        """The same recognizer with other threads, for working side by side, or another detector."""
        options = self._options if threads is None else replace(self._options, threads=threads)
        return Recognizer(
            model=self.model,
            detector=detector or self._asked_detector,
            aligned=self._aligned and detector is None,
            calibration=self._asked_calibration,
            options=options,
            home=self._home,
            download=self._download,
        )

    def verify(
        self,
        a: Any,
        b: Any,
        /,
        *,
        fmr: float = 1e-3,
        rule: str = "largest",
        prior: float | None = None,
    ) -> Verification:
        """Are these two photos the same person?

        Args:
            a: a photo: path, bytes, file object, PIL image or RGB array.
            b: the other photo.
            fmr: the false match rate to decide at, in (0, 1).
            rule: ``largest``, ``central``, ``clear``, ``best-match`` or ``refuse``.
            prior: your prior probability, in (0, 1), that the two are the same person; adds the
                posterior to the answer.

        Raises:
            ImageError: a photo cannot be read.
            NoFaceError, SeveralFacesError: as the rule says.
            UnsupportedFmrError: the calibration's data cannot support ``fmr``.
        """
        from visavis.pipeline.comparison import compare

        rules.check(rule, allow=("largest", "central", "clear", "best-match", "refuse"))
        calibration = self.calibration
        calibration.operating_point(fmr)  # refuse before work is done
        first, second = self._embed_many_photos([a, b], rule)
        return compare(
            first,
            second,
            calibration=calibration,
            settings=self.settings,
            fmr=fmr,
            rule=rule,
            prior=prior,
        )
