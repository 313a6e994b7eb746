"""Is the chance that a stranger is named what was stated? Galleries of every size, and clusters.

    python -m benchmarks.fpir --lfw ../shared/data/lfw --orl ../shared/data/orl \\
        --plot docs/concepts/identification-fpir.svg

Galleries of 10 to 1,000 people with 1 to 25 photos each are drawn from people whom the shipped
calibration has never seen: LFW's View 1 test people, their photos made worse in four ways, and ORL.
All others are strangers. The threshold is the program's, by the shipped calibration and by one made
of 200 photos without labels (``visavis calibrate --unlabelled``) of other people. Then the same for
clusters: a stranger's photos are one probe. Everything was chosen on the training people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.open_set import among, embed
from benchmarks.tables import Table
from benchmarks.unlabelled import DEGRADATIONS, degraded
from visavis.cli.output import home
from visavis.decision.check import shape_of
from visavis.decision.labelled import Provenance
from visavis.decision.open_set import OpenSet, open_set
from visavis.decision.profile import Calibration
from visavis.decision.transfer import transfer
from visavis.decision.unlabelled import estimate_non_mated
from visavis.errors import UnsupportedFmrError
from visavis.evaluation.identification.enrollment import Faces
from visavis.evaluation.protocols import lfw
from visavis.gallery.fusion import fused_scores, mean_templates, simulated_non_mated
from visavis.metrics.intervals import proportion_interval
from visavis.metrics.verification import fmr_name
from visavis.pipeline import Recognizer

RATES = (1e-1, 1e-2, 1e-3)
SIZES = (10, 20, 60, 100, 300, 1000)
PHOTOS = (1, 2, 3, 5, 10, 25)
UNLABELLED = 200
FEWEST_STRANGERS = 15
CLUSTERS = {"1": (1, 1), "2 to 4": (2, 4), "5 to 9": (5, 9), "10 or more": (10, 25)}


@dataclass(frozen=True, slots=True)
class Population:
    """People to enroll and strangers, and calibrations to state rates with."""

    name: str
    faces: Faces
    calibrations: dict[str, Calibration]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Some people enrolled, drawn at random; the others are strangers."""

    vectors: NDArray[np.float32]
    owners: NDArray[np.int64]
    quality_score: NDArray[np.float64]
    column: NDArray[np.int64]
    turn: NDArray[np.int64]
    people: int
    photos: int

    def open_set(self, calibration: Calibration) -> OpenSet:
        own = simulated_non_mated(self.vectors, self.owners, quality_score=self.quality_score)
        return open_set(people=self.people, templates=self.photos, calibration=calibration, own=own)

    def scores(self, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        return fused_scores(
            probes,
            self.vectors,
            self.owners,
            fusion="weighted",
            quality_score=self.quality_score,
            people=self.people,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One gallery at one rate."""

    rate: float
    measured: float
    interval: tuple[float, float]
    own: tuple[float, float]
    missed: float
    warned: bool


def adapted(shipped: Calibration, vectors: NDArray[np.float32]) -> Calibration:
    """What ``visavis calibrate --unlabelled`` makes of these photos."""
    estimate = estimate_non_mated(vectors, shape=shape_of(shipped))
    made = Provenance(
        "adapted",
        shipped.model,
        shipped.model_sha256,
        shipped.pipeline_id,
        "200 photos",
        len(vectors),
    )
    return transfer(shipped, estimate, made)


def population(name: str, faces: Faces, shipped: Calibration, *, adapt: bool) -> Population:
    """People with few photos give the unlabelled ones; they are neither enrolled nor strangers."""
    if not adapt:
        return Population(name, faces, {"shipped": shipped})
    photos = np.bincount(faces.people, minlength=len(faces.names))
    order = np.random.default_rng(1).permutation(len(photos))
    given = order[np.argsort(photos[order], kind="stable")][:UNLABELLED]
    firsts = np.array([np.flatnonzero(faces.people == person)[0] for person in given])
    own = adapted(shipped, faces.vectors[firsts])
    rest = np.ones(len(photos), dtype=bool)
    rest[given] = False
    return Population(name, among(faces, rest), {"shipped": shipped, "adapted": own})


def galleries(faces: Faces, people: int, photos: int, rounds: int) -> Iterator[Gallery]:
    """Random galleries; none where too few people have so many photos, or are left."""
    count = np.bincount(faces.people, minlength=len(faces.names))
    able = np.flatnonzero(count >= photos)
    if len(able) < people or len(count) - people < FEWEST_STRANGERS:
        return
    for k in range(rounds):
        rng = np.random.default_rng([people, photos, k])
        column = np.full(len(count), -1)
        column[rng.choice(able, people, replace=False)] = np.arange(people)
        turn = np.empty(len(faces.people), dtype=np.int64)
        order = rng.permutation(len(faces.people))
        by_person = order[np.argsort(faces.people[order], kind="stable")]
        turn[by_person] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
        rows = np.flatnonzero((column[faces.people] >= 0) & (turn < photos))
        yield Gallery(
            faces.vectors[rows],
            column[faces.people[rows]],
            faces.quality_score[rows],
            column,
            turn,
            people,
            photos,
        )


def outcomes(
    faces: Faces, gallery: Gallery, calibrations: dict[str, Calibration]
) -> dict[str, list[Outcome | None]]:
    """Stated and measured at every rate; ``None`` where it is refused."""
    outside = np.flatnonzero(gallery.column[faces.people] < 0)
    mated = np.flatnonzero((gallery.column[faces.people] >= 0) & (gallery.turn >= gallery.photos))
    best = gallery.scores(faces.vectors[outside]).max(axis=1)
    scores = gallery.scores(faces.vectors[mated])
    right = scores[np.arange(len(mated)), gallery.column[faces.people[mated]]]
    # Every stranger counts once, whatever the number of photos.
    weight = 1.0 / np.bincount(faces.people[outside])[faces.people[outside]]
    number = round(weight.sum())
    found: dict[str, list[Outcome | None]] = {}
    for name, calibration in calibrations.items():
        open_set_model = gallery.open_set(calibration)
        for rate in RATES:
            try:
                point = open_set_model.point(rate)
            except UnsupportedFmrError:
                found.setdefault(name, []).append(None)
                continue
            measured = float((weight * (best >= point.threshold)).sum() / weight.sum())
            found.setdefault(name, []).append(
                Outcome(
                    rate,
                    measured,
                    point.fpir_ci,
                    proportion_interval(round(measured * number), number),
                    float((right < point.threshold).mean()) if len(right) else float("nan"),
                    bool(open_set_model.warnings(rate)),
                )
            )
    return found


Results = dict[tuple[str, str, int, int], list[list[Outcome | None]]]


def measure(populations: Sequence[Population], rounds: int) -> Results:
    """By population, calibration, people and photos: a list of rates for each gallery."""
    results: Results = {}
    for one in populations:
        for people in SIZES:
            for photos in PHOTOS:
                for gallery in galleries(one.faces, people, photos, rounds):
                    for name, found in outcomes(one.faces, gallery, one.calibrations).items():
                        results.setdefault((one.name, name, people, photos), []).append(found)
    return results


def summary(results: Results) -> Table:
    """One row for each population, calibration and rate."""
    table = Table(
        "FPIR measured / stated, galleries of 10 to 1,000 people with 1 to 25 photos each",
        (
            *("photos", "calibration", "stated", "galleries", "measured / stated, 10 % to 90 %"),
            *("inside", "consistent", "at most the upper end", "warned", "missed", "refused"),
        ),
    )
    for name, calibration in dict.fromkeys(key[:2] for key in results):
        rows = [
            g for key, every in results.items() if key[:2] == (name, calibration) for g in every
        ]
        for k, rate in enumerate(RATES):
            known = [one for one in (row[k] for row in rows) if one is not None]
            if not known:
                table.rows.append((name, calibration, fmr_name(rate), "0", *[""] * 6, "all"))
                continue
            ratios = [one.measured / rate for one in known]
            low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
            table.rows.append(
                (
                    *(name, calibration, fmr_name(rate), f"{len(known):,}"),
                    f"{middle:.2f} ({low:.2f} to {high:.2f})",
                    _share(o.interval[0] <= o.measured <= o.interval[1] for o in known),
                    _share(o.own[1] >= o.interval[0] and o.own[0] <= o.interval[1] for o in known),
                    _share(o.measured <= o.interval[1] for o in known),
                    _share(o.warned for o in known),
                    f"{np.nanmean([o.missed for o in known]):.4f}",
                    f"{len(rows) - len(known):,}",
                )
            )
    return table


def _share(values: Iterator[bool]) -> str:
    return f"{np.mean(list(values)):.0%}"


def clusters(populations: Sequence[Population], rounds: int) -> Table:
    """How many clusters of strangers get a name."""
    table = Table(
        "Clusters: strangers named, enrolled people missed",
        (
            *("photos", "faces a cluster", "clusters of strangers"),
            *(f"named at {fmr_name(rate)}" for rate in RATES),
            *(f"by the mean template at {fmr_name(rate)}" for rate in RATES[:2]),
            f"enrolled missed at {fmr_name(RATES[1])}",
        ),
        note="Shipped calibration; 20 or 60 people enrolled with 1, 3 or 5 photos. By the mean "
        "template: the score of the normalized mean template, as it was before.",
    )
    for one in populations:
        for name, sizes in CLUSTERS.items():
            named: dict[float, list[bool]] = {rate: [] for rate in RATES}
            before: dict[float, list[bool]] = {rate: [] for rate in RATES}
            missed: list[bool] = []
            for people, photos in ((20, 1), (20, 3), (20, 5), (60, 1), (60, 3), (60, 5)):
                for gallery in galleries(one.faces, people, photos, rounds):
                    _name(one, gallery, sizes, named=named, before=before, missed=missed)
            if named[RATES[0]]:
                table.rows.append(
                    (
                        *(one.name, name, f"{len(named[RATES[0]]):,}"),
                        *(f"{np.mean(v):.4f}" if v else "refused" for v in named.values()),
                        *(f"{np.mean(before[rate]):.4f}" for rate in RATES[:2]),
                        f"{np.mean(missed):.4f} of {len(missed):,}" if missed else "",
                    )
                )
    return table


def _name(
    one: Population,
    gallery: Gallery,
    sizes: tuple[int, int],
    *,
    named: dict[float, list[bool]],
    before: dict[float, list[bool]],
    missed: list[bool],
) -> None:
    """Name a cluster of each person who has so many photos to spare."""
    faces = one.faces
    count = np.bincount(faces.people, minlength=len(faces.names))
    spare = np.where(gallery.column >= 0, count - gallery.photos, count)
    able = np.flatnonzero(spare >= sizes[0])
    first = np.where(gallery.column >= 0, gallery.photos, 0)
    size = np.minimum(spare, sizes[1])
    within = (gallery.turn >= first[faces.people]) & (gallery.turn < (first + size)[faces.people])
    rows = np.flatnonzero(within & np.isin(faces.people, able))
    if not len(rows):
        return
    owner = np.unique(faces.people[rows], return_inverse=True)[1]
    weight = np.maximum(faces.quality_score[rows], 0.05)
    by_face = gallery.scores(faces.vectors[rows])
    total = np.zeros((len(able), gallery.people))
    np.add.at(total, owner, by_face * weight[:, None])
    mean = total / np.bincount(owner, weight)[:, None]
    template = gallery.scores(mean_templates(faces.vectors[rows], owner, weights=weight))
    column = gallery.column[able]
    open_set_model = gallery.open_set(one.calibrations["shipped"])
    for rate in RATES:
        try:
            threshold = open_set_model.point(rate).threshold
        except UnsupportedFmrError:
            continue
        outside = column < 0
        named[rate] += (mean[outside].max(axis=1) >= threshold).tolist()
        before[rate] += (template[outside].max(axis=1) >= threshold).tolist()
        if rate == RATES[1]:
            mated = mean[~outside]
            right = mated.argmax(axis=1) == column[~outside]
            missed += (~right | (mated.max(axis=1) < threshold)).tolist()


def plot(results: Results, path: Path) -> None:
    """Measured over stated by gallery, beside the stated interval."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "visavis"
    mpl.rcParams["svg.fonttype"] = "none"
    names = list(dict.fromkeys(key[0] for key in results))
    figure, panels = plt.subplots(
        len(names),
        2,
        figsize=(11, 2.3 * len(names)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for row, name in zip(panels, names, strict=True):
        places = list(dict.fromkeys(key[2:] for key in results if key[0] == name))
        for k, panel in enumerate(row):
            for calibration, color, aside in (("shipped", "C0", -0.18), ("adapted", "C1", 0.18)):
                for x, place in enumerate(places):
                    every = results.get((name, calibration, *place), [])
                    known = [g[k] for g in every]
                    found = [one for one in known if one is not None]
                    if not found:
                        continue
                    ratio = np.array([max(one.measured / one.rate, 0.02) for one in found])
                    ends = np.exp(np.log([one.interval for one in found]).mean(axis=0))
                    low, high = ends / RATES[k]
                    at, mark = x + aside, [x + aside]
                    panel.bar(at, high - low, 0.3, low, color=color, alpha=0.22, linewidth=0)
                    span = np.quantile(ratio, [0.1, 0.9])
                    panel.plot([at, at], span, color=color, linewidth=1.2)
                    panel.plot(mark, [np.median(ratio)], "o", color=color, markersize=3)
            panel.axhline(1, color="0.4", linewidth=0.8)
            panel.set_yscale("log")
            panel.minorticks_off()
            panel.set_ylim(0.02, 30)
            panel.set_title(f"{name}, stated {fmr_name(RATES[k])}", fontsize=9)
            labels = [f"{people:,}×{photos}" for people, photos in places]
            panel.set_xticks(range(len(places)), labels, rotation=90, fontsize=6)
            panel.grid(alpha=0.3, axis="y")
        row[0].set_ylabel("measured / stated", fontsize=8)
    for color, label in (("C0", "shipped calibration"), ("C1", "200 photos without labels")):
        panels[0][0].plot([], [], "o-", color=color, label=label)
    panels[0][0].bar(0, 0, color="0.5", alpha=0.3, label="stated interval, 95 %")
    panels[0][0].legend(fontsize=7, loc="lower left")
    figure.supxlabel("people enrolled × photos of each", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="fewer galleries, nothing degraded")
    parser.add_argument("--plot", type=Path, help="SVG to write")
    options = parser.parse_args()
    rounds = 4 if options.quick else options.rounds
    recognizer = Recognizer(home=home())
    shipped = recognizer.calibration
    unseen = lfw.people(options.lfw, "test")
    photos = [photo for own in unseen.values() for photo in own]
    test = embed(recognizer, photos, [p.parent.name for p in photos])
    populations = [population("LFW test people", test, shipped, adapt=True)]
    if options.orl is not None:
        files = sorted(options.orl.glob("s*/*.pgm"))
        orl = embed(recognizer, files, [p.parent.name for p in files])
        populations.append(population("ORL", orl, shipped, adapt=False))
    if not options.quick:
        names = sorted(unseen)
        chosen = sorted(np.random.default_rng(5).permutation(len(names))[:800])
        some = [photo for k in chosen for photo in unseen[names[k]][:3]]
        for how in DEGRADATIONS:
            if how.__name__ in {"low_light", "small_gray", "video", "motion"}:
                worse = embed(recognizer, list(degraded(some, how)), [p.parent.name for p in some])
                name = f"LFW test people, {how.__name__.replace('_', ' ')}"
                populations.append(population(name, worse, shipped, adapt=True))
    results = measure(populations, rounds)
    print(summary(results).markdown())
    print(clusters(populations, rounds).markdown())
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
