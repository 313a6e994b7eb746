"""YuNet, the default detector.

W. Wu, H. Peng, S. Yu, "YuNet: A tiny millisecond-level face detector", Machine Intelligence
Research 20, 2023. Anchor-free: each cell of three grids (strides 8, 16, 32) predicts a class
score, an objectness, a box and five landmarks, in units of the stride.

The network detects faces of about 30 to 500 pixels, so a photo is processed at several sizes, large
ones in tiles. Its landmarks vary by about 6 % of the eye distance between sizes, which changes the
crop and the score. Therefore each face is detected again at standard sizes and with level eyes, and
the landmarks are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.faces.detecting import ImagePyramid, check_photo, suppress
from visavis.inference import load
from visavis.types import Face, Image

if TYPE_CHECKING:
    from visavis.weights import WeightStore

_STRIDES: Final = (8, 16, 32)
_KINDS: Final = ("cls", "obj", "bbox", "kps")
_CELL: Final = 32  # sides of the input are multiples of it
_SEEN: Final = 30  # lowest face height, in input pixels, detected reliably
_STEP: Final = 4  # ratio of successive photo sizes
_SMALLEST: Final = 480  # smallest longer side of the photo in a pass
_MOST_STEPS: Final = 32  # more than any photo needs
_TILE: Final = 1280
_MARGIN: Final = 1.6  # side of the window for a further pass, in face heights
_SAME_FACE: Final = 0.2  # highest mean landmark distance, in face heights, for the same face
_VARIES: Final = 0.8  # lowest ratio of box height to face height
_CANDIDATE: Final = 0.6  # lowest score in the first pass; later passes decide
_OVERLAP: Final = 192  # overlap of tiles: more than _SEEN * _STEP, so every face is whole in one


@dataclass(frozen=True, slots=True)
class YuNetOptions:
    """Options of the YuNet detector.

    Attributes:
        min_face: smallest face, height from hairline to chin in pixels of the photo, at least 8.
            Boxes below 0.8 of it are dropped, because their size varies. Time grows with ``1 /
            min_face ** 2``.
        score: lowest confidence of a face, 0 to 1; the highest score of all passes counts.
        gap: a face is dropped if its confidence is lower than the photo's best by more than this.
            Next to a clear face the network also detects earrings, hands and blurred corners. 1
            keeps all faces.
        overlap: intersection over union above which the weaker of two boxes is dropped.
        refine: standard face heights in pixels for the further passes; empty: keep the first
            landmarks.
    """

    min_face: int = 20
    score: float = 0.8
    gap: float = 0.1
    overlap: float = 0.3
    refine: tuple[int, ...] = (96, 128)

    def __post_init__(self) -> None:
        if self.min_face < 8:
            raise OptionError(
                f"a smallest face (min_face) of {self.min_face} pixels", "ask for 8 or more"
            )
        if not 0 < self.score < 1:
            raise OptionError(
                f"a lowest confidence (score) of {self.score}", "give one between 0 and 1"
            )
        if not 0 < self.overlap < 1:
            raise OptionError(f"overlap {self.overlap}", "give one between 0 and 1")
        if not 0 <= self.gap <= 1:
            raise OptionError(f"gap {self.gap}", "give one from 0 to 1")


class YuNet:
    """The YuNet detector. Thread-safe.

    Args:
        store: source of the model file; ``None``: the default store.
        options: see ``YuNetOptions``.
        runtime: ``openvino`` or ``onnxruntime``.
        threads: CPU threads per call; ``None``: one per core.

    Example:
        >>> YuNet().detect(photo)[0].box  # doctest: +SKIP
        (71.2, 70.4, 98.3, 122.9)
    """

    def __init__(
        self,
        store: WeightStore | None = None,
        *,
        options: YuNetOptions = YuNetOptions(),
        runtime: str = "onnxruntime",
        threads: int | None = None,
    ) -> None:
        from visavis.weights import WeightStore

        store = store or WeightStore()
        self._options = options
        self._session = load(
            store.read("yunet"),
            runtime=runtime,
            threads=threads,
            input_shape=(1, 3, "height", "width"),
            cache=store.derived("yunet"),
            sha256=store.entry("yunet").sha256,
        )

    @property
    def name(self) -> str:
        """Detector, version and the options that change landmarks."""
        options = self._options
        sizes = "+".join(f"{size}" for size in options.refine)
        sizes = f"level{sizes}" if sizes else "once"
        found = f"{options.score:g}-{options.gap:g}"
        return f"yunet-2023mar/min{options.min_face}/{found}/{sizes}"

    def detect(self, image: Image, /) -> list[Face]:
        """Returns the faces of an upright RGB ``(H, W, 3)`` uint8 photo, largest box first; may be
        empty.

        Raises:
            OptionError: another shape or dtype.
        """
        photo = ImagePyramid(check_photo(image))
        rows = np.concatenate([self._run(*part) for part in self._parts(photo)])
        rows = rows[_keep(rows, self._options.overlap)]
        faces = [self._face(row, photo) for row in rows]
        best = max((face.score for face in faces), default=0.0)
        least = max(self._options.score, best - self._options.gap)
        smallest = _VARIES * self._options.min_face
        kept = [f for f in faces if f.score >= least and max(f.box[2:]) >= smallest]
        return sorted(kept, key=lambda face: -face.area)

    def _parts(self, photo: ImagePyramid) -> Iterator[tuple[Image, float, float, float]]:
        """Images to process: (pixels, x and y of their corner in the photo, pixels per pixel)."""
        height, width = photo.image.shape[:2]
        for scale in _scales(max(width, height), self._options.min_face):
            for left, right in _tiles(width, scale):
                for top, bottom in _tiles(height, scale):
                    yield _piece(photo, (left, top, right, bottom), scale)

    def _run(self, part: Image, left: float, top: float, scale: float) -> NDArray[np.float32]:
        """Runs the network once: ``(N, 15)`` box, landmarks, score, in pixels of the photo."""
        import cv2

        height, width = part.shape[:2]
        rows, columns = -(-height // _CELL), -(-width // _CELL)
        tensor = np.zeros((1, 3, rows * _CELL, columns * _CELL), dtype=np.float32)
        for plane, channel in zip(tensor[0], reversed(cv2.split(part)), strict=True):
            plane[:height, :width] = channel  # BGR; plane by plane takes half the time
        outputs = dict(zip(self._session.output_names, self._session.run(tensor), strict=True))
        found = _decode(outputs, columns * _CELL, min(_CANDIDATE, self._options.score))
        found[:, :14] /= scale
        found[:, 0:14:2] += left
        found[:, 1:14:2] += top
        found[:, 2:4] -= (left, top)
        return found

    def _face(self, row: NDArray[np.float32], photo: ImagePyramid) -> Face:
        x, y, width, height, *points = (float(v) for v in row[:14])
        landmarks = np.array(points, dtype=np.float32).reshape(5, 2)
        landmarks, score = self._refined(row, landmarks, photo)
        return Face(box=(x, y, width, height), landmarks=landmarks, score=score)

    def _refined(
        self, row: NDArray[np.float32], landmarks: NDArray[np.float32], photo: ImagePyramid
    ) -> tuple[NDArray[np.float32], float]:
        """Returns landmarks and score of a face after passes at standard sizes with level eyes.

        Returns:
            The mean landmarks of all passes, and the highest score. A real face with a low first
            score gets a high one at standard size with level eyes; other objects do not.
        """
        x, y, width, height = (float(v) for v in row[:4])
        score = float(row[14])
        size = max(width, height)
        middle = np.array([x + width / 2, y + height / 2])
        views = [landmarks]
        for standard in self._options.refine:
            across = views[-1][1] - views[-1][0]
            angle = float(np.arctan2(across[1], across[0]))
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            side = -(-round(standard * _MARGIN) // _CELL) * _CELL
            extent = side * size / standard
            square = np.array([[*(middle - extent / 2), extent]])
            found = self._run(photo.windows(square, side, angle=angle)[0], 0.0, 0.0, 1.0)
            if len(found) == 0:
                continue
            points = (found[:, 4:14].reshape(-1, 5, 2) - side / 2) * (extent / side)
            points = points @ turn.T + middle
            distance = np.linalg.norm(points - landmarks, axis=2).mean(axis=1)
            nearest = int(distance.argmin())
            if distance[nearest] < _SAME_FACE * size:
                views.append(points[nearest])
                score = max(score, float(found[nearest, 14]))
        mean: NDArray[np.float32] = np.mean(views, axis=0, dtype=np.float32)
        return mean, score


def _decode(
    outputs: dict[str, NDArray[np.float32]], width: int, least: float
) -> NDArray[np.float32]:
    """Decodes boxes, landmarks and scores of one run in input pixels, ``(N, 15)``."""
    parts = []
    for stride in _STRIDES:
        cls, obj, box, points = (outputs[f"{kind}_{stride}"][0] for kind in _KINDS)
        products = cls[:, 0] * obj[:, 0]
        cells = np.flatnonzero(products >= least * least)
        if cells.size:
            y, x = np.divmod(cells, width // stride)
            values = (x, y, products[cells], np.full(cells.size, stride))
            parts.append(np.column_stack([*values, box[cells], points[cells]]).astype(np.float32))
    if not parts:
        return np.zeros((0, 15), dtype=np.float32)
    raw = np.concatenate(parts)
    origin, stride_of = raw[:, :2], raw[:, 3:4]
    center = origin + raw[:, 4:6]
    size = np.exp(raw[:, 6:8])
    marks = raw[:, 8:].reshape(-1, 5, 2) + origin[:, None]
    found = np.empty((len(raw), 15), dtype=np.float32)
    found[:, :2] = center - size / 2
    found[:, 2:4] = size
    found[:, 4:14] = marks.reshape(-1, 10)
    found[:, :14] *= stride_of
    found[:, 14] = np.sqrt(raw[:, 2]).clip(0, 1)
    return found


def _keep(rows: NDArray[np.float32], overlap: float) -> NDArray[np.intp]:
    corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    kept = suppress(corners, rows[:, 14], overlap=overlap)
    # Seen at two sizes, one face may come as a box inside a box.
    inside = suppress(corners[kept], rows[kept, 14], overlap=0.7, of_smaller=True)
    return kept[inside]


def _scales(longest: int, min_face: float) -> list[float]:
    """Returns the scales of a photo, in input pixels per pixel of the photo, largest first.

    At the first scale the smallest face is ``_SEEN`` pixels high; at the last the photo's longer
    side has at most ``_SMALLEST`` pixels.

    >>> _scales(250, 20), _scales(4000, 20)
    ([1.5], [1.5, 0.375, 0.12])
    """
    first, last = _SEEN / min_face, _SMALLEST / longest
    steps = [first / _STEP**k for k in range(_MOST_STEPS)]
    return [scale for scale in steps if scale > last] + [last] if first > last else [first]


def _tiles(length: int, scale: float) -> list[tuple[int, int]]:
    """Returns overlapping spans that cover ``length`` photo pixels, each at most a tile when
    scaled."""
    tile, overlap = int(_TILE / scale), int(_OVERLAP / scale)
    if length <= tile:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = np.linspace(0, length - tile, count).round().astype(int)
    return [(int(start), int(start) + tile) for start in starts]


def _piece(
    photo: ImagePyramid, box: tuple[int, int, int, int], scale: float
) -> tuple[Image, float, float, float]:
    """Returns one scaled tile of the photo: (pixels, left, top, scale)."""
    left, top, right, bottom = box
    height, width = photo.image.shape[:2]
    size = (max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1))
    if (right - left, bottom - top) == (width, height):
        return photo.resized(*size), 0.0, 0.0, scale
    part = ImagePyramid(photo.image[top:bottom, left:right])
    return part.resized(*size), float(left), float(top), scale
