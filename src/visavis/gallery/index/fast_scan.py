"""A pass over all templates at an eighth of the memory and speed to match, to propose the best.

Each template is cut into pieces of a few dimensions, each piece replaced by the closest of 16
representatives; a probe is compared with the representatives once, and then every template costs
table look-ups that the processor does 64 at a time (André, Kermarrec, Le Scouarnec: Quicker ADC,
PAMI 2021; FAISS's ``PQFastScan``). All templates are looked at: why not an inverted file or a
graph is in ``docs/concepts/search.md``.

How many proposals must be compared exactly for the recall asked for is measured with two kinds of
probes made from the templates themselves, half of each to choose by and half to report by.
*Mated*: a template turned away from itself until their score is one that two photos of a person
have, in a direction along which templates differ. *Strangers*: a normal deviate with the templates'
mean and covariance, of unit length: nobody in particular who looks like the enrolled.
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

from visavis.gallery.index.exact import ROUNDING, all_processors, top_scores
from visavis.types import Record, Vectors

Ids = NDArray[np.int64]

MATED_SCORES: Final = (0.45, 0.80)
"""Scores between a mated probe and its template, evenly spread: the lowest 3 % of SFace's mated
pairs score below, a tenth above (LFW, View 1 training people)."""

MOST_CANDIDATES: Final = 2048
DEEP: Final = 10

# More pieces overflow the 16 bits that the sum of look-ups is kept in.
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
    """Pieces a template is cut into, or ``None`` where the scan does not suit the dimension.

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
"""``MADV_COLLAPSE`` of Linux 6.1, at once; elsewhere it happens in time or not at all."""


def ask_for_large_pages(memory: NDArray[Any]) -> None:
    """Have Linux put an array, which stays what and where it is, into 2 MiB pages if it can.

    The codes are read from end to end at every search; with large pages that takes a sixth less.
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
    """FAISS's index over all rows. What is removed is passed over, and gone when it is made anew.

    Args:
        rows: ``(N, D)`` templates, of a length that ``pieces`` accepts; the same ones give the same
            scan.

    Attributes:
        gone: rows in it that were removed.
    """

    def __init__(self, rows: Vectors) -> None:
        import faiss

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
        """A scan from what ``to_bytes`` gave.

        Raises:
            RuntimeError: it is something else.
        """
        import faiss

        scan = object.__new__(cls)
        scan._index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        if not isinstance(scan._index, faiss.IndexPQFastScan):
            raise RuntimeError("not a fast scan")
        scan._rows, scan.gone = np.arange(scan._index.ntotal, dtype=np.int32), 0
        scan._lie_in_large_pages()
        return scan

    def to_bytes(self) -> memoryview:
        """The whole scan, in FAISS's own format; ``refill`` it before if anything was removed."""
        import faiss

        self._index.implem = 0  # written as well, and says nothing of the codes
        data: NDArray[np.uint8] = faiss.serialize_index(self._index)
        return data.data

    @property
    def size(self) -> tuple[int, int]:
        """Rows in it, and their length."""
        return int(self._index.ntotal), int(self._index.d)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return int(self._index.codes.size())

    @property
    def worn(self) -> bool:
        """Whether so many were removed that it should be filled again."""
        return self.gone * _GONE > len(self._rows)

    def refill(self, rows: Vectors) -> None:
        """Encode all rows again, with the representatives that were trained."""
        self._index.reset()
        self._rows, self.gone = np.empty(0, np.int32), 0
        with all_processors():
            for start in range(0, len(rows), _ADDED):
                self.add(rows[start : start + _ADDED], start)
        self._lie_in_large_pages()

    def add(self, rows: Vectors, first: int) -> None:
        """Add rows that are numbered from ``first`` on."""
        if len(rows):  # FAISS 1.15 reads where nothing is
            before = self._index.codes.data()
            self._index.add(np.ascontiguousarray(rows))
            if self._index.codes.data() != before:
                self._lie_in_large_pages()
            self._rows = np.append(self._rows, np.arange(first, first + len(rows), dtype=np.int32))

    def _lie_in_large_pages(self) -> None:
        import faiss

        if self.nbytes:
            ask_for_large_pages(faiss.rev_swig_ptr(self._index.codes.data(), self.nbytes))

    def remove(self, kept: NDArray[np.bool_]) -> None:
        """Take note of rows that are no longer there; the others are numbered anew."""
        after = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        self._rows = np.append(after, np.int32(-1))[self._rows]  # the gone stay so
        self.gone = int(np.count_nonzero(self._rows < 0))

    def candidates(self, queries: Vectors, count: int) -> list[Ids]:
        """Up to ``count`` rows that seem closest to each ``(Q, D)`` probe, best first."""
        # For one probe the kernel that keeps a reservoir is faster than FAISS's own choice.
        self._index.implem = _RESERVOIR if len(queries) == 1 else 0
        _, found = self._index.search(queries, min(count, len(self._rows)))
        proposed = (self._rows[line[line >= 0]].astype(np.int64) for line in found)
        return [rows[rows >= 0] for rows in proposed]


@dataclass(frozen=True, slots=True)
class Tuning(Record):
    """What was chosen and measured.

    Attributes:
        size: templates when it was.
        one: candidates for the closest template.
        ten: candidates for the ten closest.
        mated: share of mated probes whose closest template is found.
        non_mated: the same for strangers.
        mated_ten: share of the ten closest that are found, of mated probes.
        non_mated_ten: the same for strangers.
        probes: probes of each kind that these were measured with.
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
        """Candidates for the ``k`` closest among ``size`` templates.

        Up to ten, a power of ``k`` through what was measured for one and for ten; beyond, four for
        each asked for: the first ten keep their recall, those after them may have less.
        """
        many: float = self.one * min(k, DEEP) ** math.log10(self.ten / self.one)
        return math.ceil(max(many, 4 * k) * math.sqrt(max(size / self.size, 1)))


def tune(rows: Vectors, scan: FastScan, *, recall: float) -> Tuning | None:
    """Measure, choose, and measure the choice on other probes; ``None`` where even
    ``MOST_CANDIDATES`` are too few for mated probes.

    The choice holds for strangers as well wherever ``MOST_CANDIDATES`` allow.
    """
    rng = np.random.default_rng(len(rows))
    mated, non_mated = probes(rows, 2 * _PROBES, rng)
    first, ten = _ranks(rows, scan, np.concatenate([mated, non_mated]))
    chosen_first, shown_first = first.reshape(2, 2, _PROBES).swapaxes(0, 1)
    chosen_ten, shown_ten = ten.reshape(2, 2, _PROBES, DEEP).swapaxes(0, 1)
    # Of so few probes the last one or two are luck, so halfway from the recall to all of them; ten
    # times as many ranks need no such care.
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
    """``count`` mated probes and as many strangers, ``(count, D)`` each; see above."""
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
    """Places among the candidates, from 0, of the true closest ``(Q,)`` and of the true ten
    ``(Q, 10)``. Who is that is told by score: equal templates stand for each other."""
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
