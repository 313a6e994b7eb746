"""A pass over all templates at an eighth of the memory and speed to match, to propose the best.

Each template is cut into pieces of a few dimensions, each piece replaced by the closest of 16
representatives; a probe is compared with the representatives once, and then every template costs
table look-ups that the processor does 64 at a time (André, Kermarrec, Le Scouarnec: Quicker ADC,
PAMI 2021; FAISS's ``PQFastScan``). All templates are looked at: why not an inverted file or a
graph is in ``docs/concepts/search.md``.

The codes are read from end to end at every search, so they lie in few large pages instead of many
small ones: the processor fetches ahead within a page only and looks each page up. Over 2 MiB pages
the scan of a million templates takes a sixth less. numpy asks for them itself, FAISS does not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.gallery.index.snapshot import CHUNK
from visavis.types import Vectors

_COLLAPSE: Final = 25
"""``MADV_COLLAPSE`` of Linux 6.1, at once; elsewhere it happens in time or not at all."""


def ask_for_large_pages(memory: NDArray[np.uint8]) -> None:
    """Have Linux put an array, which stays what and where it is, into large pages if it can."""
    if sys.platform == "linux":
        import mmap

        start = -(-memory.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
        size = memory.ctypes.data + memory.nbytes - start
        if size > 0:
            _madvise()(start, size, mmap.MADV_HUGEPAGE)
            _madvise()(start, size, _COLLAPSE)


@cache
def _madvise() -> Any:
    import ctypes

    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call


Ids = NDArray[np.int64]
# More pieces overflow the 16 bits that the sum of look-ups is kept in.
_MOST_PIECES = 256
_LARGEST_PIECE = 8
_RESERVOIR = 13


def pieces(dimension: int) -> int | None:
    """Pieces a template is cut into, or ``None`` where the scan does not suit the dimension.

    >>> pieces(128), pieces(512), pieces(1024), pieces(127)
    (64, 256, 256, None)
    """
    for piece in range(2, _LARGEST_PIECE + 1):
        count = dimension // piece
        if dimension % piece == 0 and count <= _MOST_PIECES and count % 2 == 0:
            return count
    return None


class FastScan:
    """Codes of all rows, in the rows' order.

    Args:
        dimension: length of a template, one that ``pieces`` accepts.
    """

    def __init__(self, dimension: int) -> None:
        import faiss

        self.dimension = dimension
        cut = pieces(dimension)
        if cut is None:
            raise OptionError(f"dimension {dimension} for a fast scan", "search it exactly")
        index: Any = faiss.IndexPQFastScan(dimension, cut, 4, faiss.METRIC_INNER_PRODUCT)
        self._index = index
        self._index.pq.cp.min_points_per_centroid = 1
        self._packer: Any = self._index.get_CodePacker()
        self._asked = (0, 0)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return int(self._index.codes.size())

    def train(self, sample: Vectors) -> None:
        """Choose the representatives from ``(N, D)`` templates, the same for the same templates."""
        self._index.train(sample)

    def add(self, vectors: Vectors) -> None:
        """Put ``(M, D)`` after the last row."""
        if len(vectors):  # FAISS 1.15 reads where nothing is
            self._index.add(np.ascontiguousarray(vectors))
            self._lie_in_large_pages()

    def candidates(self, queries: Vectors, count: int) -> Ids:
        """Rows that seem closest to each ``(Q, D)`` probe, best first, ``(Q, count)``."""
        # For one probe the kernel that keeps a reservoir is a sixth faster than FAISS's own choice.
        # Blocks of 64 would take a tenth less still, but FAISS 1.15 changes single codes only in
        # blocks of 32.
        self._index.implem = _RESERVOIR if len(queries) == 1 else 0
        _, rows = self._index.search(queries, count)
        found: Ids = rows
        return found

    def fill(self, holes: Ids, movers: Ids, count: int) -> None:
        """Copy the codes of rows ``movers`` over ``holes``, keep the first ``count`` rows."""
        packed = self._packed()
        per, blank = self._packer.nvec, np.zeros(self._packer.code_size, np.uint8)
        for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
            code = self._packer.unpack_1(packed[mover // per][None], mover % per)
            self._packer.pack_1(code, hole % per, packed[hole // per][None])
        for row in range(count, len(self)):
            self._packer.pack_1(blank, row % per, packed[row // per][None])
        self._resize(count)

    def chunks(self) -> Iterator[memoryview]:
        """The codes as they lie in memory, some MiB at a time."""
        flat = self._packed().reshape(-1)
        for start in range(0, len(flat), CHUNK):
            yield flat[start : start + CHUNK].data

    def restore(self, count: int) -> NDArray[np.uint8]:
        """Make room for ``count`` rows; returns the bytes to fill with what ``chunks`` gave."""
        self._resize(count)
        return self._packed().reshape(-1)

    @property
    def representatives(self) -> NDArray[np.float32]:
        """What training made, ``(pieces * 16 * D / pieces,)`` float32."""
        import faiss

        out: NDArray[np.float32] = faiss.vector_to_array(self._index.pq.centroids)
        return out

    @representatives.setter
    def representatives(self, values: NDArray[np.float32]) -> None:
        import faiss

        faiss.copy_array_to_vector(values, self._index.pq.centroids)
        self._index.is_trained = True

    def _packed(self) -> NDArray[np.uint8]:
        import faiss

        codes = self._index.codes
        view: NDArray[np.uint8] = faiss.rev_swig_ptr(codes.data(), codes.size())
        return view.reshape(-1, self._packer.block_size)

    def _resize(self, count: int) -> None:
        blocks = -(-count // self._packer.nvec)
        self._index.codes.resize(blocks * self._packer.block_size)
        self._index.ntotal = count
        self._index.ntotal2 = blocks * self._packer.nvec
        self._lie_in_large_pages()

    def _lie_in_large_pages(self) -> None:
        """Ask for them where the codes have moved or become an eighth more since."""
        codes, (where, size) = self._packed(), self._asked
        if codes.ctypes.data != where or codes.nbytes > size + size // 8:
            ask_for_large_pages(codes)
            self._asked = codes.ctypes.data, codes.nbytes
