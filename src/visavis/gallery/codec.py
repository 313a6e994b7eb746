"""How a template is kept in memory: as it is, or in fewer bytes where memory is limited."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.types import Vectors

CodecName = Literal["float32", "SQ8", "PQ4", "PQ2"]

LADDER: tuple[CodecName, ...] = ("float32", "SQ8", "PQ4", "PQ2")
"""From exact to small. SQ8: 8 bits a dimension. PQ4, PQ2: a product quantizer with a byte for two
dimensions, for four dimensions (Jégou, Douze, Schmid: Product Quantization for Nearest Neighbor
Search, PAMI 2011)."""


def width(name: CodecName, dimension: int) -> int | None:
    """Bytes a template takes, or ``None`` where the dimension cannot be cut so.

    >>> width("float32", 128), width("SQ8", 128), width("PQ4", 128), width("PQ2", 128)
    (512, 128, 64, 32)
    >>> width("PQ2", 130) is None
    True
    """
    if name == "float32":
        return 4 * dimension
    if name == "SQ8":
        return dimension
    part = 2 if name == "PQ4" else 4
    return dimension // part if dimension % part == 0 else None


class Codec:
    """Templates to bytes and back.

    Args:
        name: one of ``LADDER``.
        dimension: length of a template.
    """

    def __init__(self, name: CodecName, dimension: int) -> None:
        import faiss

        self.name = name
        self.dimension = dimension
        self.exact = name == "float32"
        self._faiss: Any = None
        if name == "SQ8":
            self._faiss = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit)
        elif name != "float32":
            cut = width(name, dimension)
            if cut is None:
                raise OptionError(f"{name} codes of dimension {dimension}", "choose another codec")
            self._faiss = faiss.IndexPQ(dimension, cut, 8)
            clustering = self._faiss.pq.cp
            clustering.niter, clustering.max_points_per_centroid = 8, 16
            clustering.min_points_per_centroid = 1

    @property
    def columns(self) -> int:
        """Elements of a coded template."""
        return self.dimension if self.exact else int(self._faiss.sa_code_size())

    @property
    def dtype(self) -> type[np.float32 | np.uint8]:
        """Type of the elements."""
        return np.float32 if self.exact else np.uint8

    def train(self, sample: Vectors) -> None:
        """Fit to ``(N, D)`` templates."""
        if not self.exact:
            self._faiss.train(sample)

    def encode(self, vectors: Vectors) -> NDArray[Any]:
        """``(N, D)`` float32 to ``(N, columns)``."""
        return vectors if self.exact else self._faiss.sa_encode(np.ascontiguousarray(vectors))

    def decode(self, codes: NDArray[Any]) -> Vectors:
        """``(N, columns)`` to ``(N, D)`` float32 of unit length."""
        if self.exact:
            return codes
        out: Vectors = self._faiss.sa_decode(np.ascontiguousarray(codes))
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out

    def to_bytes(self) -> bytes:
        """What training made."""
        import faiss

        return b"" if self.exact else faiss.serialize_index(self._faiss).tobytes()

    def from_bytes(self, trained: bytes) -> None:
        """Take what ``to_bytes`` gave."""
        import faiss

        if not self.exact:
            self._faiss = faiss.deserialize_index(np.frombuffer(trained, np.uint8))
