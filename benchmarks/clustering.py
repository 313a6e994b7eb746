"""Every clustering algorithm on LFW: accuracy at its defaults, time and memory.

    python -m benchmarks.clustering --lfw ../shared/data/lfw

All defaults were chosen on View 1's training people; ``--part test`` are the people of View 1's
test list, whom nothing was chosen on, ``all`` is all of LFW (13,233 photos, 5,749 people), what the
literature reports on. Templates are about their own mean, as ``visavis cluster`` has them; one row
shows the default on templates as they are. Each algorithm runs in its own process on two threads.
The last row is a peer and a bound: SciPy's average linkage at the one threshold, of 40, whose
B-cubed F1 is best, which takes the labels to know.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import own_peak
from benchmarks.photos import ROOT, data_folder
from benchmarks.score_clusterers import NAMES, cluster
from benchmarks.tables import Table, load

ORACLE = "SciPy average linkage, best threshold known afterwards"
PLAIN = "graph-linkage, templates as they are"
THREADS = 2
PARTS = ("train", "test", "all")


def templates(lfw: Path) -> dict[str, NDArray[Any]]:
    """Template, person and quality score of the central face of every photo; cached as the commands
    do."""
    from visavis.api.options import embeddings
    from visavis.cli.output import home
    from visavis.embedding.cache import EmbeddingCache
    from visavis.faces.quality import quality_score
    from visavis.pipeline import Recognizer, RecognizerOptions

    photos = sorted((lfw / "lfw-deepfunneled").glob("*/*.jpg"))
    recognizer = Recognizer(options=RecognizerOptions(runtime="openvino"))
    vectors, who, usable = [], [], []
    with EmbeddingCache(embeddings(home())) as cache:
        for photo, result in zip(
            photos, recognizer.embed_many(photos, rule="central", cache=cache), strict=True
        ):
            for template in result.templates:
                vectors.append(template.vector)
                who.append(photo.parent.name)
                usable.append(quality_score(template.quality))
    return {"vectors": np.stack(vectors), "who": np.array(who), "quality_score": np.array(usable)}


def part_of(everything: dict[str, NDArray[Any]], lfw: Path, part: str) -> dict[str, NDArray[Any]]:
    """Those of the people of one part."""
    if part == "all":
        return everything
    lines = (lfw / f"peopleDev{part.capitalize()}.txt").read_text().splitlines()[1:]
    kept = np.isin(everything["who"], [line.split()[0] for line in lines])
    return {name: array[kept] for name, array in everything.items()}


def measure(name: str, data: Path, rate: float) -> dict[str, Any]:
    """One algorithm, in this process."""
    import faiss

    from visavis.clustering.thresholds import fmr_curve_of
    from visavis.decision.profile import CalibrationStore
    from visavis.metrics.clustering import scores
    from visavis.pipeline.collection import about_own_mean

    faiss.omp_set_num_threads(THREADS)
    with np.load(data) as arrays:
        vectors, who, usable = (arrays[key] for key in ("vectors", "who", "quality_score"))
    calibration = CalibrationStore().load("sface-lfw")
    wall, cpu = time.perf_counter(), time.process_time()
    if name != PLAIN:
        calibration = about_own_mean(calibration, vectors, usable)
    vectors = calibration.project(vectors)
    if name == ORACLE:
        labels = best_average(vectors, who)
    else:
        curve = fmr_curve_of(calibration.points, calibration.reference)
        method = name.partition(",")[0]
        labels = cluster(method, vectors, usable, curve, false_merge_rate=rate)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = own_peak()
    return {
        "name": name,
        "seconds": wall,
        "cpu": cpu,
        "peak": peak,
        "scores": scores(who, labels).to_dict(),
    }


def best_average(vectors: NDArray[np.float32], who: NDArray[np.str_]) -> NDArray[np.int64]:
    """Average linkage at the best of 40 thresholds."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    from visavis.metrics.clustering import bcubed

    tree = linkage(pdist(vectors, "cosine"), "average")
    cuts = [fcluster(tree, 1 - score, "distance") for score in np.linspace(0.28, 0.475, 40)]
    best = max(cuts, key=lambda labels: bcubed(who, labels).f1)
    return np.asarray(best, dtype=np.int64)


def run(name: str, data: Path, rate: float) -> dict[str, Any]:
    """One algorithm, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.clustering", "--one", name]
    command += ["--data", str(data), "--rate", str(rate)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Rows as printed."""
    columns = ("algorithm", "pairwise P", "R", "F1", "B-cubed P", "R", "F1")
    out = Table(title, (*columns, "clusters", "s", "CPU s", "CPU, x default", "peak MiB"))
    default = rows[0]["cpu"]
    for row in rows:
        scores = row["scores"]
        figures = [scores[kind][k] for kind in ("pairwise", "bcubed") for k in _KEYS]
        out.rows.append(
            (
                row["name"],
                *(f"{value:.4f}" for value in figures),
                f"{scores['clusters']:,}",
                f"{row['seconds']:.1f}",
                f"{row['cpu']:.1f}",
                f"{row['cpu'] / default:.1f}",
                f"{row['peak']:.0f}",
            )
        )
    return out


_KEYS = ("precision", "recall", "f1")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering")
    parser.add_argument("--lfw", type=Path, help="LFW with its lists (default: VISAVIS_LFW)")
    parser.add_argument("--part", choices=PARTS, nargs="*", default=["test", "all"])
    parser.add_argument("--rate", type=float, default=0.01, help="false-merge rate")
    parser.add_argument("--algorithms", nargs="*", default=[*NAMES, PLAIN, ORACLE])
    parser.add_argument("--one", help="measure this algorithm here and print JSON")
    parser.add_argument("--data", type=Path, help="templates for --one")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one, options.data, options.rate)))
        return
    lfw = options.lfw or data_folder("lfw")
    if lfw is None:
        raise SystemExit("no photos; give --lfw DIR, LFW with its lists")
    everything = templates(lfw)
    for part in options.part:
        own = part_of(everything, lfw, part)
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "templates.npz"
            np.savez(
                data, vectors=own["vectors"], who=own["who"], quality_score=own["quality_score"]
            )
            rows = [run(name, data, options.rate) for name in options.algorithms]
        people = len(np.unique(own["who"]))
        title = f"LFW, {part}: {len(own['who']):,} faces of {people:,} people"
        print(table(title, rows).markdown())
        print(f"load of the machine: {load()}\n", flush=True)


if __name__ == "__main__":
    main()
