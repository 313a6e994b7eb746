"""MTCNN: a cascade of three small networks.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint face detection and alignment using multitask cascaded
convolutional networks", IEEE Signal Processing Letters 23(10), 2016.

1. On an image pyramid, the first network evaluates every 12x12 window and proposes boxes
   (``pnet``).
2. The second scores each proposal at 24x24 and corrects its box (``rnet``).
3. The third scores the remaining boxes at 48x48, corrects them again and returns five landmarks
   (``onet``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.faces.detecting import OUTSIDE, ImagePyramid, check_photo, suppress
from visavis.faces.mtcnn_graphs import INPUT_SIDE, build, read_arrays
from visavis.inference import Session, load
from visavis.types import Face, Image

if TYPE_CHECKING:
    from visavis.weights import WeightStore

Boxes = NDArray[np.float64]  # (N, 4) as x1, y1, x2, y2 in pixels of the photo
Scores = NDArray[np.float64]  # (N,) in [0, 1]

_CELL: Final = 12  # the first network's window and stride
_TILE: Final = 192  # window positions per side in one call, so 394 pixels
_MARGIN: Final = 6  # pixels that windows may extend beyond the border, at the level's size
_BATCH: Final = {"rnet": 128, "onet": 32}  # larger batches use more memory and are not faster
_PROPOSALS: Final = 20_000  # windows per level before non-maximum suppression


@dataclass(frozen=True, slots=True)
class MtcnnOptions:
    """Options of the MTCNN detector.

    Attributes:
        min_face: smallest face, box side in pixels of the photo, at least 8. Time grows with 1 /
            min_face squared.
        scale_factor: ratio of successive pyramid levels, in (0.3, 0.95).
        thresholds: lowest confidence of the three networks, each in [0, 1].
        max_side: photos with a longer side are reduced, and ``min_face`` applies to the reduced
            size; ``None``: never.
    """

    min_face: float = 20
    scale_factor: float = 0.709
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    max_side: int | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.min_face < math.inf:
            raise OptionError(f"min_face {self.min_face}", "give 8 pixels or more")
        if not 0.3 < self.scale_factor < 0.95:
            raise OptionError(f"scale_factor {self.scale_factor}", "give one in (0.3, 0.95)")
        if len(self.thresholds) != 3 or not all(0 <= t <= 1 for t in self.thresholds):
            raise OptionError(f"thresholds {self.thresholds}", "give three numbers in [0, 1]")
        if self.max_side is not None and self.max_side < 2 * _CELL:
            raise OptionError(f"max_side {self.max_side}", f"give {2 * _CELL} pixels or more")


class Mtcnn:
    """The MTCNN detector. Thread-safe.

    Working memory is bounded for any number of faces: 150 MB beyond the photo for 24 megapixels
    with 4,000 faces.

    Args:
        store: source of the weights; ``None``: the default store.
        options: see ``MtcnnOptions``.
        runtime: ONNX Runtime by default. OpenVINO compiles again for each image size, and there are
            many.
        threads: CPU threads per call; ``None``: one per core.

    Raises:
        MissingExtraError: the ``lz4`` package is missing.
        ModelUnavailableError, ModelDamagedError: from the store.

    Example:
        >>> Mtcnn(options=MtcnnOptions(min_face=40)).detect(photo)  # doctest: +SKIP
        [Face(box=(...), landmarks=array(...), score=0.999)]
    """

    def __init__(
        self,
        store: WeightStore | None = None,
        *,
        options: MtcnnOptions = MtcnnOptions(),
        runtime: str = "onnxruntime",
        threads: int | None = None,
    ) -> None:
        from visavis.weights import WeightStore

        store = store or WeightStore()
        self._options = options
        self._sessions: dict[str, Session] = {}
        for network in INPUT_SIDE:
            graph = build(network, read_arrays(f"mtcnn-{network}", store))
            self._sessions[network] = load(graph, runtime=runtime, threads=threads)

    @property
    def name(self) -> str:
        """``mtcnn-1.0.0/`` and every option that is not at its default, ``min_face`` always."""
        parts = [f"min{self._options.min_face:g}"]
        default = MtcnnOptions()
        if self._options.scale_factor != default.scale_factor:
            parts.append(f"factor{self._options.scale_factor:g}")
        if self._options.thresholds != default.thresholds:
            parts.append("thresholds" + ",".join(f"{t:g}" for t in self._options.thresholds))
        if self._options.max_side is not None:
            parts.append(f"max{self._options.max_side}")
        return "mtcnn-1.0.0/" + "-".join(parts)

    def detect(self, image: Image, /) -> list[Face]:
        """Returns the faces of an upright RGB ``(H, W, 3)`` uint8 photo, largest box first; may be
        empty.

        Boxes may extend beyond the border. Landmarks are in pixels of the given photo.

        Raises:
            OptionError: not an ``(H, W, 3)`` uint8 array.
        """
        photo = ImagePyramid(check_photo(image))
        boxes = self._propose(photo)
        boxes = self._refine(photo, boxes)
        boxes, scores, landmarks = self._finish(photo, boxes)
        order = np.argsort(-_area(boxes), kind="stable")
        return [_face(boxes[k], scores[k], landmarks[k]) for k in order]

    def _propose(self, photo: ImagePyramid) -> Boxes:
        """First stage: proposals at all scales, corrected, after non-maximum suppression."""
        height, width = photo.image.shape[:2]
        found = [(np.empty((0, 4)), np.empty(0))]
        for size in _sizes(width, height, self._options):
            boxes, scores = self._slide(photo.resized(*size))
            boxes *= np.tile([width / size[0], height / size[1]], 2)
            kept = suppress(boxes, scores, overlap=0.5)
            found.append((boxes[kept], scores[kept]))
        boxes = np.concatenate([b for b, _ in found])
        scores = np.concatenate([s for _, s in found])
        return boxes[suppress(boxes, scores, overlap=0.7)]

    def _slide(self, picture: Image) -> tuple[Boxes, Scores]:
        """Runs the first network over one image; returns boxes in pixels of that image.

        Processes tiles that overlap by the window size; the result is the same as for the whole
        image.
        """
        import cv2

        height, width = picture.shape[:2]
        # Even height and width, so that no window is cut.
        m = _MARGIN
        padded = cv2.copyMakeBorder(
            picture, m, m + height % 2, m, m + width % 2, cv2.BORDER_CONSTANT, value=OUTSIDE
        )
        rows, columns = ((side - _CELL) // 2 + 1 for side in padded.shape[:2])
        threshold = self._options.thresholds[0]
        found = [(np.empty((0, 4)), np.empty(0))]
        for top in range(0, rows, _TILE):
            for left in range(0, columns, _TILE):
                bottom, right = min(top + _TILE, rows), min(left + _TILE, columns)
                tile = padded[2 * top : 2 * bottom + 10, 2 * left : 2 * right + 10]
                offsets, probability = self._sessions["pnet"].run(_tensor(tile[None]))
                y, x = np.nonzero(probability[0, 1] > threshold)
                corner = np.stack([x + left, y + top], axis=1) * 2.0 - m
                boxes: Boxes = np.hstack([corner, corner + _CELL])
                boxes += _CELL * offsets[0, :, y, x]
                found.append((boxes, probability[0, 1, y, x].astype(np.float64)))
        boxes = np.concatenate([b for b, _ in found])
        scores = np.concatenate([s for _, s in found])
        best = np.sort(np.argsort(-scores, kind="stable")[:_PROPOSALS])
        return boxes[best], scores[best]

    def _refine(self, photo: ImagePyramid, boxes: Boxes) -> Boxes:
        """Second stage: scores and corrects each proposal."""
        squares = _squares(boxes)
        found = [(np.empty((0, 4)), np.empty(0))]
        for part, (offsets, probability) in self._batches("rnet", photo, squares):
            good = probability[:, 1] > self._options.thresholds[1]
            corrected = _corrected(part[good], offsets[good])
            found.append((corrected, probability[good, 1].astype(np.float64)))
        boxes = np.concatenate([b for b, _ in found])
        scores = np.concatenate([s for _, s in found])
        return boxes[suppress(boxes, scores, overlap=0.7)]

    def _finish(
        self, photo: ImagePyramid, boxes: Boxes
    ) -> tuple[Boxes, Scores, NDArray[np.float64]]:
        """Third stage: scores and corrects each box, and adds landmarks."""
        squares = _squares(boxes)
        found = [(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)))]
        for part, (offsets, places, probability) in self._batches("onet", photo, squares):
            good = probability[:, 1] > self._options.thresholds[2]
            window = part[good]
            inside = places[good].reshape(-1, 2, 5).transpose(0, 2, 1).astype(np.float64)
            landmarks = window[:, None, :2] + inside * window[:, None, 2:]
            corrected = _corrected(window, offsets[good])
            found.append((corrected, probability[good, 1].astype(np.float64), landmarks))
        boxes, scores, landmarks = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = suppress(boxes, scores, overlap=0.7, of_smaller=True)
        return boxes[kept], scores[kept], landmarks[kept]

    def _batches(
        self, network: str, photo: ImagePyramid, squares: NDArray[np.float64]
    ) -> Iterator[tuple[NDArray[np.float64], list[NDArray[np.float32]]]]:
        for start in range(0, len(squares), _BATCH[network]):
            part = squares[start : start + _BATCH[network]]
            windows = photo.windows(part, INPUT_SIDE[network])
            yield part, self._sessions[network].run(_tensor(windows))


def _sizes(width: int, height: int, options: MtcnnOptions) -> list[tuple[int, int]]:
    """(width, height) of the photo at each pyramid level, largest first.

    At the first level the smallest face fills one window; each further level is smaller by the
    scale factor. At the last level the photo's short side is half a window: a face at the border
    may be larger than that side.
    """
    scale = _CELL / options.min_face
    if options.max_side is not None:
        scale *= min(options.max_side / max(width, height), 1)
    ratio = (_CELL - _MARGIN) / (min(width, height) * scale)
    count = max(math.floor(math.log(ratio) / math.log(options.scale_factor)) + 1, 0)
    scales = [scale * options.scale_factor**step for step in range(count)]
    return [(max(round(width * s), 1), max(round(height * s), 1)) for s in scales]


def _tensor(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32)


def _squares(boxes: Boxes) -> NDArray[np.float64]:
    """``(N, 3)`` squares (x, y, side) with the centers and the longer sides of the boxes."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(1, initial=0)
    good = side >= 1
    corner = (boxes[:, :2] + boxes[:, 2:] - side[:, None]) / 2
    squares: NDArray[np.float64] = np.column_stack([corner, side])[good]
    return squares


def _corrected(squares: NDArray[np.float64], offsets: NDArray[np.float32]) -> Boxes:
    corner, side = squares[:, :2], squares[:, 2:]
    boxes: Boxes = np.hstack([corner, corner + side])
    boxes += side * offsets
    return boxes


def _area(boxes: Boxes) -> NDArray[np.float64]:
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area: NDArray[np.float64] = size[:, 0] * size[:, 1]
    return area


def _face(box: Any, score: Any, landmarks: NDArray[np.float64]) -> Face:
    x1, y1, x2, y2 = (float(v) for v in box)
    return Face((x1, y1, x2 - x1, y2 - y1), landmarks.astype(np.float32), float(score))
