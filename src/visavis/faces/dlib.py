"""dlib's frontal face detector and its 68 landmarks, reduced to five. Needs ``visavis[dlib]``.

N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, in the form
of D. King, "Max-margin object detection", arXiv:1502.00046, 2015; landmarks: V. Kazemi,
J. Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError, require_extra
from visavis.faces.detecting import OUTSIDE, ImagePyramid, check_photo
from visavis.types import Face, Image

if TYPE_CHECKING:
    from visavis.weights import WeightStore

_WINDOW: Final = 80  # side of the smallest face the detector sees, in pixels
_BOX: Final = 300  # side of a face box when landmarks are sought
_FRAME: Final = 0.15
"""Width of the gray border added to the searched image, relative to its short side: the detector's
window does not extend beyond the border."""
_LONGEST: Final = 16_384
"""Longest side of the searched image, in pixels. dlib 20.0 crashes the process (out-of-bounds
write) on images of about 85,000 pixels."""
_POINTS: Final = (range(36, 42), range(42, 48), (30,), (48,), (54,))


@dataclass(frozen=True, slots=True)
class DlibOptions:
    """Options of the dlib detector.

    Attributes:
        min_face: smallest face, box side in pixels of the photo, at least 10. Photos are enlarged
            so that such a face has 80 pixels.
        max_pixels: most pixels of the searched image (no side above 16,384); larger photos are
            reduced, and ``smallest_face`` is then above ``min_face``.
        margin: lowest distance from the detector's decision boundary; higher finds fewer faces.
    """

    min_face: float = 20
    max_pixels: int = 8_000_000
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 10 <= self.min_face < math.inf:
            raise OptionError(f"min_face {self.min_face}", "give 10 pixels or more")
        if self.max_pixels < 100_000:
            raise OptionError(f"max_pixels {self.max_pixels}", "give 100,000 or more")
        if not -2 <= self.margin <= 5:
            raise OptionError(f"margin {self.margin}", "give one in [-2, 5]")


class Dlib:
    """dlib's detector for near-frontal faces.

    Thread-safe; detection itself is serialized.

    ``Face.score`` is the logistic function of the detector's margin, so the decision boundary is
    0.5. It is not a probability.

    Args:
        store: source of the landmark model; ``None``: the default store.
        options: see ``DlibOptions``.

    Raises:
        MissingExtraError: the ``dlib`` package is not installed.
        ModelUnavailableError, ModelDamagedError: from the store.

    Example:
        >>> Dlib(options=DlibOptions(min_face=40)).detect(photo)  # doctest: +SKIP
        [Face(box=(...), landmarks=array(...), score=0.82)]
    """

    def __init__(
        self, store: WeightStore | None = None, *, options: DlibOptions = DlibOptions()
    ) -> None:
        require_extra("dlib", "the detector 'dlib'")
        import dlib

        from visavis.weights import WeightStore

        store = store or WeightStore()
        self._options = options
        self._version = str(dlib.__version__)
        self._predictor: Any = dlib.shape_predictor(str(store.path("dlib-landmarks-68")))
        self._rectangle: Any = dlib.rectangle
        self._search: Any = dlib.get_frontal_face_detector()
        self._one_at_a_time = threading.Lock()

    @property
    def name(self) -> str:
        """``dlib-``, dlib's version, ``/`` and every option that changes the result."""
        options, default = self._options, DlibOptions()
        parts = [f"min{options.min_face:g}", f"max{options.max_pixels}"]
        if options.margin != default.margin:
            parts.append(f"margin{options.margin:g}")
        return f"dlib-{self._version}/" + "-".join(parts)

    def smallest_face(self, height: int, width: int) -> float:
        """Returns the side of the smallest detectable face box for a photo size, in pixels."""
        return _WINDOW / self._scale(height, width)

    def detect(self, image: Image, /) -> list[Face]:
        """Returns the faces of an upright RGB ``(H, W, 3)`` uint8 photo, largest box first; may be
        empty.

        Boxes may extend beyond the border.

        Raises:
            OptionError: not an ``(H, W, 3)`` uint8 array.
        """
        import cv2

        image = check_photo(image)
        height, width = image.shape[:2]
        photo = ImagePyramid(image)
        scale = self._scale(height, width)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        frame = round(_FRAME * min(size))
        picture = photo.resized(*size)
        picture = cv2.copyMakeBorder(
            picture, frame, frame, frame, frame, cv2.BORDER_CONSTANT, value=OUTSIDE
        )
        with self._one_at_a_time:
            boxes, margins, _ = self._search.run(picture, 0, self._options.margin)
        per_pixel = np.array([width / size[0], height / size[1]])
        faces = []
        for box, margin in zip(boxes, margins, strict=True):
            corner = (np.array([box.left(), box.top()]) - frame) * per_pixel
            extent = np.array([box.width(), box.height()]) * per_pixel
            landmarks = self._landmarks(photo, corner + extent / 2, float(extent.mean()))
            found = (float(corner[0]), float(corner[1]), float(extent[0]), float(extent[1]))
            faces.append(Face(found, landmarks, 1 / (1 + math.exp(-margin))))
        return sorted(faces, key=lambda face: -face.area)

    def _scale(self, height: int, width: int) -> float:
        frame = 2 * _FRAME * min(height, width)
        most = math.sqrt(self._options.max_pixels / ((height + frame) * (width + frame)))
        return min(
            _WINDOW / self._options.min_face, most, (_LONGEST - 2) / (max(height, width) + frame)
        )

    def _landmarks(
        self, photo: ImagePyramid, center: NDArray[np.float64], side: float
    ) -> NDArray[np.float32]:
        """Returns five landmarks, detected in a window in which every face has the same size.

        The predictor reads and returns whole pixels, so on the photo itself it would be noisy for
        large faces and coarse for small ones.
        """
        corner = center - side
        window = photo.windows(np.array([[*corner, 2 * side]]), 2 * _BOX)[0]
        low, high = _BOX // 2, _BOX // 2 + _BOX
        shape = self._predictor(window, self._rectangle(low, low, high - 1, high - 1))
        points = np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64) + 0.5
        five = np.stack([points[list(group)].mean(0) for group in _POINTS])
        return (corner + five * (side / _BOX)).astype(np.float32)
