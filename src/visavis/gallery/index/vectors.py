"""The rows of an index, and the structure that proposes some of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.index.exact import all_processors, nearest
from visavis.gallery.index.fast_scan import FastScan, pieces
from visavis.gallery.index.options import IndexOptions
from visavis.gallery.index.tuning import Tuning, tune
from visavis.gallery.index.vector_store import VectorStore
from visavis.types import Vectors

Ids = NDArray[np.int64]
_SAMPLE = 20_000
_GROWTH = 3


class VectorIndex:
    """Rows with or without a fast scan over them, kept in step.

    Args:
        dimension: length of a template.
        options: what is asked of the search.
    """

    def __init__(self, dimension: int, *, options: IndexOptions) -> None:
        self.dimension = dimension
        self.options = options
        self.rows = VectorStore(dimension)
        self.scan: FastScan | None = None
        self.tuning: Tuning | None = None
        self._hopeless = 0

    def append(self, vectors: Vectors) -> None:
        """Put ``(M, D)`` after the last row."""
        self.rows.append(vectors)
        if self.scan is not None:
            self.scan.add(vectors)

    def fill(self, holes: Ids, movers: Ids, count: int) -> None:
        """Copy rows ``movers`` over ``holes``, keep the first ``count``."""
        self.rows.fill(holes, movers, count)
        if self.scan is None:
            return
        # Half as many: a gallery around the bound does not build and drop in turn.
        if count <= self.options.exact_up_to // 2:
            self.scan = self.tuning = None
        else:
            self.scan.fill(holes, movers, count)

    def propose(self, queries: Vectors, k: int) -> list[Ids]:
        """Rows that hold the ``k`` closest to each probe: all of them, or with the recall asked.

        Call ``settle`` before.
        """
        size = len(self.rows)
        if self.scan is not None and self.tuning is not None:
            count = self.tuning.candidates(k, size)
            if 8 * count <= size:
                return list(self.scan.candidates(queries, count))
        return nearest(self.rows, queries, k)

    @property
    def settled(self) -> bool:
        """Whether ``settle`` has nothing to do."""
        size = len(self.rows)
        return (
            size <= self.options.exact_up_to
            or self.options.recall == 1
            or pieces(self.dimension) is None
            or size < _GROWTH * (self.tuning.size if self.tuning else self._hopeless)
        )

    def settle(self) -> None:
        """Build the structure where the rows have become many; measure again where they are
        three times as many as when it was measured."""
        if self.settled:
            return
        size = len(self.rows)
        if self.scan is not None:
            self.tuning = tune(self.rows, self.scan, recall=self.options.recall)
        if self.tuning is None or self.scan is None:
            self.scan = self._built()
            self.tuning = tune(self.rows, self.scan, recall=self.options.recall)
        if self.tuning is None:
            self.scan, self._hopeless = None, size

    def describe(self) -> str:
        """The structure in words."""
        if not self.settled:
            return f"{len(self.rows):,} templates (float32), arranged at the next search"
        if self.scan is None or self.tuning is None:
            why = ""
            if self._hopeless:
                why = "; a fast scan did not reach the recall asked"
            return f"exact search of {len(self.rows):,} templates (float32){why}"
        t = self.tuning
        return (
            f"fast scan of {len(self.rows):,} templates (4-bit product quantizer, "
            f"{self.scan.nbytes // max(len(self.rows), 1)} bytes each), the best "
            f"{self.tuning.candidates(1, len(self.rows))} compared exactly (float32); recall of "
            f"the closest: asked {self.options.recall:g}, measured at {t.size:,} templates "
            f"{t.mated:.3f} for mated probes, {t.strangers:.3f} for strangers; of the ten closest "
            f"{t.mated_ten:.3f} and {t.strangers_ten:.3f} ({t.probes} probes each)"
        )

    def _built(self) -> FastScan:
        scan = FastScan(self.dimension)
        rng = np.random.default_rng(0)
        size = len(self.rows)
        chosen = np.sort(rng.choice(size, min(_SAMPLE, size), replace=False))
        scan.train(self.rows.take(chosen))
        with all_processors():
            for _, block in self.rows.blocks():
                scan.add(block)
        return scan
