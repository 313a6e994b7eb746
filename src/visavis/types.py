"""Frozen records that sub-packages exchange. numpy only.

Boxes are ``(x, y, width, height)`` and landmarks ``(x, y)``, both in pixels of the upright image,
origin at the top left corner of the top left pixel. A *score* is a cosine similarity in [-1, 1],
higher is closer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An upright RGB photo or crop, ``(H, W, 3)`` uint8."""

Crops = NDArray[np.uint8]
"""Aligned faces, ``(N, S, S, 3)`` RGB uint8."""

Vectors = NDArray[np.float32]
"""Templates, ``(N, D)`` float32, each row of unit length."""


def to_plain(value: Any) -> Any:
    """Turn records, arrays and numpy scalars into what ``json`` writes."""
    if isinstance(value, (np.ndarray, np.generic)):
        kind, value = value.dtype.kind, value.tolist()
        if kind in "biuU":
            return value
    if value is None or isinstance(value, (str, int, float)):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value.to_dict() if hasattr(value, "to_dict") else _fields(value)
    return str(value) if isinstance(value, PurePath) else value


def _fields(record: Any) -> dict[str, Any]:
    kind: Any = type(record)
    return {name: to_plain(getattr(record, name)) for name in _names(kind)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


class Record:
    """Mixin: ``to_dict()`` for frozen, slotted dataclasses; ``--json`` prints exactly that."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready values; numbers that are not finite become ``None``."""
        return _fields(self)


@dataclass(frozen=True, slots=True, eq=False)
class Face(Record):
    """One face found in a photo.

    Attributes:
        box: ``(x, y, width, height)``, pixels of the upright image; may reach over the border.
        landmarks: ``(5, 2)`` float32 ``(x, y)``: right eye, left eye, nose tip, right mouth
            corner, left mouth corner (the person's right, so the viewer's left comes first).
        score: the detector's confidence in [0, 1].
        turn: 0, 90, 180 or 270: degrees, clockwise as seen, by which the photo shows the face
            turned. A photo turned back by as much (counter-clockwise) is upright.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float
    turn: int = 0

    @property
    def area(self) -> float:
        """Box area in square pixels."""
        return self.box[2] * self.box[3]


@dataclass(frozen=True, slots=True, eq=False)
class PassedOver(Record):
    """A face of a photo that a rule did not choose.

    Attributes:
        face: where it was found.
        reason: ``unclear`` (blurred, badly lit, far turned, or the detector is unsure), ``smaller``
            or ``off-center`` than the chosen one.
    """

    face: Face
    reason: str


@dataclass(frozen=True, slots=True)
class Quality(Record):
    """Quality measures of a face; ``visavis.faces.quality`` computes them.

    Attributes:
        size: distance between the eyes in pixels of the photo.
        sharpness: variance of the Laplacian of the gray 112x112 crop, in squared gray levels.
        exposure: mean gray level of the crop, 0 (black) to 1 (white).
        contrast: standard deviation of the crop's gray levels, 0 to 0.5.
        yaw: head turn in degrees from the landmarks, 0 is frontal, positive to the viewer's right.
        pitch: nod in degrees from the landmarks, 0 is frontal, positive is up.
        roll: in-plane rotation in degrees beyond ``Face.turn``, 0 is upright, positive is
            clockwise as seen.
        detector_score: the detector's confidence in [0, 1].
        warnings: a sentence for each measure outside its usable range.
    """

    size: float
    sharpness: float
    exposure: float
    contrast: float
    yaw: float
    pitch: float
    roll: float
    detector_score: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Template(Record):
    """One embedded face.

    Attributes:
        vector: ``(D,)`` float32 of unit length.
        model: name of the model that made it.
        model_sha256: hash of that model's file; templates of two hashes are never compared.
        face: where it was found.
        quality: how usable the face was.
        photo: the photo's path, or a description of what was given.
        faces_found: how many faces the photo has.
        passed_over: those that the rule did not choose, each with the reason.
        magnitude: length of the vector before it was scaled to unit length, the shorter the less
            the network could see of the face, each on its own scale; NaN from ``embed_many``.
    """

    vector: NDArray[np.float32]
    model: str
    model_sha256: str
    face: Face
    quality: Quality
    photo: str
    faces_found: int = 1
    passed_over: tuple[PassedOver, ...] = ()
    magnitude: float = float("nan")


@dataclass(frozen=True, slots=True)
class OperatingPoint(Record):
    """A threshold together with the error rates that were measured at it.

    Attributes:
        model: model name.
        model_sha256: hash of the model file.
        threshold: an observed score; a pair with score >= threshold is decided mated.
        fmr: measured false match rate at the threshold, in [0, 1].
        fmr_ci: 95 % interval of it, resampling people.
        fnmr: measured false non-match rate at the threshold; NaN where no mated pairs were given.
        dataset: what it was measured on.
        pairs: number of non-mated pairs behind ``fmr``.
        target_fmr: the rate that was asked for; ``fmr <= target_fmr``.
        people: number of people behind it.
        mated_pairs: number of mated pairs behind ``fnmr``.
        fnmr_ci: 95 % interval of ``fnmr``, resampling people.
        ties: non-mated scores equal to the threshold.
        pipeline_id: id of the pipeline that made the scores (detector, crop, flip averaging).
    """

    model: str
    model_sha256: str
    threshold: float
    fmr: float
    fmr_ci: tuple[float, float]
    fnmr: float
    dataset: str
    pairs: int
    target_fmr: float = float("nan")
    people: int = 0
    mated_pairs: int = 0
    fnmr_ci: tuple[float, float] = (float("nan"), float("nan"))
    ties: int = 0
    pipeline_id: str = ""

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], /) -> OperatingPoint:
        """The inverse of ``to_dict``: ``None`` is NaN; entries of later versions are ignored.

        Former versions wrote ``pipeline_id`` as ``settings``.

        Raises:
            msgspec.ValidationError: other values than ``to_dict`` writes.
        """
        import msgspec

        nan = float("nan")
        values = {key: nan if value is None else value for key, value in plain.items()}
        if "settings" in values:
            values["pipeline_id"] = values.pop("settings")
        for key in ("fmr_ci", "fnmr_ci"):
            if key in values:
                values[key] = [nan if value is None else value for value in plain[key]]
        return msgspec.convert(values, cls)


@runtime_checkable
class Detector(Protocol):
    """Finds faces. Suite: ``tests/contracts/detector.py``."""

    @property
    def name(self) -> str:
        """Names detector, version and options; part of every cache key."""
        ...

    def detect(self, image: Image, /) -> list[Face]:
        """Faces of an upright RGB ``(H, W, 3)`` uint8 photo, largest box first; may be empty."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns aligned crops into unit vectors. Suite: ``tests/contracts/embedder.py``."""

    @property
    def name(self) -> str:
        """Registered model name."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the model file."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a template."""
        ...

    @property
    def input_size(self) -> int:
        """Side of the square crop in pixels."""
        ...

    def embed(self, crops: Crops, /) -> Vectors:
        """``(N, S, S, 3)`` RGB uint8 to ``(N, D)`` float32 of unit length; N may be 0."""
        ...
