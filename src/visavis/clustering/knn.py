"""Nearest-neighbor graph of faces, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.cells import Neighbors, cells_for, search_cells
from visavis.errors import OptionError
from visavis.forking import load_faiss
from visavis.types import Vectors

EXACT_UP_TO: Final = 20_000
"""Number of faces up to which all pairs are compared."""

PROBES: Final = 16
"""Cells searched per face beyond that."""

_BLOCK: Final = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class NeighborGraph:
    """Pairs of near faces, each once.

    Attributes:
        first: ``(E,)`` int32 row of one face.
        second: ``(E,)`` int32 row of the other, higher than ``first``.
        kind: search method, for messages.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    kind: str


def neighbor_graph(
    vectors: Vectors,
    *,
    neighbors: int = 32,
    least: float = -1.0,
    exact_up_to: int = EXACT_UP_TO,
    probes: int = PROBES,
) -> NeighborGraph:
    """Builds the k-NN graph: a pair is included if either face is a neighbor of the other.

    Up to ``exact_up_to`` faces, all pairs are compared with FAISS's flat index. Beyond, faces are
    grouped into cells of about 256 and compared with the ``probes`` nearest cells (``cells``).
    Deterministic.

    Args:
        vectors: ``(N, D)`` float32 unit rows.
        neighbors: neighbors per face, 1 or more.
        least: pairs with a lower score are left out.
        exact_up_to: number of faces up to which the graph is exact.
        probes: cells searched per face beyond that.

    >>> rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    >>> graph = neighbor_graph(rows, neighbors=1)
    >>> graph.first, graph.second
    (array([0, 1], dtype=int32), array([1, 2], dtype=int32))
    """
    if neighbors < 1:
        raise OptionError(f"{neighbors} neighbors", "ask for 1 or more")
    n, k = len(vectors), min(neighbors + 1, len(vectors))
    if n < 2:
        nothing = np.zeros(0, dtype=np.int32)
        return NeighborGraph(nothing, nothing, "exact")
    if n <= exact_up_to:
        kind, blocks = "exact", _exact(vectors, vectors, k)
    else:
        cells = cells_for(n)
        kind = f"{cells} cells, {min(probes, cells)} looked at"
        blocks = iter([search_cells(vectors, vectors, k, probes=probes, least=least)])
    keys = []
    for found in blocks:
        kept = (found.row != found.query) & (found.product >= least)
        one, other = found.query[kept].astype(np.int64), found.row[kept]
        keys.append(np.minimum(one, other) * n + np.maximum(one, other))
    key = np.sort(np.concatenate(keys))
    low, high = np.divmod(key[np.diff(key, prepend=-1) > 0], n)
    return NeighborGraph(low.astype(np.int32), high.astype(np.int32), kind)


def nearest(
    queries: Vectors,
    base: Vectors,
    k: int = 1,
    *,
    exact_up_to: int = EXACT_UP_TO,
    probes: int = 2 * PROBES,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Finds the k rows of ``base`` with the highest dot products for each query.

    Args:
        queries: ``(Q, D)`` float32.
        base: ``(K, D)`` float32, at least ``k`` rows; need not be of unit length.
        k: rows per query.
        exact_up_to: the search is exact up to the square of this number of products.
        probes: cells searched per query beyond that.

    Returns:
        ``(Q, k)`` rows, -1 where fewer were found, and ``(Q, k)`` products.

    >>> nearest(np.eye(2, dtype=np.float32), np.array([[0, 1]], dtype=np.float32))[0]
    array([[0],
           [0]])
    """
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    products = np.full((len(queries), k), -np.inf, dtype=np.float32)
    if len(queries) * len(base) <= exact_up_to**2:
        blocks = _exact(queries, base, k)
    else:
        blocks = iter([search_cells(queries, base, k, probes=probes)])
    for found in blocks:
        order = np.lexsort((found.row, -found.product, found.query))
        query = found.query[order]
        # Rank within its query.
        place = np.arange(len(query)) - np.searchsorted(query, query)
        rows[query, place] = found.row[order]
        products[query, place] = found.product[order]
    return rows, products


def _exact(queries: Vectors, base: Vectors, k: int) -> Iterator[Neighbors]:
    """Yields exact results in blocks of queries."""
    faiss = load_faiss()
    flat = faiss.IndexFlatIP(base.shape[1])
    flat.add(base)
    for start in range(0, len(queries), _BLOCK):
        product, row = flat.search(queries[start : start + _BLOCK], k)
        query = np.repeat(np.arange(start, start + len(row), dtype=np.int32), k)
        yield Neighbors(query, row.ravel().astype(np.int32), product.ravel())
