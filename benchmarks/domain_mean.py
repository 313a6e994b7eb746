"""What the mean of photos like the user's does: how many it takes, and what names add to it.

    python -m benchmarks.domain_mean --lfw ../shared/data/lfw --orl ../shared/data/orl \\
        --plot docs/concepts/domain-mean.svg

Nobody is tested whose photos are in the mean. Photos are those of ``benchmarks/unlabelled.py``.
``--only`` runs some parts: ``few`` (10 to 1,000 photos, three kinds of shrinkage), ``names``
(labelled calibration of one half of the people, tested on the other), ``sides`` (two cameras),
``view2`` (LFW's View 2), ``shipped`` (the shipped thresholds on poor photos) and ``members`` (can a
mean tell who is in it?).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table, write_section
from benchmarks.unlabelled import (
    CLAIMS,
    DEGRADATIONS,
    DRAW,
    Cameras,
    People,
    Population,
    Scores,
    Vectors,
    calibrated,
    cameras,
    degraded,
    embed,
    family,
    gather,
    near,
    populations,
    spread,
    studio,
)
from visavis.api.options import embeddings
from visavis.cli.output import home
from visavis.decision.check import shape_of
from visavis.decision.cohort import SHRINKAGE
from visavis.decision.domain import Domain, people_mean
from visavis.decision.labelled import Provenance, calibrate_people
from visavis.decision.profile import Calibration
from visavis.decision.transfer import transfer
from visavis.decision.unlabelled import FEWEST_PHOTOS, estimate_non_mated
from visavis.decision.whitening import fit_domain
from visavis.embedding.cache import EmbeddingCache
from visavis.errors import UnsupportedFmrError
from visavis.evaluation.protocols import lfw
from visavis.metrics.accuracy import kfold_accuracy
from visavis.metrics.verification import fnmr_at_fmr, roc_auc
from visavis.pipeline import Recognizer

PARTS = ("few", "names", "sides", "view2", "shipped", "members")
NUMBERS = (10, 20, 50, 100, 200, 1000)
SHRUNKEN = ("no shrinkage", f"n/(n+{SHRINKAGE:g})", "James-Stein")
ESTIMATED = "thresholds of the photos"
DRAWS = 4
SPLITS = 2
VIEW2_DRAWS = 20

# FMR / claim at 1e-3 of the version before, whose templates were plain, too.
BEFORE = {
    "motion": 12.89,
    "low light": 0.73,
    "small gray": 1.81,
    "sunglasses": 10.59,
    "perspective": 0.79,
    "video": 1.52,
}


def sets(taken: Cameras, orl: Population | None) -> list[Population]:
    """All photos of each kind, so that many may be drawn."""
    plain = gather("other people", taken.plain, 10**6, 0)
    album = {p: v for p, v in taken.plain.items() if p in taken.album}
    found = [plain, *(gather(name, own, 10**6, 0) for name, own in taken.degraded.items())]
    found += [
        gather(f"two cameras, {name}", own, 10**6, 0)
        for name, own in taken.mixed.items()
        if name in ("motion", "low light")
    ]
    found += [family(plain, 1), gather("album", album, 10**6, 0)]
    return found if orl is None else [*found, orl]


def sides(people: People, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to draw from and rows to test on: half of the people, of those with one photo 3 of 4."""
    photos = np.bincount(people)
    several, single = np.flatnonzero(photos > 1), np.flatnonzero(photos == 1)
    drawn = [*rng.permutation(several)[: len(several) // 2]]
    drawn += [*rng.permutation(single)[: 3 * len(single) // 4]]
    inside = np.isin(people, drawn)
    return np.flatnonzero(inside), np.flatnonzero(~inside)


@dataclass(slots=True)
class Curve:
    """What n photos did: FNMR over that of plain templates by set, and FMR / claim of all draws."""

    fnmr: dict[str, list[tuple[float, float]]]
    factors: list[float]

    def ratios(self) -> list[float]:
        """A number a set, if its templates as they are miss more than one pair in 1,000."""
        means = [np.mean(pairs, axis=0) for pairs in self.fnmr.values()]
        return [float(after / before) for before, after in means if before > 1e-3]


Curves = dict[tuple[str, int], Curve]


def few(populations: Sequence[Population], shipped: Calibration) -> Curves:
    """FNMR at a measured FMR of 1e-3, and FMR at the model's threshold for centered templates."""
    curves: Curves = {}
    for population in populations:
        x, people = population.vectors, population.people
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            pool, rest = sides(people, rng)
            before = Scores.within(x[rest], people[rest]).fnmr_at(1e-3)
            for n in (n for n in NUMBERS if n <= len(pool)):
                photos = x[rng.choice(pool, n, replace=False)]
                for kind, domain, threshold in means(photos, shipped):
                    after = Scores.within(domain.apply(x[rest]), people[rest])
                    curve = curves.setdefault((kind, n), Curve({}, []))
                    pair = (before, after.fnmr_at(1e-3))
                    curve.fnmr.setdefault(population.kind, []).append(pair)
                    curve.factors.append(after.fmr(threshold) / 1e-3)
    return curves


def means(photos: Vectors, shipped: Calibration) -> Iterator[tuple[str, Domain, float]]:
    """Each kind of mean, and the threshold for 1e-3 about it."""
    own = calibrated(photos, shipped) if len(photos) >= FEWEST_PHOTOS else None
    people = len(photos) if own is None else own.domain.people
    plain = photos.mean(0)
    if own is not None:
        plain = own.domain.mean * np.float32((people + SHRINKAGE) / people)
        yield ESTIMATED, own.domain, float(own.threshold(1e-3))
    noise = float(((photos - plain) ** 2).sum(1).mean()) / (people - 1)
    factors = (1.0, people / (people + SHRINKAGE), max(0.0, 1 - noise / float(plain @ plain)))
    for kind, factor in zip(SHRUNKEN, factors, strict=True):
        domain = Domain(plain * np.float32(factor), len(photos), people)
        about = shipped.about(domain)
        assert about is not None
        yield kind, domain, about.operating_point(1e-3).threshold


def few_table(curves: Curves, kinds: int) -> Table:
    table = Table(
        "How few photos are enough, at FMR 1e-3",
        (
            "photos",
            *(f"FNMR / plain, {kind}" for kind in SHRUNKEN),
            *(f"FMR / claim, {kind}" for kind in SHRUNKEN),
            ESTIMATED,
        ),
        note="FNMR at the measured FMR, divided by that of plain templates: geometric mean of "
        f"{kinds} sets and, in brackets, the worst. Left out: sets with fewer photos, or with an "
        "FNMR below 1 in 1,000. FMR / claim: at the model's own threshold for centered "
        "templates; last column: at the threshold estimated from the photos.",
    )
    for n in NUMBERS:
        cells = []
        for kind in SHRUNKEN:
            ratios = curves[kind, n].ratios()
            cells.append(f"{np.exp(np.log(ratios).mean()):.2f} ({max(ratios):.2f})")
        cells += [spread(curves[kind, n].factors) for kind in SHRUNKEN]
        own = curves.get((ESTIMATED, n))
        table.rows.append((f"{n:,}", *cells, spread(own.factors) if own else "refused"))
    return table


def plot(curves: Curves, path: Path) -> None:
    """FNMR and FMR against the number of photos."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "visavis"
    mpl.rcParams["svg.fonttype"] = "none"
    figure, (misses, matches) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for kind, color in zip((*SHRUNKEN, ESTIMATED), ("C1", "C0", "C2", "C3"), strict=True):
        some = [n for n in NUMBERS if (kind, n) in curves]
        if kind != ESTIMATED:
            ratios = [curves[kind, n].ratios() for n in some]
            middle = [np.exp(np.log(r).mean()) for r in ratios]
            misses.plot(some, middle, "o-", color=color, markersize=3, label=kind)
            misses.plot(some, [max(r) for r in ratios], ":", color=color)
        low, middle, high = np.array(
            [np.quantile(curves[kind, n].factors, [0.1, 0.5, 0.9]) for n in some]
        ).T
        matches.plot(some, middle, "o-", color=color, markersize=3, label=kind)
        if kind in (SHRUNKEN[1], ESTIMATED):
            matches.fill_between(some, low, high, color=color, alpha=0.15, linewidth=0)
    misses.plot([], [], ":", color="0.4", label="the worst set")
    misses.set_ylabel("FNMR / FNMR of plain templates")
    matches.set_ylabel("measured FMR / claim")
    matches.set_yscale("log")
    for panel in (misses, matches):
        panel.axhline(1, color="0.4", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_xticks(NUMBERS, [f"{n:,}" for n in NUMBERS])
        panel.minorticks_off()
        panel.set_xlabel("photos in the mean")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


@dataclass(frozen=True, slots=True)
class Split:
    """A labelled calibration of one half of the people, on the other half."""

    shrinkage: float | None
    alone: tuple[float, ...]
    chosen: tuple[float, ...]
    factors: tuple[float, ...]

    @property
    def worse(self) -> float:
        """Largest ratio of FNMR; misses of both below 1 in 10,000 are alike."""
        return max((c + 1e-4) / (a + 1e-4) for a, c in zip(self.alone, self.chosen, strict=True))

    @property
    def gain(self) -> float:
        return float(np.sum(self.alone) - np.sum(self.chosen))


def named(population: Population, provenance: Provenance) -> Iterator[Split]:
    """FNMR at the measured FMR, about the mean and as chosen; FMR / claim of the calibration."""
    x, people = population.vectors, population.people
    for seed in range(SPLITS):
        everybody = np.random.default_rng(seed).permutation(np.unique(people))
        inside = np.isin(people, everybody[: len(everybody) // 2])
        made = calibrate_people(x[inside], people[inside], provenance)
        assert made.domain is not None
        rest = x[~inside], people[~inside]
        alone = Scores.within(fit_domain(x[inside], people[inside]).apply(rest[0]), rest[1])
        chosen = Scores.within(made.project(rest[0]), rest[1])
        factors = []
        for claim in CLAIMS:
            try:
                factors.append(chosen.fmr(made.operating_point(claim).threshold) / claim)
            except UnsupportedFmrError:
                factors.append(float("nan"))
        yield Split(
            None if made.domain.whitening is None else made.domain.shrinkage,
            tuple(alone.fnmr_at(claim) for claim in CLAIMS),
            tuple(chosen.fnmr_at(claim) for claim in CLAIMS),
            tuple(factors),
        )


def named_table(results: Mapping[str, Sequence[Split]]) -> Table:
    table = Table(
        "Labelled: half of the people calibrate, the other half is tested",
        (
            *("photos", "splits", "shrinkage chosen"),
            *(f"FNMR at {c:g}, {what}" for c in CLAIMS for what in ("mean alone", "chosen")),
            *(f"FMR / claim at {c:g}" for c in CLAIMS),
        ),
    )
    every = [(kind, one) for kind, some in results.items() for one in some]
    for kind, some in results.items():
        chosen = sorted({"none" if s.shrinkage is None else f"{s.shrinkage:g}" for s in some})
        fnmr = np.mean([(s.alone, s.chosen) for s in some], axis=0).T.ravel()
        factors = np.array([s.factors for s in some]).T
        known = [f[~np.isnan(f)] for f in factors]
        table.rows.append(
            (
                *(kind, str(len(some)), ", ".join(chosen)),
                *(f"{v:.4f}" for v in fnmr),
                *(spread(f) if len(f) else "refused" for f in known),
            )
        )
    whitened = [(kind, one) for kind, one in every if one.shrinkage is not None]
    worse = [f"{kind} {one.worse:.2f}" for kind, one in whitened if one.worse > 1.05]
    within = []
    for k, claim in enumerate(CLAIMS):
        factors = [one.factors[k] for _, one in every if not np.isnan(one.factors[k])]
        within.append(f"{near(factors):.0%} of {len(factors)} at {claim:g}")
    return Table(
        table.title,
        table.columns,
        table.rows,
        note=f"Whitened in {len(whitened)} of {len(every)} splits, better in "
        f"{sum(one.gain > 0 for _, one in whitened)} of them; worse by more than a twentieth: "
        f"{', '.join(worse) or 'none'}. FMR within a factor of 1.5 of the claim: "
        f"{', '.join(within)}.",
    )


def camera_pairs(taken: Cameras, orl: Population | None) -> Iterator[tuple[Population, Population]]:
    """Photos of LFW and degraded ones, no photo on both sides; ORL and LFW, nobody on both."""
    number = {name: k for k, name in enumerate(sorted({p.parent.name for p in taken.plain}))}

    def side(kind: str, own: Mapping[Path, Vectors]) -> Population:
        people = np.array([number[p.parent.name] for p in own])
        return Population(kind, np.stack([*own.values()]), people)

    rng = np.random.default_rng(0)
    for how, every in taken.degraded.items():
        poor = {p: v for p, v in every.items() if rng.integers(2)}
        own = {p: v for p, v in taken.plain.items() if p not in poor}
        yield side("LFW", own), side(f"LFW, {how}", poor)
    if orl is not None:
        moved = Population("ORL", orl.vectors, orl.people + len(number))
        yield moved, side("LFW", taken.plain)


def two_sides(
    pairs: Iterable[tuple[Population, Population]], shipped: Calibration, provenance: Provenance
) -> Table:
    """Photos of one camera against those of another: shipped, one mean, a mean for each."""
    table = Table(
        "Two cameras",
        (
            *("photos", "scores"),
            *(f"FNMR at {c:g}" for c in CLAIMS),
            *(f"FMR / claim at {c:g}" for c in CLAIMS),
        ),
        note=f"{DRAW} photos of each side, {DRAWS} draws, tested on the other half of the people.",
    )
    for a, b in pairs:
        for kind, rows in _sides(a, b, shipped, provenance).items():
            fnmr, factors = np.array(rows).transpose(1, 2, 0)
            cells = [f"{np.mean(v):.4f}" if np.isfinite(v).all() else "no mated" for v in fnmr]
            factors = [f"{np.median(v):.2f}" for v in factors]
            table.rows.append((f"{a.kind} against {b.kind}", kind, *cells, *factors))
    return table


def _sides(
    a: Population, b: Population, shipped: Calibration, provenance: Provenance
) -> dict[str, list[tuple[list[float], list[float]]]]:
    """By kind of score, for each draw: FNMR at the measured FMR, and FMR / claim."""
    found: dict[str, list[tuple[list[float], list[float]]]] = {}
    first, second = {*a.people}, {*b.people}
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        half = [
            person
            for group in (first - second, second - first, first & second)
            for person in rng.permutation(sorted(group))[: len(group) // 2]
        ]
        inside = [np.isin(one.people, half) for one in (a, b)]
        photos = [
            one.vectors[rng.choice(np.flatnonzero(own), DRAW, replace=False)]
            for one, own in zip((a, b), inside, strict=True)
        ]
        shape = shape_of(shipped, centered=True)
        estimates = {
            "one mean": estimate_non_mated(np.concatenate(photos), shape=shape),
            "a mean for each side": estimate_non_mated(*photos, shape=shape),
        }
        made = {k: transfer(shipped, e, provenance) for k, e in estimates.items()}
        rest = [~own for own in inside]
        for kind, calibration in {"shipped": shipped, **made}.items():
            scores = Scores.between(
                calibration.project(a.vectors[rest[0]]),
                a.people[rest[0]],
                calibration.project(b.vectors[rest[1]], side="b"),
                b.people[rest[1]],
            )
            fnmr = [scores.fnmr_at(c) if len(scores.mated) else np.nan for c in CLAIMS]
            points = [calibration.operating_point(c).threshold for c in CLAIMS]
            factors = [scores.fmr(t) / c for t, c in zip(points, CLAIMS, strict=True)]
            found.setdefault(kind, []).append((fnmr, factors))
    return found


def view2(root: Path, templates: Mapping[Path, Vectors]) -> Table:
    """View 2 as shipped, and centered on the mean of training people in none of its pairs."""
    protocol = lfw.view(2, root)
    x = np.stack([templates[photo] for photo in protocol.photos])
    used = set(protocol.people)
    allowed = [own for name, own in lfw.people(root, "train").items() if name not in used]
    table = Table(
        "LFW's View 2",
        (
            *("templates", "accuracy (mean of draws)", "lowest", "highest", "AUC"),
            *("FNMR at 0.01", "FNMR at 0.001"),
        ),
        note=f"Means of one photo a person, of the {len(allowed):,} people of peopleDevTrain who "
        f"are in no pair of View 2; {VIEW2_DRAWS} draws.",
    )
    for n in (0, DRAW, 1000):
        rows = []
        for seed in range(VIEW2_DRAWS if n else 1):
            rng = np.random.default_rng(seed)
            moved = x
            if n:
                some = [allowed[k] for k in rng.choice(len(allowed), n, replace=False)]
                photos = np.stack([templates[own[rng.integers(len(own))]] for own in some])
                moved = fit_domain(photos, np.arange(n)).apply(x)
            scores = (moved[protocol.first] * moved[protocol.second]).sum(1)
            mated, non_mated = scores[protocol.same], scores[~protocol.same]
            rows.append(
                (
                    kfold_accuracy(scores, protocol.same, protocol.fold).mean,
                    roc_auc(mated, non_mated),
                    *(fnmr_at_fmr(mated, non_mated, claim) for claim in CLAIMS),
                )
            )
        accuracy, auc, *fnmr = np.mean(rows, axis=0)
        ends = np.array(rows)[:, 0]
        table.rows.append(
            (
                f"centered on the mean of {n:,} people" if n else "as shipped",
                *(f"{v:.4f}" for v in (accuracy, ends.min(), ends.max())),
                f"{auc:.5f}",
                *(f"{v:.4f}" for v in fnmr),
            )
        )
    return table


def poor_photos(
    recognizer: Recognizer, people: Mapping[str, Sequence[Path]], cache: EmbeddingCache
) -> Table:
    """The shipped thresholds on degraded photos, and those of the version before."""
    often = [photo for own in people.values() if len(own) > 1 for photo in own[:3]][:900]
    point = recognizer.calibration.operating_point(1e-3)
    table = Table(
        "The shipped threshold for 1e-3 on poor photos",
        ("photos", "FMR / claim", "version before", "FNMR there"),
        note="900 photos of View 1's test people, three a person.",
    )
    for how in DEGRADATIONS:
        name = how.__name__.replace("_", " ")
        own = gather(name, embed(recognizer, often, degraded(often, how), cache=cache), 10**6, 0)
        scores = Scores.within(own.vectors, own.people)
        cells = (scores.fmr(point.threshold) / 1e-3, BEFORE[name])
        missed = f"{scores.fnmr(point.threshold):.4f}"
        table.rows.append((name, *(f"{v:.2f}" for v in cells), missed))
    return table


def members(faces: Population) -> Table:
    """How well a mean tells people who are in it from people who are not."""
    table = Table(
        "Who is in a mean: AUC of members against others",
        ("people in the mean", "same photo", "another photo", "same, mean known", "another, known"),
        note="0.5 is chance. Guessed from the score with the mean; in the last two columns from "
        "the score with the difference between it and the mean of everybody, if that is known. "
        "LFW, 20 draws.",
    )
    photos = np.bincount(faces.people)
    several, single = np.flatnonzero(photos > 1), np.flatnonzero(photos == 1)
    first = np.unique(faces.people, return_index=True)[1]
    everybody = people_mean(faces.vectors, faces.people)
    for n in (10, 50, 200, 1000):
        found = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            known = rng.permutation(several)[: min(n, len(several) - 300)]
            more = rng.choice(single, n - len(known), replace=False)
            people = np.concatenate([known, more])
            own = fit_domain(faces.vectors[first[people]], people).mean
            others = faces.vectors[first[np.setdiff1d(several, known)]]
            same, another = faces.vectors[first[known]], faces.vectors[first[known] + 1]
            shift = own - everybody * np.float32(n / (n + SHRINKAGE))
            found.append(
                [roc_auc(x @ m, others @ m) for m in (own, shift) for x in (same, another)]
            )
        table.rows.append((f"{n:,}", *(f"{v:.2f}" for v in np.mean(found, axis=0))))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--markdown", type=Path, help="page to write the tables into")
    options = parser.parse_args()

    def show(part: str, *tables: Table) -> None:
        text = "\n".join(table.markdown() for table in tables)
        print(text, flush=True)
        if options.markdown:
            write_section(options.markdown, part, text, page="")

    recognizer = Recognizer(home=home())
    shipped = recognizer.calibration
    made = Provenance(
        "half", shipped.model, shipped.model_sha256, shipped.pipeline_id, "half of the people", 0
    )
    training, testing = (lfw.people(options.lfw, part) for part in ("train", "test"))
    photos = [photo for own in training.values() for photo in own]
    with EmbeddingCache(embeddings(home())) as cache:
        known = embed(recognizer, photos, photos, cache=cache)
        orl = studio(recognizer, options.orl, cache=cache) if options.orl else None
        if "shipped" in options.only:
            show("shipped", poor_photos(recognizer, testing, cache))
        taken = cameras(recognizer, testing, cache=cache)
    if "view2" in options.only:
        show("view2", view2(options.lfw, {**known, **taken.plain}))
    if "members" in options.only:
        everyone = sorted({**known, **taken.plain}.items())
        owner = np.unique([p.parent.name for p, _ in everyone], return_inverse=True)[1]
        show("members", members(Population("", np.stack([v for _, v in everyone]), owner)))
    if "sides" in options.only:
        show("sides", two_sides(camera_pairs(taken, orl), shipped, made))
    if "few" in options.only:
        kinds = sets(taken, orl)
        curves = few(kinds, shipped)
        show("few", few_table(curves, len(kinds)))
        if options.plot:
            plot(curves, options.plot)
    if "names" in options.only:
        results: dict[str, list[Split]] = {}
        for one in (
            gather("LFW training people", known, 10**6, 0),
            *populations(taken),
            *([] if orl is None else [orl]),
        ):
            results.setdefault(one.kind, []).extend(named(one, made))
        show("names", named_table(results))


if __name__ == "__main__":
    main()
