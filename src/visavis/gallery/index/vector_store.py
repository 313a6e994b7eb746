"""Template vectors in memory, once: blocks that never move, numbered row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

BLOCK_BYTES = 256 << 20

Rownumbers = NDArray[np.int64]


class VectorStore:
    """An ``(N, D)`` float32 matrix kept in blocks.

    Growing allocates one more block and copies nothing, so the peak is the steady size; pages of a
    block that hold no row yet take no memory.

    Args:
        dimension: D.
        block_bytes: size of a block.
    """

    def __init__(self, dimension: int, *, block_bytes: int = BLOCK_BYTES) -> None:
        self._dimension = dimension
        self._per_block = max(block_bytes // (4 * dimension), 1)
        self._blocks: list[Vectors] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, vectors: Vectors) -> None:
        """Put ``(M, D)`` after the last row."""
        done = 0
        while done < len(vectors):
            if self._count == len(self._blocks) * self._per_block:
                self._blocks.append(np.empty((self._per_block, self._dimension), np.float32))
            within = self._count % self._per_block
            take = min(self._per_block - within, len(vectors) - done)
            self._blocks[-1][within : within + take] = vectors[done : done + take]
            done += take
            self._count += take

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """Number of the first row, and a view of the rows, block by block."""
        for at, block in enumerate(self._blocks):
            first = at * self._per_block
            yield first, block[: self._count - first]

    def take(self, rows: Rownumbers) -> Vectors:
        """Copies of the rows, ``(M, D)`` float32, in the order asked for."""
        if len(self._blocks) == 1:
            return self._blocks[0][rows]
        out = np.empty((len(rows), self._dimension), np.float32)
        if len(rows) and np.all(rows[1:] >= rows[:-1]):
            starts = np.arange(len(self._blocks) + 1) * self._per_block
            ends = np.searchsorted(rows, starts)
            for at, block in enumerate(self._blocks):
                mine = slice(ends[at], ends[at + 1])
                np.take(block, rows[mine] - starts[at], axis=0, out=out[mine], mode="clip")
            return out
        of = rows // self._per_block
        for at in np.unique(of):
            out[of == at] = self._blocks[at][rows[of == at] - at * self._per_block]
        return out

    def products(self, query: Vectors, rows: Rownumbers) -> NDArray[np.float32]:
        """Inner products of a ``(D,)`` probe with rows in rising order, ``(M,)``, in float32."""
        import faiss

        out = np.empty(len(rows), np.float32)
        starts = [at * self._per_block for at in range(len(self._blocks))]
        ends = [*np.searchsorted(rows, starts).tolist(), len(rows)]
        for block, first, at, end in zip(self._blocks, starts, ends[:-1], ends[1:], strict=True):
            if at < end:
                places = rows[at:end] - first
                faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
                    *[faiss.swig_ptr(part) for part in (out[at:], query, block, places)],
                    len(query),
                    1,
                    end - at,
                )  # without copying the rows
        return out

    def fill(self, holes: Rownumbers, movers: Rownumbers, count: int) -> None:
        """Copy rows ``movers`` over rows ``holes``, keep the first ``count``, zero the others."""
        for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
            self._row(hole)[:] = self._row(mover)
        for row in range(count, self._count):
            self._row(row)[:] = 0
        del self._blocks[-(-count // self._per_block) :]
        self._count = count

    def _row(self, row: int) -> NDArray[np.float32]:
        view: NDArray[np.float32] = self._blocks[row // self._per_block][row % self._per_block]
        return view
