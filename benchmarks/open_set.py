"""Does the stated chance that a stranger is named hold, and what does it cost?

    python -m benchmarks.open_set --lfw ../shared/data/lfw

Everything was chosen on LFW's View 1 training people, whose photos made the shipped calibration.
Reported are the test people, whom it has never seen, alone and beside the training people; whole
random splits of all people with a calibration made on the other half; and groups of look-alikes.
Other photos, and several of a person: ``benchmarks/fpir.py``. The peers in the same run are the two
usual ways to set a threshold: one for pairs, whatever the gallery's size, and the pair rate divided
by that size.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table
from visavis.api.options import embeddings
from visavis.cli.output import home
from visavis.decision.non_mated_model import measure_non_mated
from visavis.decision.open_set import open_set
from visavis.decision.profile import Calibration
from visavis.embedding.cache import EmbeddingCache
from visavis.errors import UnsupportedFmrError
from visavis.evaluation.identification.enrollment import Faces, Plan
from visavis.evaluation.identification.run import Origin, evaluate
from visavis.evaluation.protocols import lfw
from visavis.faces.quality import quality_score
from visavis.gallery.fusion import simulated_non_mated
from visavis.metrics.intervals import proportion_interval
from visavis.metrics.verification import fmr_name
from visavis.pipeline import Recognizer

Vectors = NDArray[np.float32]
Group = Callable[[Vectors, np.random.Generator], NDArray[np.int64]]
RATES = (1e-1, 1e-2, 1e-3)


def embed(
    recognizer: Recognizer, photos: Sequence[Path | bytes], people: Sequence[str], keep: bool = True
) -> Faces:
    """Templates of photos whose people are known; photos without a face are left out."""
    cache = EmbeddingCache(embeddings(home())) if keep else None
    rows = list(recognizer.embed_many(photos, rule="central", cache=cache))
    if cache is not None:
        cache.close()
    kept = [(r.templates[0], p) for r, p in zip(rows, people, strict=True) if r.templates]
    names, owner = np.unique([p for _, p in kept], return_inverse=True)
    return Faces(
        np.stack([t.vector for t, _ in kept]),
        owner.astype(np.int64),
        np.array([quality_score(t.quality) for t, _ in kept]),
        tuple(str(name) for name in names),
    )


def among(faces: Faces, chosen: NDArray[np.bool_]) -> Faces:
    """The faces of some of the people."""
    keep = chosen[faces.people]
    number = np.cumsum(chosen) - 1
    names = tuple(name for name, one in zip(faces.names, chosen, strict=True) if one)
    return Faces(faces.vectors[keep], number[faces.people[keep]], faces.quality_score[keep], names)


def one_each(people: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    order = rng.permutation(len(people))
    return order[np.unique(people[order], return_index=True)[1]]


def calibrated(shipped: Calibration, faces: Faces) -> Calibration:
    """The shipped calibration with people's rates measured on other people."""
    measured = measure_non_mated(faces.vectors, faces.people).to_reference()
    return dataclasses.replace(shipped, reference={**(shipped.reference or {}), **measured})


@dataclass(slots=True)
class Tally:
    """Measured over stated FPIR of many galleries."""

    ratios: list[float] = dataclasses.field(default_factory=list)
    inside: list[bool] = dataclasses.field(default_factory=list)
    consistent: list[bool] = dataclasses.field(default_factory=list)
    thresholds: list[float] = dataclasses.field(default_factory=list)
    refused: int = 0
    peers: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def row(self, *names: str) -> tuple[str, ...]:
        if not self.ratios:
            return (*names, "", "", "", "", "refused")
        low, middle, high = np.quantile(self.ratios, [0.1, 0.5, 0.9])
        peers = " / ".join(f"{np.median(p):.2f}" for p in zip(*self.peers, strict=True))
        return (
            *names,
            f"{np.mean(self.thresholds):.3f}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
            f"{np.mean(self.inside):.0%}",
            f"{np.mean(self.consistent):.0%}",
            peers + (f"; {self.refused} refused" if self.refused else ""),
        )


def hold(
    calibration: Calibration,
    gallery: Vectors,
    probes: Vectors,
    *,
    own: bool,
    tallies: dict[float, Tally],
) -> None:
    """One gallery of one photo a person against strangers, at every rate."""
    size = len(gallery)
    best = (probes @ gallery.T).max(axis=1)
    scores = simulated_non_mated(gallery, np.arange(size)) if own else None
    made = open_set(people=size, calibration=calibration, own=scores)
    for rate, tally in tallies.items():
        try:
            point = made.point(rate)
        except UnsupportedFmrError:
            tally.refused += 1
            continue
        named = best >= point.threshold
        low, high = proportion_interval(int(named.sum()), len(named))
        tally.thresholds.append(point.threshold)
        tally.ratios.append(named.mean() / rate)
        tally.inside.append(point.fpir_ci[0] <= named.mean() <= point.fpir_ci[1])
        tally.consistent.append(high >= point.fpir_ci[0] and low <= point.fpir_ci[1])
        peers = [calibration.operating_point(rate).threshold]
        try:
            peers.append(calibration.operating_point(rate / size).threshold)
        except UnsupportedFmrError:
            peers.append(float("nan"))
        pair, divided = (float((best >= t).mean() / rate) for t in peers)
        tally.peers.append((pair, float("nan") if np.isnan(peers[1]) else divided))


HEADER = (
    *("FPIR stated", "threshold", "measured / stated, 10 % to 90 %", "inside", "consistent"),
    "peers: pair threshold / pair rate over N",
)


def stated(
    title: str,
    cases: Sequence[tuple[str, Calibration, Faces, Faces | None, int, Group | None]],
    *,
    rounds: int,
    rates: Sequence[float] = RATES,
) -> Table:
    """Stated against measured FPIR.

    Each case: name, calibration, people to enroll, strangers (``None``: all others), size,
    and who of them takes part.
    """
    table = Table(title, ("people", "enrolled", "own scores", *HEADER))
    for name, calibration, faces, outside, size, group in cases:
        for own in (False, True):
            tallies = {rate: Tally() for rate in rates}
            for k in range(rounds):
                rng = np.random.default_rng([size, k])
                x = faces.vectors[one_each(faces.people, rng)]
                if group is not None:
                    x = x[group(x, rng)]
                order = rng.permutation(len(x))
                rest = x[order[size:]]
                if outside is not None:
                    rest = outside.vectors[one_each(outside.people, rng)]
                hold(calibration, x[order[:size]], rest, own=own, tallies=tallies)
            for rate, tally in tallies.items():
                table.rows.append(
                    tally.row(name, f"{size:,}", "yes" if own else "no", fmr_name(rate))
                )
    return table


def costs(faces: Faces, calibration: Calibration, plans: Sequence[Plan], *, rounds: int) -> Table:
    """FNIR of whole enrollments."""
    table = Table(
        "FNIR, all of LFW: enrolled people missed",
        (
            *("enrolled", "fusion", "non-mated", "rank 1"),
            *("at FPIR 1e-1", "at FPIR 1e-2", "95 % interval"),
            *("at the stated 1e-2", "strangers named there"),
        ),
        note="At FPIR: the threshold that the strangers of the same enrollment set. At the stated: "
        "the program's own, which knows no stranger.",
    )
    for plan in plans:
        found = evaluate(
            faces,
            plan,
            Origin(model=calibration.model, model_sha256=calibration.model_sha256),
            calibration=calibration,
            rates=(1e-1, 1e-2),
            rounds=rounds,
        )
        high, low = found.open_set
        table.rows.append(
            (
                f"{found.enrolled:,} × {plan.photos}",
                plan.fusion if plan.photos > 1 else "-",
                f"{found.non_mated:,}",
                f"{found.rank1:.4f}",
                f"{high.fnir:.4f}",
                f"{low.fnir:.4f}",
                f"{low.fnir_ci[0]:.4f} to {low.fnir_ci[1]:.4f}",
                f"{found.stated[1].fnir:.4f}",
                f"{found.stated[1].measured:.4f}",
            )
        )
    return table


def near(count: int) -> Group:
    """The people closest to one drawn at random: of one sex, age and descent, mostly."""

    def group(x: Vectors, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.argsort(-(x @ x[rng.integers(len(x))]))[:count]

    return group


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    rounds = 4 if options.quick else options.rounds
    recognizer = Recognizer(home=home())
    shipped = recognizer.calibration
    folder = lfw.photo_folder(options.lfw)
    photos = sorted(folder.glob("*/*.jpg"))
    every = embed(recognizer, photos, [p.parent.name for p in photos])
    unseen = lfw.people(options.lfw, "test")
    outside = np.array([name in unseen for name in every.names])
    test, train = among(every, outside), among(every, ~outside)

    print(
        costs(
            every,
            shipped,
            [
                Plan(1000, 1, 4000),
                *(Plan(600, 2, 4000, fusion) for fusion in ("max", "mean", "weighted")),
                *(Plan(400, 3, 4000, fusion) for fusion in ("max", "mean", "weighted")),
                *(Plan(200, 5, 4000, fusion) for fusion in ("max", "mean", "weighted")),
            ],
            rounds=rounds,
        ).markdown()
    )
    sizes = (10, 30, 100, 300, 1000)
    print(
        stated(
            "Test people, one photo each: strangers are the rest of them",
            [("test", shipped, test, None, size, None) for size in sizes],
            rounds=rounds,
        ).markdown()
    )
    print(
        stated(
            "4,000 people",
            [
                ("all, at random", shipped, every, None, 4000, None),
                ("training; strangers: test", shipped, train, test, 4000, None),
            ],
            rounds=max(rounds // 4, 2),
            rates=RATES[:2],
        ).markdown()
    )
    halves: list[tuple[str, Calibration, Faces, Faces | None, int, Group | None]] = []
    for k in range(2 if options.quick else 5):
        chosen = np.zeros(len(every.names), dtype=bool)
        half = np.random.default_rng(k).permutation(len(chosen))[: len(chosen) // 2]
        chosen[half] = True
        own = calibrated(shipped, among(every, chosen))
        halves += [(f"split {k}", own, among(every, ~chosen), None, n, None) for n in (100, 1000)]
    print(
        stated(
            "Random halves of all people: one calibrates, the other is enrolled or strange",
            halves,
            rounds=max(rounds // 4, 2),
            rates=RATES[:2],
        ).markdown()
    )
    hard: list[tuple[str, Calibration, Faces, Faces | None, int, Group | None]] = [
        ("test, look-alikes", shipped, test, None, 100, near(700)),
        ("test, look-alikes", shipped, test, None, 350, near(700)),
    ]
    print(
        stated("People unlike the calibration's", hard, rounds=rounds, rates=RATES[:2]).markdown()
    )


if __name__ == "__main__":
    main()
