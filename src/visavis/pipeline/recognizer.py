"""The ``Recognizer``: templates and decisions from photos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.errors import ModelMismatchError
from visavis.pipeline import batch, rules
from visavis.pipeline.extractor import Extractor, RecognizerOptions
from visavis.pipeline.records import PhotoResult, Verification
from visavis.types import Detector, Face, Image, OperatingPoint, Template, Vectors

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache


class Recognizer(Extractor):
    """Detector, embedder and calibration, each loaded on first use.

    Thread-safe.

    Args:
        model: registered embedder, see ``visavis models list``.
        detector: ``yunet``, ``mtcnn`` or ``dlib``, or your own ``Detector``.
        aligned: photos are crops already aligned to the 112x112 template; the detector only checks
            this. See ``visavis.faces.aligned``.
        calibration: name of a saved calibration; ``None``: the one shipped for the model.
        options: runtime, threads, flip averaging, limits.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
        download: download missing model files.

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
        super().__init__(
            model=model,
            detector=detector,
            aligned=aligned,
            options=options,
            home=home,
            download=download,
        )
        self._more = {"calibration": calibration}
        self._asked_calibration = calibration
        self._calibration: Calibration | None = None
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def calibration(self) -> Calibration:
        """The calibration in use.

        Raises:
            UnknownCalibrationError: none is saved under that name, or none is shipped for the
                model.
            ModelMismatchError: it is for another model file, or for levelled templates of a former
                version.
        """
        if self._calibration is None:
            asked = self._asked_calibration
            if asked is None or isinstance(asked, str):
                from visavis.decision.profile import CalibrationStore

                found = CalibrationStore(self._home).for_model(
                    asked,
                    model=self.model,
                    model_sha256=self.model_sha256,
                    pipeline_id=self.pipeline_id,
                )
            else:
                found = asked
            found.require_model(self.model, self.model_sha256)
            self._calibration = found
        return self._calibration

    def embed(self, photo: Any, /, *, rule: str = "largest") -> list[Template]:
        """Returns the templates of the faces of a photo that ``rule`` chooses, at least one.

        Args:
            photo: path, bytes, file object, PIL image or RGB array.
            rule: see ``visavis.pipeline.RULES``.

        Raises:
            ImageError: the photo cannot be read.
            NoFaceError, SeveralFacesError: as the rule says.
        """
        return self._embed_many_photos([photo], rule)[0]

    def _embed_many_photos(self, photos: Sequence[Any], rule: str) -> list[list[Template]]:
        """Returns the templates of a few photos.

        Each photo is processed on its own cores; one photo on all cores would wait too often
        between steps.
        """
        cores = self._options.threads or os.cpu_count() or 1
        if len(photos) == 1 or cores == 1:
            return [self.embed_photo(photo, rule) for photo in photos]
        threads = max(1, cores // len(photos))
        tasks = [
            self._side_by_side().submit(self.embed_photo, photo, rule, threads=threads)
            for photo in photos
        ]
        wait(tasks)  # releases the caller's objects, whatever is raised
        return [task.result() for task in tasks]

    def _side_by_side(self) -> ThreadPoolExecutor:
        """Thread pool for photos; reused, because memory new to a thread costs more than its start.

        A forked child has the object without the threads.
        """
        process = os.getpid()
        if self._pool is None or self._pool[0] != process:
            self._pool = (process, ThreadPoolExecutor(self._options.threads or os.cpu_count()))
        return self._pool[1]

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
        """Yields the templates of many photos, in order; a bad photo is a result with a reason.

        Args:
            photos: paths, bytes, file objects, PIL images or RGB arrays; the last two have no hash
                and are not cached.
            names: names of the photos in results and messages; ``None``: the paths.
            rule: see ``visavis.pipeline.RULES``.
            cache: stores templates by (photo hash, pipeline id and rule, model hash).
            workers: photos processed in parallel; ``None``: one per core.
            progress: called with (done, total) after each photo.
            skip: called with a photo's position and SHA-256, in any thread; true skips the photo
                (``skipped``).
            look: called with position, pixels and chosen faces of each photo that is not cached, in
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
        """Decides whether two photos show the same person.

        Args:
            a: a photo: path, bytes, file object, PIL image or RGB array.
            b: the other photo.
            fmr: false match rate of the decision, in (0, 1).
            rule: ``largest``, ``central``, ``clear``, ``best-match`` or ``refuse``.
            prior: your prior probability, in (0, 1), of the same person; adds the posterior to the
                result.

        Raises:
            ImageError: a photo cannot be read.
            NoFaceError, SeveralFacesError: as the rule says.
            UnsupportedFmrError: the calibration does not support ``fmr``.
        """
        rules.check(rule, allow=("largest", "central", "clear", "best-match", "refuse"))
        self.calibration.operating_point(fmr)  # check before any work
        first, second = self._embed_many_photos([a, b], rule)
        return self.verify_templates(first, second, fmr=fmr, rule=rule, prior=prior)

    def verify_templates(
        self,
        first: Sequence[Template],
        second: Sequence[Template],
        /,
        *,
        fmr: float = 1e-3,
        rule: str = "largest",
        prior: float | None = None,
    ) -> Verification:
        """Decides as ``verify`` does, for photos that are embedded already.

        Args:
            first: templates of the faces of a photo, at least one; the best pair counts.
            second: those of the other photo.
            fmr: false match rate of the decision, in (0, 1).
            rule: how the faces were chosen.
            prior: see ``verify``.

        Raises:
            ModelMismatchError: templates of different models.
            UnsupportedFmrError: the calibration does not support ``fmr``.
        """
        from visavis.pipeline.comparison import compare

        return compare(
            list(first),
            list(second),
            calibration=self.calibration,
            pipeline_id=self.pipeline_id,
            fmr=fmr,
            rule=rule,
            prior=prior,
        )

    def compare(
        self, first: Vectors, second: Vectors, /, *, fmr: float = 1e-3
    ) -> tuple[Vectors, OperatingPoint]:
        """Returns the scores of templates with one another, and the operating point.

        Two templates with a score at or above the threshold are decided mated. ``verify`` also
        says where photos are too poor to decide.

        Args:
            first: ``(N, D)`` float32 of unit length, templates of this model.
            second: ``(M, D)``, the others.
            fmr: false match rate of the decisions, in (0, 1).

        Returns:
            ``(N, M)`` scores in [-1, 1], and the point with its threshold.

        Raises:
            OptionError: templates that are not of unit length.
            ModelMismatchError: templates of another dimension than the model's.
            UnsupportedFmrError: the calibration does not support ``fmr``.
        """
        from visavis.gallery.entries import usable_vectors
        from visavis.pipeline.comparison import score_matrix

        point = self.calibration.operating_point(fmr)
        left, right = (usable_vectors(vectors, "templates") for vectors in (first, second))
        for side in (left, right):
            if side.shape[1] != self.embedder.dimension:
                raise ModelMismatchError(
                    f"templates of {side.shape[1]} numbers, those of {self.model} have "
                    f"{self.embedder.dimension}",
                    "compare templates of one model",
                )
        return score_matrix(left, right, self.calibration), point
