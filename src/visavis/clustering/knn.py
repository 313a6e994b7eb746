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

_PROBES: Final = 16
_BLOCK: Final = 1 << 15
_TRAINING: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourGraph:
    """Pairs of faces, each once.

    Attributes:
        first: ``(E,)`` int32 row of one face.
        second: ``(E,)`` int32 row of the other, higher than ``first``.
        score: ``(E,)`` float32 cosine similarity.
        kind: how they were found, in words.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    score: NDArray[np.float32]
    kind: str


def neighbour_graph(
    vectors: Vectors,
    *,
    neighbours: int = 64,
    least: float = -1.0,
    exact_up_to: int = EXACT_UP_TO,
) -> NeighbourGraph:
    """Each face joined to its nearest ones: a pair is in if either names the other.

    Up to ``exact_up_to`` faces are compared all with all, by FAISS's flat index; more are first
    sorted into cells around 4 sqrt(N) centres (an inverted file, IVF), and each is compared with
    the faces of the 16 cells nearest to it. The same vectors give the same graph.

    Args:
        vectors: ``(N, D)`` float32 unit rows.
        neighbours: how many of each face, 1 or more.
        least: scores below are left out.
        exact_up_to: faces up to which the graph is exact.

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
        return NeighbourGraph(nothing, nothing, np.zeros(0, dtype=np.float32), "exact")
    index, kind = _index(vectors, exact=n <= exact_up_to)
    keys, scores = [], []
    for start in range(0, n, _BLOCK):
        score, found = index.search(vectors[start : start + _BLOCK], k)
        row = np.arange(start, start + len(score))[:, None]
        kept = (found >= 0) & (found != row) & (score >= least)
        rows = np.broadcast_to(row, found.shape)[kept]
        columns = found[kept]
        keys.append(np.minimum(rows, columns) * n + np.maximum(rows, columns))
        scores.append(score[kept])
    key, first = np.unique(np.concatenate(keys), return_index=True)
    low, high = np.divmod(key, n)
    score = np.minimum(np.concatenate(scores)[first], np.float32(1))
    return NeighbourGraph(low.astype(np.int32), high.astype(np.int32), score, kind)


def _index(vectors: Vectors, *, exact: bool) -> tuple[Any, str]:
    import faiss

    n, d = vectors.shape
    if exact:
        flat = faiss.IndexFlatIP(d)
        flat.add(vectors)
        return flat, "exact"
    cells = min(int(2 ** round(np.log2(4 * np.sqrt(n)))), max(n // _TRAINING, 1))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.spherical = True
    index.cp.niter = 8
    index.cp.seed = 1
    step = max(1, n // (_TRAINING * cells))
    index.train(np.ascontiguousarray(vectors[::step]))
    index.add(vectors)
    index.nprobe = min(_PROBES, cells)
    return index, f"IVF of {cells} cells, {index.nprobe} looked at"
