"""Structures that could propose templates, side by side: why the gallery scans all of them.

``python -m benchmarks.gallery_structures`` builds FAISS's inverted file and graph and the gallery's
fast scan over the same synthetic faces, and prints what share of the true closest each proposes
and the processor time of a probe, on one thread. Proposals are counted before exact comparison.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import quantile
from benchmarks.synthetic_faces import Vectors, draw
from benchmarks.tables import Table, load, machine, write_section

_PROBES = 500
_PAGE = "# Search\n\n<!-- begin structures (generated) -->\n<!-- end structures -->\n"


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery_structures")
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--no-graph", action="store_true", help="leave out HNSW, slow to build")
    parser.add_argument("--markdown", type=Path, help="write the table into this page")
    options = parser.parse_args(arguments)
    table = _measured(options.faces, graph=not options.no_graph)
    about = f"{machine()}. Load average {load()}."
    print(table.text() + about)
    if options.markdown:
        text = f"{table.markdown()}\n{about}"
        write_section(options.markdown, "structures", text, page=_PAGE)


def _measured(faces: int, *, graph: bool) -> Table:
    import faiss

    faiss.omp_set_num_threads(1)
    counts = np.where(np.arange(faces) < _PROBES, 2, 1)
    vectors, person = draw(faces, counts, seed=1)
    second = np.r_[False, np.diff(person) == 0]
    probes = (vectors[second], draw(_PROBES, 1, seed=2)[0])
    vectors = vectors[~second]
    true = [np.argmax(kind @ vectors.T, axis=1) for kind in probes]
    d = vectors.shape[1]
    table = Table(
        f"Structures over {faces:,} faces",
        ("structure", "build CPU s", "bytes a face", "CPU ms", "recall, mated", "non-mated"),
        note="Recall: the true closest template is among the candidates (200 of a scan, 1 of the "
        "others, which compare exactly). Bytes: in addition to the templates.",
    )

    def row(name: str, index: Any, build: float, extra: float, proposals: int) -> None:
        found, times = [], []
        for kind, right in zip(probes, true, strict=True):
            hits = 0
            for probe, wanted in zip(kind, right.tolist(), strict=True):
                began = time.thread_time()
                _, rows = index.search(probe[None], proposals)
                times.append(time.thread_time() - began)
                hits += wanted in rows[0]
            found.append(hits / _PROBES)
        cells = (f"{build:.1f}", f"{extra:.0f}", f"{1e3 * quantile(times, 0.5):.2f}")
        table.rows.append((name, *cells, *(f"{share:.3f}" for share in found)))
        print(*table.rows[-1], file=sys.stderr, flush=True)

    flat = faiss.IndexFlatIP(d)
    flat.add(vectors)
    row("all, exact", flat, 0, 0, 1)
    scan = faiss.IndexPQFastScan(d, d // 2, 4, faiss.METRIC_INNER_PRODUCT)
    row("fast scan of all, 4-bit PQ", scan, _built(scan, vectors), 32, 200)
    lists = int(4 * np.sqrt(faces))
    scanned = faiss.index_factory(d, f"IVF{lists},PQ{d // 2}x4fs", faiss.METRIC_INNER_PRODUCT)
    whole = faiss.index_factory(d, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    for name, index, extra, proposals in (
        ("inverted file, exact", whole, 8, 1),
        ("inverted file, fast scan", scanned, 40, 200),
    ):
        build = _built(index, vectors)
        for part in (32, 8, 4, 2):
            faiss.ParameterSpace().set_index_parameter(index, "nprobe", lists // part)
            title = f"{name}: 1 of {part} of {lists:,} lists"
            row(title, index, build, extra, proposals)
    if graph:
        hnsw = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
        build = _built(hnsw, vectors)
        for effort in (64, 256, 1024):
            hnsw.hnsw.efSearch = effort
            row(f"graph (HNSW, M 32), efSearch {effort}", hnsw, build, 272, 1)
    return table


def _built(index: Any, vectors: Vectors) -> float:
    if hasattr(index, "cp"):
        index.cp.niter, index.cp.min_points_per_centroid = 8, 1
    began = time.process_time()
    order: NDArray[np.int64] = np.random.default_rng(0).permutation(len(vectors))
    index.train(vectors[np.sort(order[:100_000])])
    index.add(vectors)
    return time.process_time() - began


if __name__ == "__main__":
    main()
