"""Who asks, options, faces and errors, as CompreFace has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from fastapi import Request
from starlette.responses import Response

from visavis.api.photos import photo_size
from visavis.errors import NoFaceError
from visavis.service.dialects import similarity
from visavis.service.dialects.access import caller_with, gallery_of
from visavis.service.dialects.boxes import corners
from visavis.service.problems import ProblemError
from visavis.service.routes.common import service_of
from visavis.service.state import Caller, Service
from visavis.service.uploads import Photo
from visavis.types import Face, Quality, Template, Vectors

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery

HOW: Final = "send a token in the header x-api-key"
_ARGUMENT: Final = 36
_NOT_FOUND: Final = (404, 10, "no such service for this API key: `visavis keys list` shows valid "
                     "keys, their scopes and galleries")  # fmt: skip
_CODES: Final[dict[str, tuple[int, int, str | None]]] = {
    "unauthorized": _NOT_FOUND,
    "forbidden": _NOT_FOUND,
    "unknown-gallery": _NOT_FOUND,
    "several-galleries": (*_NOT_FOUND[:2], None),
    "missing-key": (400, 20, None),
    "base64": (400, 21, "Provided value is not Base64"),
    "not-an-image": (400, 21, None),
    "image-truncated": (400, 21, None),
    "image-unsupported": (400, 21, None),
    "image-too-large": (413, 21, None),
    "body-too-large": (413, 21, None),
    "missing-extra": (400, 21, None),
    "option": (400, 26, None),
    "no-face": (400, 28, "No face is found in the given image"),
    "low-quality": (400, 28, None),
    "several-faces": (400, 31, "More than one face in the source image"),
    "missing-option": (400, 33, None),
    "missing-part": (400, 34, None),
    "argument": (400, _ARGUMENT, None),
    "json": (400, _ARGUMENT, None),
    "model-mismatch": (400, 37, None),
    "embeddings": (400, 37, None),
    "unknown-person": (404, 42, None),
    "person-exists": (400, 43, "Subject already exists"),
    "unknown-face": (404, 44, None),
}
"""HTTP status, CompreFace's code and its message, if any, by the reason of a problem."""

_KEPT: Final = frozenset({401, 403, 404, 405, 408, 413, 429})
_MOST_PREDICTIONS: Final = 1000
_LARGEST: Final = 10**9
T = TypeVar("T")


def refuse(problem: ProblemError, _request_id: str) -> Response:
    """Returns the response to a refused request."""
    if problem.reason in _CODES:
        status, code, message = _CODES[problem.reason]
    elif problem.status >= 500:
        status, code, message = problem.status, 41, None
    else:
        status = problem.status if problem.status in _KEPT else 400
        code, message = 0, None
    plain = f"{problem.got}; {problem.remedy}" if problem.remedy else problem.got
    return Response(
        msgspec.json.encode({"message": message or plain, "code": code}),
        status_code=status,
        media_type="application/json",
        headers={k: v for k, v in problem.headers.items() if k != "WWW-Authenticate"},
    )


def caller(request: Request, scope: str) -> Caller:
    """Returns who sends ``x-api-key``.

    Raises:
        ProblemError: the key is missing, not valid, or without that scope.
    """
    token = request.headers.get("x-api-key")
    if token is None and service_of(request).keys:
        raise ProblemError(400, "missing-key", "Missing header: x-api-key", "")
    return caller_with(request, token, scope, how=HOW)


def collection(request: Request, scope: str) -> Gallery:
    """Returns the gallery of the key in ``x-api-key``."""
    return gallery_of(request, caller(request, scope), request.headers.get("x-api-key"))


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a request with photos.

    Attributes:
        limit: most faces, the largest first; 0 for all.
        det_prob_threshold: lowest confidence of the detector.
        plugins: what is told of each face, of ``landmarks``, ``calculator`` and ``pose``.
        status: whether versions and times are told.
        prediction_count: subjects per face.
    """

    limit: int
    det_prob_threshold: float
    plugins: frozenset[str]
    status: bool
    prediction_count: int

    @classmethod
    def of(cls, request: Request) -> Options:
        """Reads the query; unknown options and plugins are ignored.

        Raises:
            ProblemError: a value that cannot be read, or is out of its range.
        """
        asked = request.query_params
        count = number(asked.get("prediction_count"), "prediction_count", least=-1, default=1)
        if count == 0:
            raise ProblemError(400, "option", "prediction_count 0", "give 1 or more, or -1 for all")
        try:
            threshold = float(asked.get("det_prob_threshold") or 0)
        except ValueError as error:
            raise ProblemError(
                400, "argument", "a det_prob_threshold that is no number", "give one from 0 to 1"
            ) from error
        if not 0 <= threshold <= 1:
            raise ProblemError(400, "option", "a det_prob_threshold", "give one from 0 to 1")
        return cls(
            limit=number(asked.get("limit"), "limit", least=0, default=0),
            det_prob_threshold=threshold,
            plugins=frozenset(asked.get("face_plugins", "").replace(" ", "").split(",")),
            status=asked.get("status", "").lower() == "true",
            prediction_count=_MOST_PREDICTIONS if count < 0 else min(count, _MOST_PREDICTIONS),
        )

    @property
    def embeds(self) -> bool:
        """Whether a plugin needs more than the detector."""
        return bool(self.plugins & {"calculator", "pose"})

    def confident(self, faces: Sequence[T]) -> list[T]:
        """Returns the faces of which the detector is sure enough.

        Raises:
            NoFaceError: there is none.
        """
        found = [one for one in faces if _face(one).score >= self.det_prob_threshold]
        if not found:
            raise NoFaceError("no face was found", "give a photo that shows a face")
        return found

    def limited(self, faces: Sequence[T]) -> list[T]:
        """Returns the largest of the faces of which the detector is sure enough.

        Raises:
            NoFaceError: there is none.
        """
        return self.confident(faces)[: self.limit or None]


def number(text: str | None, name: str, *, least: int, default: int) -> int:
    """Returns a number of the query.

    Raises:
        ProblemError: it cannot be read, or is out of its range.
    """
    if not text:
        return default
    try:
        found = int(text)
    except ValueError as error:
        raise ProblemError(400, "argument", f"a {name} that is no number", "give one") from error
    if not least <= found <= _LARGEST:
        raise ProblemError(400, "option", f"{name} {found}", f"give {least} to {_LARGEST:,}")
    return found


class Faces:
    """Describes faces of one photo, and how long that took.

    Args:
        service: the service.
        options: what is told.
        photo: the photo.

    Raises:
        ImageError: the photo cannot be read.
    """

    def __init__(self, service: Service, options: Options, photo: Photo) -> None:
        self._options = options
        self._size = photo_size(photo.getvalue(), limits=service.engine.limits, name=photo.name)
        self._start = perf_counter()

    def told(
        self, face: Face, *, quality: Quality | None = None, template: Template | None = None
    ) -> dict[str, Any]:
        """Returns box, landmarks, pose and template, as far as they were asked for."""
        asked, quality = self._options.plugins, template.quality if template else quality
        left, top, right, bottom = corners(face, self._size)
        box = {"x_max": right, "y_max": bottom, "x_min": left, "y_min": top}
        found: dict[str, Any] = {"box": {"probability": face.score, **box}}
        if "landmarks" in asked:
            found["landmarks"] = [[round(x), round(y)] for x, y in face.landmarks.tolist()]
        if "pose" in asked and quality is not None:
            found["pose"] = {"pitch": quality.pitch, "roll": quality.roll, "yaw": quality.yaw}
        if "calculator" in asked and template is not None:
            found["embedding"] = template.vector
        if self._options.status:
            found["execution_time"] = {
                "calculator" if template or quality else "detector": round(
                    1000 * (perf_counter() - self._start), 1
                )
            }
        return found


def versions(options: Options, model: str = "") -> dict[str, Any]:
    """Returns detector and model, if the request asks for its status."""
    if not options.status:
        return {}
    plugins = {"detector": "yunet"} | ({"calculator": model} if model else {})
    return {"plugins_versions": plugins}


def similarities(
    service: Service, first: Vectors, others: Vectors | Sequence[Template], model: str
) -> list[float]:
    """Returns CompreFace's similarity of one template with others; counts the decisions.

    Args:
        service: the service.
        first: ``(D,)`` float32 of unit length.
        others: ``(N, D)`` likewise, or templates.
        model: name of the model that made them.
    """
    import numpy as np

    vectors = others if isinstance(others, np.ndarray) else np.stack([one.vector for one in others])
    scores, point = service.engine.compare(
        first[None], vectors, fmr=service.options.fmr, model=model,
        calibration=service.calibration_of(model),
    )  # fmt: skip
    for score in scores[0].tolist():
        service.metrics.decision("verify", "same" if score >= point.threshold else "different")
    return [similarity.compreface(score, threshold=point.threshold) for score in scores[0].tolist()]


def _face(one: Any) -> Face:
    found: Face = getattr(one, "face", one)
    return found
