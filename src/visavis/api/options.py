"""Options shared by all use cases: detection, embedding, calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, Unpack

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache
    from visavis.pipeline import Recognizer

log: Final = logging.getLogger("visavis")
"""Logger of the use cases: warnings, and (as ``INFO``) what was left out."""

Progress = Callable[[str, int, int], None]
"""Called with the stage (such as ``photos``), done, and total."""


class DetectorOptions(TypedDict, total=False):
    """Options of detection.

    Attributes:
        detector: ``yunet`` (default), ``mtcnn`` or ``dlib``.
        min_face: smallest face, box height in pixels; ``None``: the detector's default.
        min_confidence: lowest ``Face.score``, on the detector's own scale; ``None``: its default.
        runtime: ``onnxruntime`` (default) or ``openvino``.
        threads: CPU threads per call; ``None``: one per core.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """

    detector: str
    min_face: int | None
    min_confidence: float | None
    runtime: str
    threads: int | None
    home: Path | None


class PhotoOptions(DetectorOptions, total=False):
    """Options of embedding and scoring: ``DetectorOptions`` and more.

    Attributes:
        model: registered embedder, see ``visavis.models.list``; default ``sface``.
        aligned: photos are crops already aligned to the 112x112 template.
        calibration: name of a saved calibration; ``None``: the one shipped with the model.
        flip: average the templates of each face and its mirror image: twice the time.
        precision: of the embedder: ``auto`` (default), ``float32``, ``bf16`` or ``int8``.
    """

    model: str
    aligned: bool
    calibration: str | None
    flip: bool
    precision: str


class RecognizerSource(Protocol):
    """Makes recognizers that share models, such as ``visavis.api.engine.Engine``."""

    def recognizer(self, **options: Unpack[PhotoOptions]) -> Recognizer:
        """Returns the recognizer with these options."""
        ...

    def make(self, **options: Any) -> Recognizer:
        """Returns a recognizer; arguments are those of ``visavis.pipeline.Recognizer``."""
        ...


def make_recognizer(**options: Unpack[PhotoOptions]) -> Recognizer:
    """Creates a recognizer with these options."""
    from visavis.pipeline import Recognizer

    return Recognizer(**recognizer_arguments(**options))


def recognizer_arguments(**options: Unpack[PhotoOptions]) -> dict[str, Any]:
    """Returns the arguments of ``Recognizer`` for these options."""
    from visavis.pipeline import RecognizerOptions

    given: dict[str, Any] = dict(options)
    names = ("runtime", "threads", "flip", "precision", "min_face", "min_confidence")
    own = {name: given.pop(name) for name in names if name in given}
    return {**given, "options": RecognizerOptions(**own)}


def recognizer(**options: Unpack[PhotoOptions]) -> Recognizer:
    """Returns the recognizer with these options, cached per process until calibrations change."""
    from visavis.decision.profile import CalibrationStore

    return _loaded(CalibrationStore(options.get("home")).changed(), **options)


@lru_cache(maxsize=4)
def _loaded(_changed: int, /, **options: Unpack[PhotoOptions]) -> Recognizer:
    return make_recognizer(**options)


def stage(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Returns a progress callback for one stage."""
    return partial(progress, name) if progress is not None else None


def warn_about(known: Recognizer) -> None:
    """Logs a warning if the calibration was made with another pipeline."""
    from visavis.pipeline.comparison import calibration_warnings

    for sentence in calibration_warnings(known.calibration, known.pipeline_id):
        log.warning("%s", sentence)


def embeddings(home: Path | None) -> Path:
    """Returns the path of the template cache."""
    from visavis.weights import WeightStore

    return WeightStore(home).home / "cache" / "embeddings.sqlite"


def downloads(home: Path | None) -> Path:
    """Returns the download folder of ``visavis.evaluate.fetch_lfw``."""
    from visavis.weights import WeightStore

    return WeightStore(home).home / "lfw"


@contextmanager
def kept_templates(home: Path | None, *, cache: bool) -> Iterator[EmbeddingCache | None]:
    """Yields the template cache, or ``None``; logs what was added."""
    if not cache:
        yield None
        return
    from visavis.embedding.cache import EmbeddingCache

    path = embeddings(home)
    with EmbeddingCache(path) as opened:
        before = len(opened)
        try:
            yield opened
        finally:
            if (more := len(opened) - before) > 0:
                log.info(
                    "templates of %s more photo(s) are kept for the next run in %s; "
                    "`visavis cache clear` erases them, --no-cache keeps none",
                    f"{more:,}",
                    path,
                )
