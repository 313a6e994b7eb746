"""Template vectors in memory, once: blocks that never move, numbered row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

BLOCK_BYTES = 64 << 20


class Rows:
    """An append-only ``(N, D)`` float32 matrix kept in blocks.

    Growing allocates one more block and copies nothing, so the peak is the steady size; pages of a
    block that hold no row yet take no memory. A row that was erased is NaN: no comparison with its
    scores is true, so it never gets into a list of best scores, and nothing of it is left.

    Args:
        dimension: ``D``.
        block_bytes: size of a block.
    """

    def __init__(self, dimension: int, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.dimension = dimension
        self._per_block = max(block_bytes // (4 * dimension), 1)
        self._blocks: list[Vectors] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the rows, erased ones included."""
        return 4 * self.dimension * self._count

    def append(self, vectors: Vectors) -> None:
        """Put ``(M, D)`` after the last row."""
        done = 0
        while done < len(vectors):
            within = self._count % self._per_block
            if within == 0 and self._count == len(self._blocks) * self._per_block:
                self._blocks.append(np.empty((self._per_block, self.dimension), np.float32))
            take = min(self._per_block - within, len(vectors) - done)
            self._blocks[-1][within : within + take] = vectors[done : done + take]
            done += take
            self._count += take

    def blocks(self, start: int = 0) -> Iterator[tuple[int, Vectors]]:
        """Number of the first row, and a view of the rows, block by block from row ``start``."""
        for at in range(start // self._per_block, len(self._blocks)):
            first = at * self._per_block
            skip, end = max(start - first, 0), min(self._count - first, self._per_block)
            if end > skip:
                yield first + skip, self._blocks[at][skip:end]

    def take(self, rows: NDArray[np.int64]) -> Vectors:
        """Copies of the rows, ``(M, D)`` float32, in the order asked for."""
        if len(self._blocks) == 1:
            return self._blocks[0][rows]
        out = np.empty((len(rows), self.dimension), np.float32)
        block = rows // self._per_block
        for at in np.unique(block):
            mine = block == at
            out[mine] = self._blocks[at][rows[mine] - at * self._per_block]
        return out

    def erase(self, rows: NDArray[np.int64]) -> None:
        """Overwrite rows with NaN."""
        block = rows // self._per_block
        for at in np.unique(block):
            self._blocks[at][rows[block == at] - at * self._per_block] = np.nan
