"""What levelling templates gains, what it costs, and where its direction comes from.

    python -m benchmarks.levelling --lfw DIR [--orl DIR] [--cache FILE] [--write]

The direction is the mean template of those of LFW's peopleDevTrain who are in no pair of View 2, so
nobody of a test protocol had a part in it. Height and corner were chosen on the figures that this
prints: View 1's pairs and test people, and ORL. Thresholds come from all pairs of peopleDevTrain.
``--write`` writes the file that ships with visavis.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import unlabelled
from benchmarks.photos import ROOT
from benchmarks.tables import Table
from visavis.embedding.cache import EmbeddingCache
from visavis.embedding.levelling import Levelling
from visavis.evaluation.protocols import lfw
from visavis.pipeline import Recognizer
from visavis.pipeline.recognizer import RecognizerOptions

HEIGHT, FULL = 0.4, 0.15
TRIED = ((0.25, 0.2), (0.35, 0.2), (0.4, 0.2), (0.35, 0.15), (HEIGHT, FULL))
CLAIMS = (1e-2, 1e-3, 1e-4)
_FILE = ROOT / "src" / "visavis" / "embedding" / "data" / "sface.json"
_DEGRADED = 900
_SPLITS = 20
_MOST_PAIRS = 10  # of one person: else a few famous people decide everything

Vectors = NDArray[np.float32]
Way = Callable[[Vectors], Vectors]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Templates as the network gives them, and whose they are."""

    vectors: Vectors
    people: NDArray[np.int64]

    def scores(self, way: Way) -> Scores:
        """Of all pairs."""
        vectors = way(self.vectors)
        first, second = np.triu_indices(len(vectors), 1)
        scores = (vectors @ vectors.T)[first, second]
        mated = self.people[first] == self.people[second]
        pairs = np.bincount(self.people[first[mated]])
        weight = np.minimum(pairs, _MOST_PAIRS) / np.maximum(pairs, 1)
        return Scores(np.sort(scores[~mated]), scores[mated], weight[self.people[first[mated]]])


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Non-mated scores, sorted; mated ones, and what each counts."""

    non_mated: NDArray[np.float32]
    mated: NDArray[np.float32]
    weight: NDArray[np.float64]

    def threshold(self, rate: float) -> float:
        """What a share ``rate`` of the non-mated scores reaches."""
        return float(self.non_mated[-max(1, int(len(self.non_mated) * rate))])

    def missed(self, threshold: float) -> float:
        """FNMR."""
        return float(np.average(self.mated < threshold, weights=self.weight))

    def separation(self) -> float:
        """d': distance of the means in standard deviations."""
        mean = np.average(self.mated, weights=self.weight)
        spread = np.average((self.mated - mean) ** 2, weights=self.weight)
        middle = np.sqrt((spread + self.non_mated.var()) / 2)
        return float((mean - self.non_mated.mean()) / middle)


def unit(vectors: Vectors) -> Vectors:
    """Rows of unit length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def errors(scores: NDArray[np.float32], same: NDArray[np.bool_]) -> float:
    """Wrong answers of the tenfold rule, mean over random splits of View 1's 3,200 pairs."""
    rng, found = np.random.default_rng(0), []
    for _ in range(_SPLITS):
        fold, wrong = rng.permutation(len(scores)) % 10, 0
        for k in range(10):
            inside = fold != k
            order = np.argsort(scores[inside])
            sure, ranked = same[inside][order], scores[inside][order]
            missed = np.concatenate([[0], np.cumsum(sure)])
            accepted = np.concatenate([np.cumsum(~sure[::-1])[::-1], [0]])
            place = min(int((missed + accepted).argmin()), len(ranked) - 1)
            wrong += int(((scores[~inside] >= ranked[place]) != same[~inside]).sum())
        found.append(wrong)
    return float(np.mean(found))


def embed(recognizer: Recognizer, photos: list[Path], cache: Path | None) -> dict[Path, Vectors]:
    """Templates of the photos in which a face is found."""
    store = EmbeddingCache(cache) if cache else None
    rows = recognizer.embed_many(photos, rule="central", cache=store)
    return {p: r.templates[0].vector for p, r in zip(photos, rows, strict=True) if r.templates}


def faces_of(groups: dict[str, list[Path]], templates: dict[Path, Vectors]) -> Faces:
    """The faces of some people."""
    kept = [(k, p) for k, own in enumerate(groups.values()) for p in own if p in templates]
    return Faces(np.stack([templates[p] for _, p in kept]), np.array([k for k, _ in kept]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--cache", type=Path, help="keep templates in this file")
    parser.add_argument("--write", action="store_true", help="write the file that ships")
    options = parser.parse_args()
    recognizer = Recognizer(options=RecognizerOptions(level=False))
    training = lfw.people(options.lfw, "train")
    testing = lfw.people(options.lfw, "test")
    photos = [p for groups in (training, testing) for own in groups.values() for p in own]
    templates = embed(recognizer, photos, options.cache)
    view2 = {photo.parent.name for photo in lfw.view(2, options.lfw).photos}
    apart = {name: own for name, own in training.items() if name not in view2}
    source = faces_of(apart, templates)
    direction = source.vectors.mean(0)
    if options.write:
        _write(direction, people=len(apart), photos=len(source.vectors), recognizer=recognizer)
    ways = {"as it is": unit, "mean subtracted": lambda vectors: unit(vectors - direction)}
    for height, full in TRIED:
        level = Levelling(direction / np.linalg.norm(direction), height=height, full=full)
        ways[f"levelled, {height:g} from {full:g} on"] = level.apply
    shares = faces_of(training, templates).vectors @ unit(direction[None])[0]
    print(
        f"direction: {len(apart):,} people, {len(source.vectors):,} photos; mean template "
        f"{np.linalg.norm(direction):.3f} long\ncomponent along it in peopleDevTrain: mean "
        f"{shares.mean():.3f}, deviation {shares.std():.3f}, {(shares >= FULL).mean():.1%} are "
        f"{FULL:g} or more\n"
    )
    known, strangers = faces_of(training, templates), faces_of(testing, templates)
    _accuracy(ways, strangers, templates, options.lfw)
    _transfer(ways, known, _foreign(recognizer, options.orl, testing, templates))


def _accuracy(
    ways: dict[str, Way], strangers: Faces, templates: dict[Path, Vectors], root: Path
) -> None:
    every = list(templates)
    first, second, same = _view1(root, {photo: k for k, photo in enumerate(every)})
    all_vectors = np.stack([templates[photo] for photo in every])
    accuracy = Table(
        "LFW's View 1: the test people, and wrong answers among all 3,200 pairs",
        ("templates", "d'", *(f"FNMR at {claim:g}" for claim in CLAIMS), "wrong"),
    )
    for name, way in ways.items():
        found = strangers.scores(way)
        vectors = way(all_vectors)
        scores = (vectors[first] * vectors[second]).sum(1)
        accuracy.rows.append(
            (
                name,
                f"{found.separation():.2f}",
                *(f"{found.missed(found.threshold(claim)):.4f}" for claim in CLAIMS),
                f"{errors(scores, same):.1f}",
            )
        )
    print(accuracy.markdown(), flush=True)


def _transfer(ways: dict[str, Way], known: Faces, foreign: dict[str, Faces]) -> None:
    table = Table("Measured over claimed FMR at 1e-3, FNMR there", ("photos", *ways))
    rows: dict[str, list[str]] = {name: [] for name in foreign}
    for way in ways.values():
        threshold = known.scores(way).threshold(1e-3)
        for name, faces in foreign.items():
            found = faces.scores(way)
            factor = (found.non_mated >= threshold).mean() / 1e-3
            rows[name].append(f"{factor:.2f}, {found.missed(threshold):.4f}")
    table.rows.extend((name, *cells) for name, cells in rows.items())
    print(table.markdown())


def _view1(
    root: Path, place: dict[Path, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """All of View 1's pairs: rows of both photos, and whether they are mated."""
    rows: list[tuple[int, int, bool]] = []
    folder = next(iter(place)).parents[1]
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt"):
        for line in (root / name).read_text(encoding="utf-8").splitlines()[1:]:
            words = line.split("\t")
            a, i, b, j = (words[0], words[1], words[0], words[2]) if len(words) == 3 else words
            first, second = (folder / n / f"{n}_{int(k):04d}.jpg" for n, k in ((a, i), (b, j)))
            rows.append((place[first], place[second], a == b))
    first, second, same = (np.array(column) for column in zip(*rows, strict=True))
    return first, second, same


def _foreign(
    recognizer: Recognizer,
    orl: Path | None,
    testing: dict[str, list[Path]],
    templates: dict[Path, Vectors],
) -> dict[str, Faces]:
    """Test people as they are and degraded, and ORL."""
    often = {name: own[:3] for name, own in testing.items() if len(own) > 1}
    some = [photo for own in often.values() for photo in own if photo in templates][:_DEGRADED]
    found = {"other people": faces_of(testing, templates)}
    for how in unlabelled.DEGRADATIONS:
        vectors = unlabelled.embed(recognizer, some, unlabelled.degraded(some, how))
        found[how.__name__.replace("_", " ")] = faces_of(often, vectors)
    if orl is not None:
        groups = {folder.name: sorted(folder.glob("*.pgm")) for folder in sorted(orl.glob("s*"))}
        every = [photo for own in groups.values() for photo in own]
        found["ORL"] = faces_of(groups, embed(recognizer, every, None))
    return found


def _write(
    direction: NDArray[np.float32], *, people: int, photos: int, recognizer: Recognizer
) -> None:
    _FILE.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "schema": 1,
        "model": recognizer.model,
        "settings": recognizer.settings,
        "dataset": "LFW: people of peopleDevTrain who are in no pair of View 2",
        "people": people,
        "photos": photos,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": "python -m benchmarks.levelling --lfw DIR --write",
        "height": HEIGHT,
        "full": FULL,
        "direction": [round(float(value), 6) for value in direction],
    }
    _FILE.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
