"""Template vectors in memory, once: blocks that never move, numbered row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.codec import Codec
from visavis.types import Vectors

BLOCK_BYTES = 256 << 20
_DECODED = 16_384

Rownumbers = NDArray[np.int64]


class Rows:
    """An ``(N, D)`` float32 matrix kept in blocks, as it is or coded.

    Growing allocates one more block and copies nothing, so the peak is the steady size; pages of a
    block that hold no row yet take no memory.

    Args:
        codec: how a row is kept.
        block_bytes: size of a block.
    """

    def __init__(self, codec: Codec, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.codec = codec
        self._width = codec.columns * np.dtype(codec.dtype).itemsize
        self._per_block = max(block_bytes // self._width, 1)
        self._blocks: list[NDArray[Any]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, vectors: Vectors) -> None:
        """Put ``(M, D)`` after the last row."""
        self.append_coded(self.codec.encode(vectors))

    def append_coded(self, codes: NDArray[Any]) -> None:
        """Put rows that are coded already after the last row."""
        done = 0
        while done < len(codes):
            if self._count == len(self._blocks) * self._per_block:
                shape = (self._per_block, self.codec.columns)
                self._blocks.append(np.empty(shape, self.codec.dtype))
            within = self._count % self._per_block
            take = min(self._per_block - within, len(codes) - done)
            self._blocks[-1][within : within + take] = codes[done : done + take]
            done += take
            self._count += take

    def coded(self) -> Iterator[NDArray[Any]]:
        """Views of all rows as they are kept, block by block."""
        for at, block in enumerate(self._blocks):
            yield block[: self._count - at * self._per_block]

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """Number of the first row, and the rows, block by block; views where they are not coded."""
        first = 0
        for codes in self.coded():
            step = len(codes) if self.codec.exact else _DECODED
            for start in range(0, len(codes), step):
                yield first + start, self.codec.decode(codes[start : start + step])
            first += len(codes)

    def take(self, rows: Rownumbers) -> Vectors:
        """Copies of the rows, ``(M, D)`` float32, in the order asked for."""
        if len(self._blocks) == 1:
            return self.codec.decode(self._blocks[0][rows])
        out = np.empty((len(rows), self.codec.columns), self.codec.dtype)
        if len(rows) and np.all(rows[1:] >= rows[:-1]):
            starts = np.arange(len(self._blocks) + 1) * self._per_block
            ends = np.searchsorted(rows, starts)
            for at, block in enumerate(self._blocks):
                mine = slice(ends[at], ends[at + 1])
                np.take(block, rows[mine] - starts[at], axis=0, out=out[mine], mode="clip")
            return self.codec.decode(out)
        of = rows // self._per_block
        for at in np.unique(of):
            out[of == at] = self._blocks[at][rows[of == at] - at * self._per_block]
        return self.codec.decode(out)

    def products(self, query: Vectors, rows: Rownumbers) -> NDArray[np.float32]:
        """Inner products of a ``(D,)`` probe with rows in rising order, ``(M,)``, in float32."""
        import faiss

        out = np.empty(len(rows), np.float32)
        if not self.codec.exact:
            return np.matmul(self.take(rows), query, out=out)
        starts = [at * self._per_block for at in range(len(self._blocks))]
        ends = [*np.searchsorted(rows, starts).tolist(), len(rows)]
        for block, first, at, end in zip(self._blocks, starts, ends[:-1], ends[1:], strict=True):
            if at < end:
                places = rows[at:end] - first
                faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
                    *map(faiss.swig_ptr, (out[at:], query, block, places)), len(query), 1, end - at
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

    def recoded(self, codec: Codec) -> Rows:
        """The same rows kept by another codec; this object gives its blocks away as it goes and
        is empty afterwards."""
        out = Rows(codec)
        left = self._count
        self._blocks.reverse()
        while self._blocks:
            block = self._blocks.pop()[:left]
            for start in range(0, len(block), _DECODED):
                out.append(self.codec.decode(block[start : start + _DECODED]))
            left -= len(block)
        self._count = 0
        return out

    def _row(self, row: int) -> NDArray[Any]:
        view: NDArray[Any] = self._blocks[row // self._per_block][row % self._per_block]
        return view
