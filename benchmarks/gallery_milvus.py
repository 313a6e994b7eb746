"""Milvus Lite beside SQLite with FAISS: enrollment, identification, erasure, memory, disk, recall.

    python -m benchmarks.gallery_milvus [--sizes 10000 100000] [--json]

Faces are synthetic (``benchmarks.synthetic_faces``: scores spread as SFace's on LFW), two a person,
128 numbers each. Every cell is a process of its own. Recall is measured against a brute-force
product over the same templates.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import mib
from benchmarks.synthetic_faces import draw
from benchmarks.tables import Table, load, machine

MODEL = "5" * 64
BATCH = 5_000
KINDS = ("sqlite", "milvus")
NAMES = {"sqlite": "SQLite + FAISS", "milvus": "Milvus Lite"}


def opened(kind: str, folder: Path) -> Any:
    """The gallery, made at the first call."""
    if kind == "milvus":
        from visavis.gallery.milvus.store import MilvusGallery

        return MilvusGallery(str(folder / "gallery.db"), create=True)
    from visavis.gallery.sqlite.store import SqliteGallery

    return SqliteGallery(folder / "gallery", create=True)


def cell(kind: str, faces: int, folder: Path, tried: int, removals: int) -> dict[str, float]:
    """All measurements of one store at one size."""
    from visavis.gallery.records import NewFace

    vectors, person = draw(faces // 2 + tried, 2, 7)
    order = np.argsort(person, kind="stable")
    vectors, person = vectors[order], person[order]
    enrolled, probes = vectors[:faces], vectors[: 2 * tried : 2].copy()
    probes += 0.35 / np.sqrt(128) * np.random.default_rng(1).normal(size=probes.shape)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    probes = probes.astype(np.float32)
    start, cpu = time.perf_counter(), time.process_time()
    with opened(kind, folder) as store:
        for at in range(0, faces, BATCH):
            end = min(at + BATCH, faces)
            store.add([
                NewFace(f"P{person[i]:07}", enrolled[i], "sface", MODEL, photo=f"{i}.jpg")
                for i in range(at, end)
            ])  # fmt: skip
        added, added_cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    with opened(kind, folder) as store:
        store.search(probes[:1], model_sha256=MODEL)
        cold = time.perf_counter() - start
        times, cpus, right, possible = [], [], 0, 0
        for probe in probes:
            begun, cpu = time.perf_counter(), time.process_time()
            (matches,) = store.search(probe[None], model_sha256=MODEL, k=5, fusion="max")
            times.append(time.perf_counter() - begun)
            cpus.append(time.process_time() - cpu)
            scores = np.maximum.reduceat(
                enrolled @ probe, np.flatnonzero(np.diff(person[:faces], prepend=-1))
            )
            names = np.unique(person[:faces])
            best = {f"P{names[i]:07}" for i in np.argsort(-scores)[:5]}
            right += len(best & {m.person for m in matches})
            possible += 5
        cpu = time.process_time()
        for i in range(removals):
            store.remove(f"P{person[2 * i]:07}")
        removed = (time.process_time() - cpu) / max(removals, 1)
    cpu = time.process_time()
    for probe in probes:
        enrolled @ probe  # the bound: one matrix-vector product over the same memory
    product = (time.process_time() - cpu) / tried
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return {
        "rate": faces / added, "cpu_rate": faces / added_cpu, "cold": cold,
        "cpu": statistics.median(cpus), "p50": statistics.median(times),
        "p99": float(np.quantile(times, 0.99)), "recall": right / possible, "remove": removed,
        "product": product, "disk": size / faces,
        "memory": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
    }  # fmt: skip


def measured(kind: str, faces: int, tried: int, removals: int) -> dict[str, float]:
    """``cell`` in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="gallery-milvus-") as folder:
        command = [sys.executable, "-m", "benchmarks.gallery_milvus", "--cell", kind, str(faces)]
        command += [folder, str(tried), str(removals)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def table(results: dict[tuple[str, int], dict[str, float]]) -> Table:
    """The figures, Milvus Lite's beside SQLite's and their ratio."""
    columns = ("", "faces enrolled per CPU s", "CPU/probe", "× one product", "p50", "p99",
               "recall@5", "open + first search", "CPU/removal", "peak memory",
               "bytes/face")  # fmt: skip
    rows = []
    for (kind, faces), r in results.items():
        rows.append((
            f"{NAMES[kind]}, {faces:,} faces", f"{r['cpu_rate']:,.0f}",
            f"{1e3 * r['cpu']:.1f} ms", f"{r['cpu'] / r['product']:.1f}",
            f"{1e3 * r['p50']:.1f} ms", f"{1e3 * r['p99']:.1f} ms", f"{r['recall']:.4f}",
            f"{r['cold']:.2f} s", f"{1e3 * r['remove']:,.0f} ms",
            f"{r['memory']:,.0f} MiB", f"{r['disk']:,.0f}",
        ))  # fmt: skip
    ratios = []
    for faces in dict.fromkeys(n for _, n in results):
        pair = [results.get((kind, faces)) for kind in KINDS]
        if all(pair):
            a, b = pair
            assert a
            assert b
            ratios.append(
                f"at {faces:,}: Milvus Lite takes {a['cpu_rate'] / b['cpu_rate']:.0f} times the "
                f"processor time to enroll, {b['cpu'] / a['cpu']:.0f} times to identify"
            )
    note = f"{machine()}; load {load()}. " + "; ".join(ratios) + "."
    return Table("A gallery in Milvus Lite and in SQLite + FAISS", columns, rows, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--removals", type=int, default=5)
    parser.add_argument("--cell", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        kind, faces, folder, tried, removals = options.cell
        print(json.dumps(cell(kind, int(faces), Path(folder), int(tried), int(removals))))
        return
    results = {}
    for faces in options.sizes:
        for kind in KINDS:
            results[kind, faces] = measured(kind, faces, options.probes, options.removals)
            print(f"{NAMES[kind]}, {faces:,} faces: done", file=sys.stderr)
    done = table(results)
    print(json.dumps(done.plain(), indent=1) if options.json else done.text())


if __name__ == "__main__":
    main()
