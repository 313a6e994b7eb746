"""Is the stated share of faces beside a stranger kept, and what does a collection's own mean do?

    python -m benchmarks.clustering_collections --lfw ../shared/data/lfw --orl ../shared/data/orl

Collections of LFW's View 1 people: of 8 to all of them, albums of few people with many photos each,
families (photos share a direction as children's do), look-alikes, and photos degraded in six ways
(``benchmarks/unlabelled.py``). ``--part train`` are those on which the constants were chosen,
``--part test`` people whom nothing was chosen on. Each is sorted at a false-merge rate of 0.01 as
``visavis cluster`` does, and as the templates are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clustering import part_of, templates
from benchmarks.photos import data_folder
from benchmarks.tables import Table
from benchmarks.unlabelled import DEGRADATIONS, Population, degraded, family, look_alikes

DEGRADED_PEOPLE = 320
MOST_PHOTOS = 30
ALBUMS = ((5, 5), (8, 8), (12, 12), (20, 20), (39, 30), (80, 120))
"""People with five photos or more, and with one."""

SIZES = (10, 20, 40, 80, 200, 400, 1000, 2000)
DRAWS = 12

Faces = tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.float64]]


def collections(lfw: Path, orl: Path | None, part: str) -> Iterator[tuple[str, Faces]]:
    """Kind and ``(vectors, people, quality_score)``."""
    everything = part_of(templates(lfw), lfw, part)
    whole: Faces = everything["vectors"], everything["who"], everything["quality_score"]
    people, counts = np.unique(whole[1], return_counts=True)
    rng = np.random.default_rng(0)
    for size in (n for n in SIZES if n < len(people)):
        for _ in range(DRAWS if size <= 400 else 4):
            yield f"{size} people", _of(whole, rng.choice(people, size, replace=False))
    yield f"all {len(people):,} people", whole
    for often, once in ALBUMS:
        for kind in ("album", "album, family"):
            for draw in range(DRAWS):
                chosen = [rng.choice(people[counts >= 5], often, replace=False)]
                chosen.append(rng.choice(people[counts == 1], once, replace=False))
                vectors, who, usable = _of(whole, np.concatenate(chosen))
                if kind != "album":
                    numbers = np.unique(who, return_inverse=True)[1]
                    vectors = family(Population("", vectors, numbers), draw).vectors
                yield f"{kind} of {often} + {once}", (vectors, who, usable)
    numbers = np.unique(whole[1], return_inverse=True)[1]
    for group in look_alikes(Population("", whole[0], numbers), 8):
        yield "look-alikes", (group.vectors, people[group.people], np.ones(len(group.people)))
    yield from _degraded(lfw, part)
    if orl is not None:
        yield "ORL", _embedded([(p, p) for p in sorted(orl.glob("s*/*.pgm"))])


def _of(whole: Faces, chosen: NDArray[np.str_]) -> Faces:
    kept = np.isin(whole[1], chosen)
    return whole[0][kept], whole[1][kept], whole[2][kept]


def _degraded(lfw: Path, part: str) -> Iterator[tuple[str, Faces]]:
    lines = (lfw / f"peopleDev{part.capitalize()}.txt").read_text("utf-8").splitlines()[1:]
    some = np.sort(np.random.default_rng(1).permutation(len(lines))[:DEGRADED_PEOPLE])
    listed = [(name, int(count)) for k in some for name, count in [lines[k].split("\t")]]
    photos = [
        lfw / "lfw-deepfunneled" / name / f"{name}_{k:04d}.jpg"
        for name, count in listed
        for k in range(1, min(count, MOST_PHOTOS) + 1)
    ]
    for how in DEGRADATIONS:
        files = zip(photos, degraded(photos, how), strict=True)
        yield how.__name__.replace("_", " "), _embedded(list(files))


def _embedded(photos: list[tuple[Path, Path | bytes]]) -> Faces:
    from visavis.api.options import embeddings
    from visavis.cli.output import home
    from visavis.embedding.cache import EmbeddingCache
    from visavis.faces.quality import quality_score
    from visavis.pipeline import Recognizer

    with EmbeddingCache(embeddings(home())) as cache:
        rows = Recognizer().embed_many([file for _, file in photos], rule="central", cache=cache)
        found = [
            (row.templates[0], photo.parent.name)
            for (photo, _), row in zip(photos, rows, strict=True)
            if row.templates
        ]
    return (
        np.stack([template.vector for template, _ in found]),
        np.array([name for _, name in found]),
        np.array([quality_score(template.quality) for template, _ in found]),
    )


def measure(faces: Faces, rate: float) -> list[float]:
    """Share beside a stranger, B-cubed F1 and pairwise F1: as the templates are, and sorted."""
    from visavis.clustering.graph_linkage import GraphLinkage
    from visavis.clustering.thresholds import fmr_curve_of
    from visavis.decision.profile import CalibrationStore
    from visavis.metrics.clustering import scores
    from visavis.pipeline.collection import about_own_mean

    vectors, who, usable = faces
    plain = CalibrationStore().load("sface-lfw")
    figures: list[float] = []
    for used in (plain, about_own_mean(plain, vectors, usable)):
        curve = fmr_curve_of(used.points, used.reference)
        clusterer = GraphLinkage(curve, false_merge_rate=rate)
        found = scores(who, clusterer.cluster(used.project(vectors), quality_score=usable))
        figures += [1 - found.bcubed.precision, found.bcubed.f1, found.pairwise.f1]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering_collections")
    parser.add_argument("--lfw", type=Path, help="LFW with its lists (default: VISAVIS_LFW)")
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--part", choices=("train", "test"), nargs="*", default=["train", "test"])
    parser.add_argument("--rate", type=float, default=0.01, help="false-merge rate")
    options = parser.parse_args()
    lfw = options.lfw or data_folder("lfw")
    if lfw is None:
        raise SystemExit("no photos; give --lfw DIR, LFW with its lists")
    columns = [f"{figure}, {how}" for how in ("as they are", "own mean") for figure in _FIGURES]
    for part in options.part:
        rows: dict[str, list[list[float]]] = {}
        for kind, faces in collections(lfw, options.orl, part):
            rows.setdefault(kind, []).append(measure(faces, options.rate))
        table = Table(f"LFW, {part}: means over draws", ("collection", "draws", *columns))
        for kind, drawn in rows.items():
            means = (f"{value:.4f}" for value in np.nanmean(drawn, axis=0))
            table.rows.append((kind, str(len(drawn)), *means))
        print(table.markdown(), flush=True)


_FIGURES = ("beside a stranger", "B-cubed F1", "pairwise F1")

if __name__ == "__main__":
    main()
