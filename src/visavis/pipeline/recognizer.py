"""The Recognizer: photos in, templates and decisions out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.pipeline import batch, rules
from visavis.pipeline.extractor import Extractor, RecognizerOptions
from visavis.pipeline.records import PhotoResult, Verification
from visavis.types import Detector, Face, Image, Template

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache


class Recognizer(Extractor):
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
            return [self.embed_photo(photo, rule) for photo in photos]
        threads = max(1, cores // len(photos))
        tasks = [
            self._side_by_side().submit(self.embed_photo, photo, rule, threads=threads)
            for photo in photos
        ]
        wait(tasks)  # what the caller gave is not in use any more, whatever is raised
        return [task.result() for task in tasks]

    def _side_by_side(self) -> ThreadPoolExecutor:
        """Threads for photos; kept, since memory new to a thread costs more than its start.

        A forked child has the object but not the threads.
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
