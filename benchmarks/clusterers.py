"""How well, how fast and in how much memory each algorithm sorts faces.

    python -m benchmarks.clusterers --lfw ../shared/data/lfw --orl ../shared/data/orl

Every algorithm at its default false-merge rate, through the shipped calibration; both were chosen
on LFW's View 1 training people. Measured on all of LFW, on its View 1 test people alone, of whom
nothing was ever chosen, and on ORL. Beside them scikit-learn's average linkage at the threshold
that is best on the very faces (known afterwards). Each run is a process of its own.
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

from benchmarks.measuring import own_peak
from benchmarks.score_clusterers import DEFAULT, NAMES, cluster
from benchmarks.tables import Table, load, machine, write_section

PEER = "scikit-learn, average, best known afterwards"
_PAGE = """# Clustering, measured

<!-- begin clusterers (generated) -->
<!-- end clusterers -->
"""


def main() -> int:
    """Print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clusterers", description=__doc__)
    parser.add_argument("--lfw", type=Path, help="folder with lfw-deepfunneled/ and the lists")
    parser.add_argument("--orl", type=Path, help="folder with s1 .. s40")
    parser.add_argument("--markdown", type=Path, help="write the table into this page")
    parser.add_argument("--work", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(_work(*options.work)))
        return 0
    if options.lfw is None:
        raise SystemExit("give the folder of LFW by --lfw")
    with tempfile.TemporaryDirectory() as folder:
        sets = {"LFW": _embed(options.lfw / "lfw-deepfunneled", Path(folder) / "lfw.npz")}
        sets["test people"] = _only(
            sets["LFW"], options.lfw / "peopleDevTest.txt", Path(folder) / "test.npz"
        )
        if options.orl is not None:
            sets["ORL"] = _embed(options.orl, Path(folder) / "orl.npz")
        found = {
            name: {title: _run(name, file) for title, file in sets.items()}
            for name in (*NAMES, PEER)
        }
    peer = found[PEER]["LFW"]
    table = Table(
        "Each algorithm at its default, on faces of known people",
        (
            "algorithm",
            *(f"{title}, {metric}" for title in sets for metric in ("pairwise F1", "B-cubed F1")),
            "clusters", "s", "s, of the peer", "MiB",
        ),
        note=f"Clusters, time and memory (of the whole process) are those of LFW's "
        f"{peer['faces']:,} faces of {peer['people']:,} people. Published on LFW: approximate "
        "rank-order 0.87, ConPaC 0.965 pairwise F1.",
    )  # fmt: skip
    for name, by_set in found.items():
        whole = by_set["LFW"]
        shares = [f"{one[m]:.4f}" for one in by_set.values() for m in ("pairwise", "bcubed")]
        table.rows.append(
            (name, *shares, f"{whole['clusters']:,}", f"{whole['seconds']:.1f}",
             f"{whole['seconds'] / peer['seconds']:.2f}", f"{whole['peak']:.0f}")
        )  # fmt: skip
    print(table.text())
    about = f"{machine()}; load {load()}."
    print(about)
    if options.markdown:
        text = f"{table.markdown()}\n{about}"
        write_section(options.markdown, "clusterers", text, page=_PAGE)
    default = found[DEFAULT]["LFW"]
    kept = default["pairwise"] >= 0.997 and default["bcubed"] >= 0.988
    print("targets of the default (0.997 and 0.988):", "kept" if kept else "MISSED")
    return 0 if kept else 1


def _embed(root: Path, file: Path) -> Path:
    """Templates of all photos, from the cache of earlier runs where they are in it."""
    from visavis.embedding.cache import EmbeddingCache
    from visavis.evaluation.clustering import run as clustering
    from visavis.evaluation.protocols import folders
    from visavis.pipeline import Recognizer
    from visavis.weights import WeightStore

    home = Path(os.environ["VISAVIS_HOME"]) if "VISAVIS_HOME" in os.environ else None
    recognizer = Recognizer(home=home)
    kept = WeightStore(home).home / "cache" / "embeddings.sqlite"
    with EmbeddingCache(kept) as cache:
        seen = clustering.embed(
            folders.photos_by_person(root), recognizer, root=root, rule="central", cache=cache
        )
    np.savez(file, vectors=seen.vectors, who=seen.who, quality_score=seen.quality_score)
    return file


def _only(whole: Path, listed: Path, file: Path) -> Path:
    people = {line.split("\t")[0] for line in listed.read_text("utf-8").splitlines()[1:]}
    with np.load(whole) as data:
        kept = np.isin(data["who"], sorted(people))
        np.savez(file, **{name: data[name][kept] for name in data.files})
    return file


def _run(name: str, file: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.clusterers", "--work", name, str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(
        f"{name}, {file.stem}: {result['pairwise']:.4f} {result['bcubed']:.4f}, "
        f"{result['seconds']:.1f} s",
        file=sys.stderr,
    )
    return result


def _work(name: str, file: str) -> dict[str, Any]:
    """Cluster in this process and say what it took."""
    from visavis.metrics import clustering as metrics

    with np.load(file) as data:
        vectors, who, quality_score = data["vectors"], data["who"], data["quality_score"]
    if name == PEER:
        labels, seconds = _peer(vectors, who)
        peak = own_peak()
    else:
        from visavis.clustering.thresholds import fmr_curve_of
        from visavis.decision.profile import CalibrationStore
        from visavis.pipeline import Recognizer
        from visavis.pipeline.collection import about_own_mean

        recognizer = Recognizer()
        calibration = CalibrationStore(None).for_model(
            None,
            model=recognizer.model,
            model_sha256=recognizer.model_sha256,
            pipeline_id=recognizer.pipeline_id,
        )
        about_own_mean(calibration, vectors[:50], quality_score[:50])  # imports are no part of it
        start = time.perf_counter()
        calibration = about_own_mean(calibration, vectors, quality_score)
        curve = fmr_curve_of(calibration.points, calibration.reference)
        labels = cluster(name, calibration.project(vectors), quality_score, curve)
        seconds = time.perf_counter() - start
        peak = own_peak()
    found = metrics.scores(who, labels)
    return {
        "pairwise": found.pairwise.f1,
        "bcubed": found.bcubed.f1,
        "clusters": found.clusters,
        "faces": found.faces,
        "people": found.people,
        "seconds": seconds,
        "peak": peak,
    }


def _peer(vectors: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, float]:
    """scikit-learn's labels at the cut that is best by B-cubed F1, and the time of one fit."""
    from sklearn.cluster import AgglomerativeClustering

    from visavis.metrics import clustering as metrics

    model = AgglomerativeClustering(
        n_clusters=None, distance_threshold=0.5, linkage="average", metric="cosine"
    )
    model.fit(vectors[:50])
    start = time.perf_counter()
    model.fit(vectors)
    seconds = time.perf_counter() - start
    cuts = [_cut(model, len(vectors), 1 - score) for score in np.arange(0.35, 0.6, 0.005)]
    return max(cuts, key=lambda labels: metrics.bcubed(who, labels).f1), seconds


def _cut(model: Any, n: int, distance: float) -> np.ndarray:
    """The partition of a fitted tree at a distance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    kept = np.flatnonzero(model.distances_ <= distance)
    parent = np.repeat(kept + n, 2)
    child = model.children_[kept].ravel()
    size = n + len(model.children_)
    tree = coo_array((np.ones(len(child)), (parent, child)), (size, size))
    return np.asarray(connected_components(tree, directed=False)[1][:n], dtype=np.int64)


if __name__ == "__main__":
    sys.exit(main())
