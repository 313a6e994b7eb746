"""From ten thousand faces to a million: time, memory and accuracy of the default clusterer.

    python -m benchmarks.clustering_scale --plot docs/concepts/clustering-scale.svg

Templates are drawn (``benchmarks.synthetic_faces``), two people in three with one photo, the others
with up to 600, by Zipf's law with exponent 2.2. Each size runs in its own process on two threads,
the k-NN graph included, the drawing not. The bound beside it is the exact k-NN graph alone: all
pairs by FAISS's flat index, timed on 1,000 faces and multiplied. Growth is judged by CPU time,
since wall time follows what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import own_peak
from benchmarks.photos import ROOT
from benchmarks.synthetic_faces import draw
from benchmarks.tables import Table, load

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
THREADS = 2
SAMPLE = 1000


def long_tail(rng: np.random.Generator, people: int) -> NDArray[np.int64]:
    """Photos of each person."""
    return np.minimum(rng.zipf(2.2, people), 600).astype(np.int64)


def measure(faces: int) -> dict[str, Any]:
    """One size, in this process."""
    import faiss

    from visavis.clustering.graph_linkage import GraphLinkage
    from visavis.clustering.knn import EXACT_UP_TO, PROBES, nearest
    from visavis.clustering.thresholds import fmr_curve_of
    from visavis.decision.profile import CalibrationStore
    from visavis.metrics.clustering import scores
    from visavis.pipeline.collection import about_own_mean

    faiss.omp_set_num_threads(THREADS)
    # Some more people than needed, then the first so many faces.
    vectors, who = draw(int(faces / 2.4), long_tail, seed=1)
    vectors, who = np.ascontiguousarray(vectors[:faces]), who[:faces]
    calibration = CalibrationStore().load("sface-lfw")
    wall, cpu = time.perf_counter(), time.process_time()
    calibration = about_own_mean(calibration, vectors, np.ones(len(vectors)))
    vectors = calibration.project(vectors)
    clusterer = GraphLinkage(fmr_curve_of(calibration.points, calibration.reference))
    labels = clusterer.cluster(vectors)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = own_peak()
    found = scores(who, labels)
    sample = np.random.default_rng(0).choice(len(vectors), SAMPLE, replace=False)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    # On one thread: others would wait in loops where the machine is busy, and count.
    faiss.omp_set_num_threads(1)
    began = time.process_time()
    _, truth = flat.search(vectors[sample], 33)
    exact = (time.process_time() - began) * faces / SAMPLE
    faiss.omp_set_num_threads(THREADS)
    del flat
    own, _ = nearest(
        vectors[sample],
        vectors,
        33,
        exact_up_to=10**9 if faces <= EXACT_UP_TO else 0,
        probes=PROBES,
    )
    hit = np.array([np.isin(row, got) for row, got in zip(truth, own, strict=True)])
    other = truth != sample[:, None]
    mate = other & (who[truth] == who[sample][:, None])
    return {
        "faces": faces,
        "people": int(who.max()) + 1,
        "clusters": int(labels.max()) + 1,
        "seconds": wall,
        "cpu": cpu,
        "peak": peak,
        "exact": exact,
        "neighbors": float(hit[other].mean()),
        "mates": float(hit[mate].mean()),
        "pairwise": found.pairwise.to_dict(),
        "bcubed": found.bcubed.to_dict(),
        "load": load(),
    }


def run(faces: int) -> dict[str, Any]:
    """One size, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.clustering_scale", "--one", str(faces)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def table(rows: list[dict[str, Any]]) -> Table:
    """Rows as printed."""
    out = Table(
        "The default clusterer on drawn templates, two threads",
        (
            "faces",
            "people",
            "clusters",
            "s",
            "CPU s",
            "exact k-NN alone, CPU s",
            "ratio",
            "load",
            "peak GiB",
            "mates in the graph",
            "pairwise P / R",
            "B-cubed P / R",
            "B-cubed F1",
        ),
    )
    for row in rows:
        pairs, cubed = row["pairwise"], row["bcubed"]
        out.rows.append(
            (
                f"{row['faces']:,}",
                f"{row['people']:,}",
                f"{row['clusters']:,}",
                f"{row['seconds']:.1f}",
                f"{row['cpu']:.1f}",
                f"{row['exact']:.3g}",
                f"{row['cpu'] / row['exact']:.2g}",
                row["load"],
                f"{row['peak'] / 1024:.1f}",
                f"{row['mates']:.4f}",
                f"{pairs['precision']:.4f} / {pairs['recall']:.4f}",
                f"{cubed['precision']:.4f} / {cubed['recall']:.4f}",
                f"{cubed['f1']:.4f}",
            )
        )
    return out


def growth(rows: list[dict[str, Any]], key: str, *, least: int = 0) -> float:
    """Exponent of N that fits best, from so many faces on."""
    rows = [row for row in rows if row["faces"] >= least]
    return float(
        np.polyfit(np.log([row["faces"] for row in rows]), np.log([row[key] for row in rows]), 1)[0]
    )


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time over faces, both logarithmic, and how it grows."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "visavis"
    n = np.array([row["faces"] for row in rows], dtype=float)
    keys = ("seconds", "exact", "cpu")
    wall, exact, cpu = (np.array([row[key] for row in rows]) for key in keys)
    slope = growth(rows, "cpu")
    loads = [float(row["load"]) for row in rows if row["load"] != "unknown"]
    busy = f" (load up to {max(loads):.0f})" if max(loads, default=0) > THREADS else ""
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    axes.loglog(n, exact, "s--", color="0.6", label="exact k-NN graph alone, CPU time")
    axes.loglog(n, wall, "o:", color="C0", alpha=0.5, label=f"clustering, wall time{busy}")
    axes.loglog(
        n, cpu, "^-", color="C1", label=f"clustering, CPU time, grows as $N^{{{slope:.2f}}}$"
    )
    axes.loglog(n, cpu[0] * n / n[0], ":", color="0.3", label="linear")
    axes.set_xlabel("faces")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering_scale")
    parser.add_argument("--one", type=int, help="measure this size here and print JSON")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--rows", type=Path, help="JSON of the rows, written after each")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    rows = []
    for size in options.sizes:
        rows.append(run(size))
        print(json.dumps(rows[-1]), file=sys.stderr)
        if options.rows:
            options.rows.write_text(json.dumps(rows, indent=1))
    print(table(rows).markdown())
    for least in (0, max(row["faces"] for row in rows) // 10):
        if sum(row["faces"] >= least for row in rows) > 1:
            cpu, wall = (growth(rows, key, least=least) for key in ("cpu", "seconds"))
            print(f"from {least:,} faces on: CPU time ~ N^{cpu:.2f}, wall time ~ N^{wall:.2f}")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
