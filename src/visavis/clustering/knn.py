"""Who is near whom: a graph of each face's nearest neighbours, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.types import Vectors

EXACT_UP_TO: Final = 60_000
"""Faces up to which every pair is looked at."""

PROBES: Final = 8
"""Cells looked at for each face beyond that."""

_BLOCK: Final = 1 << 15
_TRAINING: Final = 40


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourGraph:
    """Pairs of faces, each once.

    Attributes:
        first: ``(E,)`` int32 row of one face.
        second: ``(E,)`` int32 row of the other, higher than ``first``.
        kind: how they were found, in words.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    kind: str


def neighbour_graph(
    vectors: Vectors,
    *,
    neighbours: int = 32,
    least: float = -1.0,
    exact_up_to: int = EXACT_UP_TO,
    probes: int = PROBES,
) -> NeighbourGraph:
    """Each face joined to its nearest ones: a pair is in if either names the other.

    Up to ``exact_up_to`` faces are compared all with all, by FAISS's flat index; more are first
    sorted into cells around 2 sqrt(N) centres (an inverted file, IVF), and each is compared with
    the faces of the ``probes`` cells nearest to it. The same vectors give the same graph.

    Args:
        vectors: ``(N, D)`` float32 unit rows.
        neighbours: how many of each face, 1 or more.
        least: scores below are left out.
        exact_up_to: faces up to which the graph is exact.
        probes: cells looked at for each face beyond that.

    >>> rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    >>> graph = neighbour_graph(rows, neighbours=1)
    >>> graph.first, graph.second
    (array([0, 1], dtype=int32), array([1, 2], dtype=int32))
    """
    if neighbours < 1:
        raise OptionError(f"{neighbours} neighbours", "ask for 1 or more")
    n, k = len(vectors), min(neighbours + 1, len(vectors))
    if n < 2:
        nothing = np.zeros(0, dtype=np.int32)
        return NeighbourGraph(nothing, nothing, "exact")
    index, kind = _index(vectors, probes=0 if n <= exact_up_to else probes)
    keys = []
    for start in range(0, n, _BLOCK):
        score, found = index.search(vectors[start : start + _BLOCK], k)
        row = np.arange(start, start + len(score))[:, None]
        kept = (found >= 0) & (found != row) & (score >= least)
        rows = np.broadcast_to(row, found.shape)[kept]
        columns = found[kept]
        keys.append(np.minimum(rows, columns) * n + np.maximum(rows, columns))
    key = np.sort(np.concatenate(keys))
    low, high = np.divmod(key[np.diff(key, prepend=-1) > 0], n)
    return NeighbourGraph(low.astype(np.int32), high.astype(np.int32), kind)


def nearest(
    queries: Vectors,
    base: Vectors,
    k: int = 1,
    *,
    exact_up_to: int = EXACT_UP_TO,
    probes: int = 4 * PROBES,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k rows of ``base`` with the highest dot products for each query, and those products.

    Args:
        queries: ``(Q, D)`` float32.
        base: ``(K, D)`` float32, at least ``k`` rows; need not be of unit length.
        k: how many.
        exact_up_to: all are compared with all up to as many products as this number's square.
        probes: cells looked at for each query beyond that.

    Returns:
        ``(Q, k)`` rows, -1 where fewer were looked at, and ``(Q, k)`` products.

    >>> nearest(np.eye(2, dtype=np.float32), np.array([[0, 1]], dtype=np.float32))[0]
    array([[0],
           [0]])
    """
    exact = len(queries) * len(base) <= exact_up_to**2
    index, _ = _index(base, probes=0 if exact else probes)
    found = np.empty((len(queries), k), dtype=np.int64)
    score = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), _BLOCK):
        block = slice(start, start + _BLOCK)
        score[block], found[block] = index.search(queries[block], k)
    return found, score


def _index(vectors: Vectors, *, probes: int) -> tuple[Any, str]:
    import faiss

    n, d = vectors.shape
    if not probes:
        flat = faiss.IndexFlatIP(d)
        flat.add(vectors)
        return flat, "exact"
    cells = min(int(2 ** round(np.log2(2 * np.sqrt(n)))), max(n // _TRAINING, 1))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.spherical = True
    index.cp.niter = 8
    index.cp.seed = 1
    step = max(1, n // (_TRAINING * cells))
    index.train(np.ascontiguousarray(vectors[::step]))
    index.add(vectors)
    index.nprobe = min(probes, cells)
    return index, f"IVF of {cells} cells, {index.nprobe} looked at"
