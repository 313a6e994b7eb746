"""Product quantization of all templates at an eighth of the memory, to find candidates fast.

Each template is split into sub-vectors of a few dimensions; each is replaced by the closest of 16
centroids. A probe is compared with the centroids once. After that, a template costs table lookups,
64 per instruction (André, Kermarrec, Le Scouarnec: Quicker ADC, PAMI 2021; FAISS's ``PQFastScan``).
Every template is scanned; docs/concepts/search.md says why this is no inverted file or graph.

The number of candidates to compare exactly is tuned for the requested recall, on probes simulated
from the templates: one half selects, the other half is reported. *Mated* probes: a template
rotated, in a direction along which templates vary, until the score is one of two photos of a
person. *Non-mated* probes: Gaussian vectors with the templates' mean and covariance, normalized.
"""

from __future__ import annotations

import ctypes
import math
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.forking import load_faiss
from visavis.gallery.index.exact import ROUNDING, all_processors, top_scores
from visavis.types import Record, Vectors

Ids = NDArray[np.int64]

MATED_SCORES: Final = (0.45, 0.80)
"""Range of scores of simulated mated probes, uniform. Of SFace's mated pairs, 3 % score below and a
tenth above (LFW, View 1 training people)."""

MOST_CANDIDATES: Final = 2048
DEEP: Final = 10

# More sub-vectors would overflow the 16-bit sum of lookups.
_MOST_PIECES: Final = 256
_LARGEST_PIECE: Final = 8
_TRAINED_ON: Final = 20_000
_ADDED: Final = 100_000
_GONE: Final = 50
_PROBES: Final = 128
_SAMPLE: Final = 4096
_SPARE: Final = 1.5
_RESERVOIR: Final = 13


def pieces(dimension: int) -> int | None:
    """Returns the number of sub-vectors, or ``None`` if the scan does not support the dimension.

    >>> pieces(128), pieces(512), pieces(1024), pieces(127)
    (64, 256, 256, None)
    """
    for piece in range(2, _LARGEST_PIECE + 1):
        count = dimension // piece
        if dimension % piece == 0 and count <= _MOST_PIECES and count % 2 == 0:
            return count
    return None


_WORTH: Final = 4 << 20
_COLLAPSE: Final = 25
"""``MADV_COLLAPSE`` of Linux 6.1: large pages at once; older kernels do it later or never."""


def ask_for_large_pages(memory: NDArray[Any]) -> None:
    """Asks Linux to use 2 MiB pages for an array; content and address stay the same.

    Each search reads all codes; large pages save a sixth of its time.
    """
    if sys.platform == "linux" and memory.nbytes >= _WORTH:
        import mmap

        start = -(-memory.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
        size = memory.ctypes.data + memory.nbytes - start
        for advice in (mmap.MADV_HUGEPAGE, _COLLAPSE):
            _madvise()(start, size, advice)


@cache
def _madvise() -> Any:
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call


class FastScan:
    """FAISS index over all rows. Removed rows are skipped, and dropped at the next ``refill``.

    Args:
        rows: ``(N, D)`` templates of a dimension that ``pieces`` supports. The result is
            deterministic.

    Attributes:
        gone: number of removed rows that it still contains.
    """

    def __init__(self, rows: Vectors) -> None:
        faiss = load_faiss()
        dimension = rows.shape[1]
        self._index: Any = faiss.IndexPQFastScan(
            dimension, pieces(dimension) or 1, 4, faiss.METRIC_INNER_PRODUCT
        )
        self._index.pq.cp.min_points_per_centroid = 1
        sample = np.random.default_rng(0).choice(
            len(rows), min(_TRAINED_ON, len(rows)), replace=False
        )
        self._index.train(rows[np.sort(sample)])
        self.refill(rows)

    @classmethod
    def of_bytes(cls, data: bytes) -> FastScan:
        """Reads a scan from ``to_bytes``.

        Raises:
            RuntimeError: the data are something else.
        """
        faiss = load_faiss()
        scan = object.__new__(cls)
        scan._index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        if not isinstance(scan._index, faiss.IndexPQFastScan):
            raise RuntimeError("not a fast scan")
        scan._rows, scan.gone = np.arange(scan._index.ntotal, dtype=np.int32), 0
        scan._lie_in_large_pages()
        return scan

    def to_bytes(self) -> memoryview:
        """Returns the scan in FAISS's format; call ``refill`` first if rows were removed."""
        faiss = load_faiss()
        self._index.implem = 0  # stored, too; independent of the codes
        data: NDArray[np.uint8] = faiss.serialize_index(self._index)
        return data.data

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and dimension."""
        return int(self._index.ntotal), int(self._index.d)

    @property
    def nbytes(self) -> int:
        """Size of the codes in bytes."""
        return int(self._index.codes.size())

    @property
    def worn(self) -> bool:
        """Whether so many rows were removed that ``refill`` is due."""
        return self.gone * _GONE > len(self._rows)

    def refill(self, rows: Vectors) -> None:
        """Encodes all rows again with the trained centroids."""
        self._index.reset()
        self._rows, self.gone = np.empty(0, np.int32), 0
        with all_processors():
            for start in range(0, len(rows), _ADDED):
                self.add(rows[start : start + _ADDED], start)
        self._lie_in_large_pages()

    def add(self, rows: Vectors, first: int) -> None:
        """Adds rows, numbered from ``first``."""
        if len(rows):  # FAISS 1.15 reads out of bounds
            before = self._index.codes.data()
            self._index.add(np.ascontiguousarray(rows))
            if self._index.codes.data() != before:
                self._lie_in_large_pages()
            self._rows = np.append(self._rows, np.arange(first, first + len(rows), dtype=np.int32))

    def _lie_in_large_pages(self) -> None:
        faiss = load_faiss()
        if self.nbytes:
            ask_for_large_pages(faiss.rev_swig_ptr(self._index.codes.data(), self.nbytes))

    def remove(self, kept: NDArray[np.bool_]) -> None:
        """Marks removed rows and renumbers the others."""
        after = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        self._rows = np.append(after, np.int32(-1))[self._rows]  # removed rows stay removed
        self.gone = int(np.count_nonzero(self._rows < 0))

    def candidates(self, queries: Vectors, count: int) -> list[Ids]:
        """Returns up to ``count`` candidate rows for each ``(Q, D)`` probe, best first."""
        # For one probe, the reservoir kernel is faster than FAISS's default.
        self._index.implem = _RESERVOIR if len(queries) == 1 else 0
        _, found = self._index.search(queries, min(count, len(self._rows)))
        proposed = (self._rows[line[line >= 0]].astype(np.int64) for line in found)
        return [rows[rows >= 0] for rows in proposed]


@dataclass(frozen=True, slots=True)
class Tuning(Record):
    """Tuned numbers of candidates and measured recall.

    Attributes:
        size: number of templates at the time.
        one: candidates for the closest template.
        ten: candidates for the ten closest.
        mated: recall of the closest template, mated probes.
        non_mated: the same for non-mated probes.
        mated_ten: recall of the ten closest, mated probes.
        non_mated_ten: the same for non-mated probes.
        probes: number of probes of each kind behind these figures.
    """

    size: int
    one: int
    ten: int
    mated: float
    non_mated: float
    mated_ten: float
    non_mated_ten: float
    probes: int

    def candidates(self, k: int, size: int) -> int:
        """Returns the number of candidates for the ``k`` closest of ``size`` templates.

        Up to ten, a power of ``k`` through the tuned values for one and ten; above, four for each
        further place. The recall of the first ten holds; that of later places may be lower.
        """
        many: float = self.one * min(k, DEEP) ** math.log10(self.ten / self.one)
        return math.ceil(max(many, 4 * k) * math.sqrt(max(size / self.size, 1)))


def tune(rows: Vectors, scan: FastScan, *, recall: float) -> Tuning | None:
    """Tunes the number of candidates on some probes and measures the recall on others.

    Returns ``None`` if even ``MOST_CANDIDATES`` are too few for mated probes. Non-mated probes
    reach the recall, too, as far as ``MOST_CANDIDATES`` allow.
    """
    rng = np.random.default_rng(len(rows))
    mated, non_mated = probes(rows, 2 * _PROBES, rng)
    first, ten = _ranks(rows, scan, np.concatenate([mated, non_mated]))
    chosen_first, shown_first = first.reshape(2, 2, _PROBES).swapaxes(0, 1)
    chosen_ten, shown_ten = ten.reshape(2, 2, _PROBES, DEEP).swapaxes(0, 1)
    # With so few probes the last one or two are chance: aim halfway between the recall and 1. Ten
    # times as many ranks need no such margin.
    sure = (1 + recall) / 2
    if _needed(chosen_first[0], sure) > MOST_CANDIDATES:
        return None
    count = [
        min(int(_SPARE * max(_needed(kind, share) for kind in kinds)) + 16, MOST_CANDIDATES)
        for kinds, share in ((chosen_first, sure), (chosen_ten, recall))
    ]
    count[1] = max(count)
    return Tuning(
        size=len(rows),
        one=count[0],
        ten=count[1],
        mated=float((shown_first[0] < count[0]).mean()),
        non_mated=float((shown_first[1] < count[0]).mean()),
        mated_ten=float((shown_ten[0] < count[1]).mean()),
        non_mated_ten=float((shown_ten[1] < count[1]).mean()),
        probes=_PROBES,
    )


def probes(rows: Vectors, count: int, rng: np.random.Generator) -> tuple[Vectors, Vectors]:
    """Returns ``count`` mated and as many non-mated probes, ``(count, D)`` each; see the module."""
    sample = rows[np.sort(rng.choice(len(rows), min(_SAMPLE, len(rows)), replace=False))]
    mean = sample.mean(axis=0)
    spread = (sample - mean) / np.float32(np.sqrt(len(sample)))

    def deviates() -> Vectors:
        weights = rng.standard_normal((count, len(sample)), np.float32)
        out: Vectors = weights @ spread
        return out

    own = rows[rng.choice(len(rows), count)]
    away = deviates()
    away -= np.sum(away * own, axis=1, keepdims=True) * own
    cosine = rng.permutation(np.linspace(*MATED_SCORES, count, dtype=np.float32))[:, None]
    mated = cosine * own + np.sqrt(1 - cosine**2) * _unit(away)
    return _unit(mated), _unit(mean + deviates())


def _unit(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    out: Vectors = vectors / np.maximum(length, np.float32(1e-12))
    return out


def _ranks(
    rows: Vectors, scan: FastScan, queries: Vectors
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns ranks among the candidates, from 0, of the true closest ``(Q,)`` and the true ten
    ``(Q, 10)``. Templates with equal scores are interchangeable."""
    ten = np.full((len(queries), DEEP), MOST_CANDIDATES, np.int64)
    first = np.full(len(queries), MOST_CANDIDATES, np.int64)
    with all_processors():
        true = top_scores(rows, queries, DEEP)
        proposed = scan.candidates(queries, MOST_CANDIDATES)
    for number, (query, best, at) in enumerate(zip(queries, true, proposed, strict=True)):
        scores = rows[at] @ query
        hits = np.flatnonzero(scores >= best[-1] - ROUNDING)[:DEEP]
        ten[number, : len(hits)] = hits
        first[number] = min(np.flatnonzero(scores >= best[0] - ROUNDING), default=MOST_CANDIDATES)
    return first, ten


def _needed(ranks: NDArray[np.int64], recall: float) -> int:
    return int(np.quantile(ranks, recall, method="higher")) + 1
