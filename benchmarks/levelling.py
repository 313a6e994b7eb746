"""What levelling templates gains, what it costs, and where its direction comes from.

    python -m benchmarks.levelling --lfw DIR [--orl DIR] [--cache FILE] [--write]

The direction is the mean template of those of LFW's peopleDevTrain who are in no pair of View 2, so
nobody of a test protocol had a part in it. Height and corner were chosen on the figures that this
prints of View 1's pairs and test people, and of ORL. Thresholds come from all pairs of
peopleDevTrain. View 2 is reported for what was chosen, beside the templates as they come.
``--write`` writes the file that ships with visavis.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import unlabelled
from benchmarks.photos import ROOT
from benchmarks.tables import Table
from visavis.decision.profile import CalibrationStore
from visavis.embedding.cache import EmbeddingCache
from visavis.embedding.levelling import Levelling
from visavis.evaluation.protocols import lfw
from visavis.evaluation.protocols.protocol import Protocol
from visavis.metrics.accuracy import kfold_accuracy
from visavis.metrics.verification import fnmr_at_fmr, roc_auc
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
Templates = Mapping[Path, Vectors]
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
    """Wrong answers of the tenfold rule, mean over random splits of the pairs."""
    rng = np.random.default_rng(0)
    folds = [rng.permutation(len(scores)) % 10 for _ in range(_SPLITS)]
    means = [kfold_accuracy(scores, same, fold).mean for fold in folds]
    return float((1 - np.mean(means)) * len(scores))


def faces_of(groups: Mapping[str, Sequence[Path]], templates: Templates) -> Faces:
    """The faces of some people."""
    kept = [(k, p) for k, own in enumerate(groups.values()) for p in own if p in templates]
    return Faces(np.stack([templates[p] for _, p in kept]), np.array([k for k, _ in kept]))


def scores_of(protocol: Protocol, templates: Templates, way: Way) -> NDArray[np.float32]:
    """Scores of a list's pairs."""
    vectors = way(np.stack([templates[photo] for photo in protocol.photos]))
    scores: NDArray[np.float32] = (vectors[protocol.first] * vectors[protocol.second]).sum(1)
    return scores


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
    cache = EmbeddingCache(options.cache) if options.cache else None
    templates = unlabelled.embed(recognizer, photos, photos, cache=cache)
    view2 = set(lfw.view(2, options.lfw).people)
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
    _report(ways, strangers, templates, options.lfw)
    _transfer(ways, known, _foreign(recognizer, options.orl, testing, templates))


def _accuracy(ways: dict[str, Way], strangers: Faces, templates: Templates, root: Path) -> None:
    lists = [lfw.view(1, root, part=part) for part in ("train", "test")]
    same = np.concatenate([one.same for one in lists])
    table = Table(
        f"LFW's View 1: the test people, and wrong answers among all {len(same):,} pairs",
        ("templates", "d'", *(f"FNMR at {claim:g}" for claim in CLAIMS), "wrong"),
    )
    for name, way in ways.items():
        found = strangers.scores(way)
        scores = np.concatenate([scores_of(one, templates, way) for one in lists])
        table.rows.append(
            (
                name,
                f"{found.separation():.2f}",
                *(f"{found.missed(found.threshold(claim)):.4f}" for claim in CLAIMS),
                f"{errors(scores, same):.1f}",
            )
        )
    print(table.markdown(), flush=True)


def _report(ways: dict[str, Way], strangers: Faces, templates: Templates, root: Path) -> None:
    """What was chosen, and none of the others, on View 2; the shipped thresholds on test people."""
    view2 = lfw.view(2, root)
    table = Table("LFW's View 2", ("templates", "accuracy", "AUC", "FNMR at FMR 0.001"))
    chosen = list(ways)[-1]
    for name in ("as it is", chosen):
        scores = scores_of(view2, templates, ways[name])
        mated, non_mated = scores[view2.same], scores[~view2.same]
        accuracy = kfold_accuracy(scores, view2.same, view2.fold)
        table.rows.append(
            (
                name,
                f"{accuracy.mean:.4f} ± {accuracy.standard_error:.4f}",
                f"{roc_auc(mated, non_mated):.5f}",
                f"{fnmr_at_fmr(mated, non_mated, 1e-3):.4f}",
            )
        )
    print(table.markdown())
    non_mated = strangers.scores(ways[chosen]).non_mated
    table = Table(
        "The shipped thresholds on the test people", ("FMR", "threshold", "interval", "measured")
    )
    for point in CalibrationStore().load("sface-lfw").points:
        if point.target_fmr in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
            low, high = point.fmr_ci
            measured = (non_mated >= point.threshold).mean()
            table.rows.append(
                (
                    f"{point.target_fmr:g}",
                    f"{point.threshold:.4f}",
                    f"{low:.2g} to {high:.2g}",
                    f"{measured:.2g}",
                )
            )
    print(table.markdown(), flush=True)


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


def _foreign(
    recognizer: Recognizer,
    orl: Path | None,
    testing: Mapping[str, Sequence[Path]],
    templates: Templates,
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
        found["ORL"] = faces_of(groups, unlabelled.embed(recognizer, every, every))
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
