"""The three calls most users need. Each loads the default models once a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from visavis.pipeline.recognizer import Recognizer, RecognizerOptions
from visavis.pipeline.records import Verification
from visavis.types import Face, Template


@lru_cache(maxsize=4)
def _recognizer(**asked: Any) -> Recognizer:
    return Recognizer(**asked)


def detect(
    photo: Any,
    /,
    *,
    detector: str = "yunet",
    min_face: int | None = None,
    min_confidence: float | None = None,
    home: Path | None = None,
) -> list[Face]:
    """Faces of a photo, largest first; an empty list where there is none.

    Args:
        photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        detector: ``yunet``, ``mtcnn`` or ``dlib``.
        min_face: smallest face to find, box height in pixels; the detector's own when ``None``.
        min_confidence: least ``Face.score``, on the detector's own scale; its own when ``None``.
        home: folder of models and caches; the user's data folder when ``None``.

    Raises:
        ImageError: the photo cannot be read.
    """
    options = RecognizerOptions(min_face=min_face, min_confidence=min_confidence)
    return _recognizer(detector=detector, options=options, home=home).detect(photo)


def embed(
    photo: Any,
    /,
    *,
    faces: str = "largest",
    model: str = "sface",
    detector: str = "yunet",
    min_face: int | None = None,
    min_confidence: float | None = None,
    aligned: bool = False,
    home: Path | None = None,
) -> list[Template]:
    """Templates of the faces of a photo, at least one.

    Args:
        photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        faces: which face where there are several: ``largest``, ``central``, ``clear``,
            ``refuse`` or ``all``.
        model: registered embedder.
        detector: ``yunet``, ``mtcnn`` or ``dlib``.
        min_face: smallest face to find, box height in pixels; the detector's own when ``None``.
        min_confidence: least ``Face.score``, on the detector's own scale; its own when ``None``.
        aligned: ``photo`` is already a crop aligned to the 112x112 template; it is used as it is.
        home: folder of models and caches; the user's data folder when ``None``.

    Raises:
        ImageError: the photo cannot be read.
        NoFaceError, SeveralFacesError: as the rule says.
        NotAlignedError: ``aligned`` is set and the photo is not an aligned crop.
    """
    options = RecognizerOptions(min_face=min_face, min_confidence=min_confidence)
    recognizer = _recognizer(
        model=model, detector=detector, aligned=aligned, options=options, home=home
    )
    return recognizer.embed(photo, rule=faces)


def verify(
    a: Any,
    b: Any,
    /,
    *,
    fmr: float = 1e-3,
    faces: str = "largest",
    prior: float | None = None,
    model: str = "sface",
    detector: str = "yunet",
    min_face: int | None = None,
    min_confidence: float | None = None,
    aligned: bool = False,
    calibration: str | None = None,
    home: Path | None = None,
) -> Verification:
    """Are these two photos the same person?

    Args:
        a: a photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        b: the other photo.
        fmr: the false match rate to decide at, in (0, 1); it must be one that the calibration's
            data supports.
        faces: which face where there are several: ``largest``, ``central``, ``clear``,
            ``best-match`` or ``refuse``.
        prior: your prior probability, in (0, 1), that the two are the same person; adds the
            posterior to the answer.
        model: registered embedder.
        detector: ``yunet``, ``mtcnn`` or ``dlib``.
        min_face: smallest face to find, box height in pixels; the detector's own when ``None``.
        min_confidence: least ``Face.score``, on the detector's own scale; its own when ``None``.
        aligned: the photos are already crops aligned to the 112x112 template; used as they are.
        calibration: name of a saved calibration; the one shipped with the model when ``None``.
        home: folder of models, calibrations and caches; the user's data folder when ``None``.

    Raises:
        ImageError: a photo cannot be read.
        NoFaceError, SeveralFacesError: as the rule says.
        NotAlignedError: ``aligned`` is set and a photo is not an aligned crop.
        UnsupportedFmrError: the calibration's data cannot support ``fmr``.
    """
    recognizer = _recognizer(
        model=model,
        detector=detector,
        aligned=aligned,
        calibration=calibration,
        options=RecognizerOptions(min_face=min_face, min_confidence=min_confidence),
        home=home,
    )
    return recognizer.verify(a, b, fmr=fmr, rule=faces, prior=prior)
