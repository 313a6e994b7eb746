"""Parts of ``benchmarks.gallery``, each in a process of its own: one JSON document on stdout.

``python -m benchmarks.gallery_worker enroll|truth|open|search PEOPLE FOLDER``.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import own_peak, quantile
from benchmarks.synthetic_faces import Vectors, chunks, draw

PROBES = 1000
TOP = 10
MODEL, SHA256 = "synthetic", "0" * 64
_SEED, _STRANGERS = 1, 2
_TOGETHER = 4
"""Parts of some 8,000 faces that one ``add`` enrolls."""


def enrolled(people: int) -> Iterator[tuple[NDArray[np.int64], Vectors, Vectors]]:
    """Numbers of people and a template of each, some thousands at a time, and second photos of the
    first ``PROBES`` people."""
    counts = np.where(np.arange(people) < PROBES, 2, 1)
    for vectors, person in chunks(people, counts, _SEED):
        second = np.r_[False, np.diff(person) == 0]
        yield person[~second], vectors[~second], vectors[second]


def enroll(people: int, folder: Path) -> dict[str, Any]:
    """Bulk enrollment: seconds in the gallery, drawing left out."""
    from visavis.gallery.records import NewFace
    from visavis.gallery.sqlite.store import SqliteGallery

    adding = busy = 0.0
    drawn = enrolled(people)
    with SqliteGallery(folder / "gallery", create=True) as gallery:
        while parts := list(itertools.islice(drawn, _TOGETHER)):
            cpu, began = time.process_time(), time.perf_counter()
            faces = [
                NewFace(f"person {number}", vector, MODEL, SHA256)
                for person, vectors, _ in parts
                for number, vector in zip(person.tolist(), vectors, strict=True)
            ]
            gallery.add(faces)
            adding += time.perf_counter() - began
            busy += time.process_time() - cpu
        cpu, began = time.process_time(), time.perf_counter()
        gallery.load_index()
        indexing = time.perf_counter() - began
        busy += time.process_time() - cpu
    return {
        "adding": adding,
        "index": indexing,
        "cpu": busy,
        "peak": own_peak(),
        "bytes": sum(f.stat().st_size for f in (folder / "gallery").rglob("*") if f.is_file()),
    }


def truth(people: int, folder: Path) -> dict[str, Any]:
    """Who is closest to each probe by brute force, kept in ``truth.npz``."""
    # Everybody who has a second photo is in the first part.
    probes = np.concatenate([next(enrolled(people))[2], draw(PROBES, 1, _STRANGERS)[0]])
    scores = np.full((len(probes), 0), -1, np.float32)
    who = np.zeros((len(probes), 0), np.int64)
    for person, vectors, _ in enrolled(people):
        scores = np.concatenate([scores, probes @ vectors.T], axis=1)
        who = np.concatenate([who, np.broadcast_to(person, (len(probes), len(person)))], axis=1)
        kept = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
        scores, who = np.take_along_axis(scores, kept, 1), np.take_along_axis(who, kept, 1)
    order = np.argsort(-scores, axis=1)
    np.savez(
        folder / "truth.npz",
        probes=probes,
        who=np.take_along_axis(who, order, 1),
        scores=np.take_along_axis(scores, order, 1),
    )
    return {"mated_right": float((who[:PROBES, :1] == np.arange(PROBES)[:, None]).mean())}


def open_(people: int, folder: Path) -> dict[str, Any]:
    """A fresh process: from nothing to the first answer, then one probe after the other."""
    with np.load(folder / "truth.npz") as arrays:
        probes, who = arrays["probes"], arrays["who"][:, 0]
    began = time.perf_counter()
    from visavis.gallery.sqlite.store import SqliteGallery

    with SqliteGallery(folder / "gallery") as gallery:
        first = gallery.search(probes[:1], model_sha256=SHA256, k=5)
        out: dict[str, Any] = {"open": time.perf_counter() - began, "found": bool(first[0])}
        for name, at in (("mated", slice(0, PROBES)), ("non_mated", slice(PROBES, None))):
            hits, walls, cpus = 0, [], []
            for probe, right in zip(probes[at], who[at].tolist(), strict=True):
                cpu, wall = time.thread_time(), time.perf_counter()
                answer = gallery.search(probe[None], model_sha256=SHA256, k=5)
                walls.append(time.perf_counter() - wall)
                cpus.append(time.thread_time() - cpu)
                hits += answer[0][0].person == f"person {right}"
            out[name] = {"recall": hits / len(walls), **_times(walls, cpus)}
        out |= {"resident": resident(), "peak": own_peak()}
        out["index"] = next(iter(gallery.info().index.values()))
    return out


def search(people: int, folder: Path) -> dict[str, Any]:
    """The index alone: exact against one matrix-vector product and against approximate search."""
    from threadpoolctl import threadpool_limits

    from visavis.gallery.crypto.value_cipher import PlainCipher
    from visavis.gallery.index.template_index import IndexOptions, TemplateIndex

    with np.load(folder / "truth.npz") as arrays:
        probes, who, true = arrays["probes"], arrays["who"], arrays["scores"]
    index = TemplateIndex(probes.shape[1], options=IndexOptions())
    building = 0.0
    for person, vectors, _ in enrolled(people):
        began = time.perf_counter()
        index.add(person, vectors)
        building += time.perf_counter() - began
    began = time.perf_counter()
    index.settle()
    building += time.perf_counter() - began
    out: dict[str, Any] = {"building": building, "resident": resident(), "peak": own_peak()}
    out["described"] = index.describe()
    for name, at in (("mated", slice(0, PROBES)), ("non_mated", slice(PROBES, None))):
        walls, cpus = [], []
        first, ten = [], []
        for probe, right, scores in zip(probes[at], who[at], true[at], strict=True):
            cpu, wall = time.thread_time(), time.perf_counter()
            got, ids = index.search(probe[None], TOP)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.thread_time() - cpu)
            first.append(ids[0, 0] == right[0] or abs(got[0, 0] - scores[0]) < 1e-6)
            ten.append(np.isin(right, ids[0]).mean())
        recalls = {"recall": float(np.mean(first)), "recall_ten": float(np.mean(ten))}
        out[name] = recalls | _times(walls, cpus)
    plain = PlainCipher(bytes(32))
    index.save(folder / "index", state=0, cipher=plain)
    exact = TemplateIndex.load(folder / "index", options=IndexOptions(recall=1), cipher=plain)
    rows = exact.columns().vectors
    del index

    def product(probe: Vectors) -> object:
        return rows @ probe[0]

    def whole(probe: Vectors) -> object:
        return exact.search(probe, 5)

    with threadpool_limits(1):
        out["exact"], out["product"] = _in_turn(whole, product, probes)
    return out


def resident() -> float:
    """Resident memory now, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 2**10
    return float("nan")


def _in_turn(
    a: Callable[[Vectors], object], b: Callable[[Vectors], object], probes: Vectors
) -> list[dict[str, float]]:
    times: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    for at in range(40):
        for call, (walls, cpus) in zip((a, b), times, strict=True):
            cpu, wall = time.thread_time(), time.perf_counter()
            call(probes[at : at + 1])
            walls.append(time.perf_counter() - wall)
            cpus.append(time.thread_time() - cpu)
    return [_times(walls[5:], cpus[5:]) for walls, cpus in times]


def _times(walls: list[float], cpus: list[float]) -> dict[str, float]:
    return {
        "p50": 1e3 * quantile(walls, 0.5),
        "p99": 1e3 * quantile(walls, 0.99),
        "cpu": 1e3 * quantile(cpus, 0.5),
    }


PARTS = {"enroll": enroll, "truth": truth, "open": open_, "search": search}

if __name__ == "__main__":
    _, part, count, place = sys.argv
    print(json.dumps(PARTS[part](int(count), Path(place))))
