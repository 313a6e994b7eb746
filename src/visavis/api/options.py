"""What all use cases have in common: how photos become templates, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache
    from visavis.pipeline import Recognizer

log: Final = logging.getLogger("visavis")
"""Where use cases say what is no error: warnings, and (as ``INFO``) what was left out."""

Progress = Callable[[str, int, int], None]
"""Called with the stage (such as ``photos``), how many are done, and how many there are."""


class DetectorOptions(TypedDict, total=False):
    """How faces are found.

    Attributes:
        detector: ``yunet`` (when left out), ``mtcnn`` or ``dlib``.
        min_face: smallest face to find, box height in pixels; the detector's own when ``None``.
        min_confidence: least ``Face.score``, on the detector's own scale; its own when ``None``.
        runtime: ``onnxruntime`` (when left out) or ``openvino``.
        threads: CPU threads of one call; all cores when ``None``.
        home: folder of models, calibrations and caches; the user's data folder when ``None``.
    """

    detector: str
    min_face: int | None
    min_confidence: float | None
    runtime: str
    threads: int | None
    home: Path | None


class PhotoOptions(DetectorOptions, total=False):
    """How photos become templates and scores: ``DetectorOptions``, and further.

    Attributes:
        model: registered embedder, see ``visavis.models.list``; ``sface`` when left out.
        aligned: photos are already crops aligned to the 112x112 template; used as they are.
        calibration: name of a saved calibration; the one shipped with the model when ``None``.
        flip: average each face with its mirror image: twice the time.
    """

    model: str
    aligned: bool
    calibration: str | None
    flip: bool


def make_recognizer(**options: Unpack[PhotoOptions]) -> Recognizer:
    """A new recognizer by these options."""
    from visavis.pipeline import Recognizer, RecognizerOptions

    given: dict[str, Any] = dict(options)
    names = ("runtime", "threads", "flip", "min_face", "min_confidence")
    own = {name: given.pop(name) for name in names if name in given}
    return Recognizer(**given, options=RecognizerOptions(**own))


def recognizer(**options: Unpack[PhotoOptions]) -> Recognizer:
    """The recognizer of these options, loaded once a process, anew where calibrations changed."""
    from visavis.decision.profile import CalibrationStore

    return _loaded(CalibrationStore(options.get("home")).changed(), **options)


@lru_cache(maxsize=4)
def _loaded(_changed: int, /, **options: Unpack[PhotoOptions]) -> Recognizer:
    return make_recognizer(**options)


def stage(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """The part of a progress callback that one stage reports to."""
    return partial(progress, name) if progress is not None else None


def warn_about(known: Recognizer) -> None:
    """Say where the calibration was made otherwise than what it is used for."""
    from visavis.pipeline.comparison import calibration_warnings

    for sentence in calibration_warnings(known.calibration, known.settings):
        log.warning("%s", sentence)


def embeddings(home: Path | None) -> Path:
    """The file of kept templates."""
    from visavis.weights import WeightStore

    return WeightStore(home).home / "cache" / "embeddings.sqlite"


def downloads(home: Path | None) -> Path:
    """Where ``visavis.evaluate.fetch_lfw`` puts Labeled Faces in the Wild."""
    from visavis.weights import WeightStore

    return WeightStore(home).home / "lfw"


@contextmanager
def kept_templates(home: Path | None, *, cache: bool) -> Iterator[EmbeddingCache | None]:
    """Yield the template cache, or ``None`` without; log what was added."""
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
