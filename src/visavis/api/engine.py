"""``Engine``: verification, embedding and galleries for many concurrent callers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from visavis.api.gallery import Gallery, GalleryAccess, Place
from visavis.api.options import DetectorOptions, PhotoOptions
from visavis.images import Limits
from visavis.pipeline.shared import PhotoQueue, SharedRecognizer
from visavis.types import Face, OperatingPoint, Template, Vectors

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.pipeline import RecognizerOptions, Verification

_KEPT: Final = 8
"""Most recognizers that an engine keeps."""

_MAIN: Final = ("model", "detector", "aligned", "calibration")


class Engine:
    """One set of models and one bounded queue for all threads of a service.

    Photos of concurrent calls share batches of the embedder. Answers are those of ``vv.verify``,
    ``vv.detect``, ``vv.embed`` and ``vv.Gallery``. Thread-safe.

    >>> with Engine(queue=128) as engine:  # doctest: +SKIP
    ...     engine.verify(a, b, fmr=1e-4).same

    Args:
        workers: photos processed in parallel, one core each; ``None``: one per core.
        queue: photos that may wait, 1 or more.
        batch: most photos that share a call of the embedder, 1 or more.
        wait: seconds after which a waiting photo is refused.
        max_bytes: most bytes of a photo.
        max_pixels: most pixels of a photo.
        max_faces: most faces of a photo; ``None``: any number.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
        on_stage: called in any thread with a stage (``queue``, ``decode``, ``detect``, ``embed``)
            and its seconds, once a photo, for ``embed`` once a batch.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        queue: int = 64,
        batch: int = 16,
        wait: float = 30.0,
        max_bytes: int = Limits().max_bytes,
        max_pixels: int = Limits().max_pixels,
        max_faces: int | None = None,
        home: Path | None = None,
        on_stage: Callable[[str, float], None] | None = None,
    ) -> None:
        self._limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels)
        self._max_faces = max_faces
        self._home = home
        self._lock = threading.RLock()
        self._bases: OrderedDict[tuple[Any, ...], SharedRecognizer] = OrderedDict()
        self._calibrated: OrderedDict[tuple[Any, ...], SharedRecognizer] = OrderedDict()
        self._queue = PhotoQueue(
            workers=workers, size=queue, batch=batch, wait=wait, on_stage=on_stage
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuses new photos and finishes the accepted ones."""
        self._queue.close()

    @property
    def waiting(self) -> int:
        """Number of waiting photos."""
        return len(self._queue)

    @property
    def limits(self) -> Limits:
        """Size limits of photos."""
        return self._limits

    def verify(
        self,
        a: Any,
        b: Any,
        /,
        *,
        fmr: float = 1e-3,
        faces: str = "largest",
        prior: float | None = None,
        **options: Unpack[PhotoOptions],
    ) -> Verification:
        """Decides whether two photos show the same person; see ``visavis.verify``.

        Raises:
            BusyError: the queue is full.
        """
        return self.recognizer(**options).verify(a, b, fmr=fmr, rule=faces, prior=prior)

    def detect(self, photo: Any, /, **options: Unpack[DetectorOptions]) -> list[Face]:
        """Detects the faces of a photo; see ``visavis.detect``.

        Raises:
            BusyError: the queue is full.
        """
        return self.recognizer(**options).detect(photo)

    def embed(
        self, photo: Any, /, *, faces: str = "largest", **options: Unpack[PhotoOptions]
    ) -> list[Template]:
        """Embeds the faces of a photo; see ``visavis.embed``.

        Raises:
            BusyError: the queue is full.
        """
        return self.recognizer(**options).embed(photo, rule=faces)

    def compare(
        self,
        first: Vectors,
        second: Vectors,
        /,
        *,
        fmr: float = 1e-3,
        **options: Unpack[PhotoOptions],
    ) -> tuple[Vectors, OperatingPoint]:
        """Returns the scores of templates, and the operating point; see ``Recognizer.compare``."""
        return self.recognizer(**options).compare(first, second, fmr=fmr)

    def gallery(
        self, location: Place, /, *, create: bool = False, **access: Unpack[GalleryAccess]
    ) -> Gallery:
        """Opens a gallery whose photos go through this engine; see ``visavis.Gallery``.

        Its methods that take photos raise ``BusyError`` when the queue is full.
        """
        return Gallery(location, create=create, home=self._home, engine=self, **access)

    def recognizer(self, **options: Unpack[PhotoOptions]) -> SharedRecognizer:
        """Returns the recognizer with these options, kept for further calls."""
        from visavis.decision.profile import CalibrationStore
        from visavis.pipeline import RecognizerOptions

        given: dict[str, Any] = {**options, "home": CalibrationStore(self._home).changed()}
        key = tuple(sorted(given.items()))
        del given["home"]
        main = {name: given.pop(name) for name in _MAIN if name in given}
        with self._lock:
            if key not in self._calibrated:
                found = self.make(**main, options=RecognizerOptions(**given))
                _keep(self._calibrated, key, found)
            self._calibrated.move_to_end(key)
            return self._calibrated[key]

    def make(
        self,
        *,
        options: RecognizerOptions,
        model: str = "sface",
        detector: str = "yunet",
        aligned: bool = False,
        calibration: str | Calibration | None = None,
        **_: Any,
    ) -> SharedRecognizer:
        """Returns a recognizer; arguments are those of ``visavis.pipeline.Recognizer``.

        Recognizers that differ in calibration only share their models. ``home`` is ignored: it is
        the engine's.
        """
        options = replace(options, limits=self._limits, max_faces=self._max_faces)
        key = (model, detector, aligned, options)
        with self._lock:
            known = self._bases.get(key) or SharedRecognizer(
                queue=self._queue,
                model=model,
                detector=detector,
                aligned=aligned,
                options=options,
                home=self._home,
            )
            _keep(self._bases, key, known)
        return known.calibrated(calibration)


def _keep(
    kept: OrderedDict[tuple[Any, ...], SharedRecognizer],
    key: tuple[Any, ...],
    value: SharedRecognizer,
) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _KEPT:
        kept.popitem(last=False)
