"""Evaluates identification by many random enrollments: closed set, open set, and stated rates.

The protocol follows the benchmark of large-scale unconstrained face recognition (S. Liao, Z. Lei,
D. Yi and S. Z. Li, "A benchmark study of large-scale unconstrained face recognition", IJCB 2014):
people are repeatedly split at random into enrolled and non-mated. Each enrollment also derives its
threshold like a real gallery, from calibration, size and its own scores, and counts how often
non-mated probes reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.open_set import IdentificationPoint, open_set
from visavis.errors import OptionError, UnsupportedFmrError
from visavis.evaluation.identification.enrollment import Faces, Plan, Round, draw, size_of
from visavis.evaluation.identification.records import (
    Curves,
    Identification,
    Interval,
    OpenSetRate,
    StatedRate,
)
from visavis.metrics.identification import cmc, fnir_at_fpir, threshold_at_fpir
from visavis.metrics.intervals import proportion_interval
from visavis.version import __version__

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration

Floats = NDArray[np.float64]

RATES: Final = (1e-1, 1e-2, 1e-3)
RANKS: Final = 20
REPLICATES: Final = 200
_EDGES: Final = np.linspace(-0.3, 1.0, 131)
_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of the faces.

    Attributes:
        protocol: name of the data.
        model: model name.
        model_sha256: hash of its file.
        pipeline_id: id of the pipeline that made the templates.
        failures: photos without a template, by reason.
        command: the command line.
        notes: remarks for readers.
    """

    protocol: str = ""
    model: str = ""
    model_sha256: str = ""
    pipeline_id: str = ""
    failures: dict[str, int] | None = None
    command: str = ""
    notes: tuple[str, ...] = ()


def evaluate(
    faces: Faces,
    plan: Plan,
    origin: Origin = Origin(),
    *,
    calibration: Calibration | None = None,
    rates: Sequence[float] = RATES,
    rounds: int = 20,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Identification:
    """Evaluates identification over random enrollments.

    Args:
        faces: templates, one per photo.
        plan: plan of the enrollments.
        origin: origin of the faces.
        calibration: for the stated rates; ``None``: none.
        rates: FPIRs; those that the non-mated probes do not support are left out.
        rounds: number of enrollments.
        replicates: bootstrap replicates for the intervals.
        seed: random seed.
        progress: called with (done, total) enrollments.

    Raises:
        DataError: too few people or photos for the plan.
        OptionError: a number or rate outside its range.
        ModelMismatchError: the calibration is for another model.
    """
    enrolled, non_mated = size_of(faces, plan)
    if rounds < 1 or replicates < 20:
        raise OptionError(
            f"{rounds} rounds, {replicates} replicates", "give at least 1 round, 20 replicates"
        )
    for rate in rates:
        if not 0 < rate < 1:
            raise OptionError(f"--fpir {rate:g}", "give rates in (0, 1), such as 1e-2")
    if calibration is not None:
        calibration.require_model(origin.model, origin.model_sha256)
    drawn: list[Round] = []
    mean = "none"
    stated: dict[float, list[IdentificationPoint | None]] = {rate: [] for rate in rates}
    for k in range(rounds):
        one = draw(faces, plan, np.random.default_rng([seed, k]), calibration)
        drawn.append(one)
        if calibration is not None:
            open_set_model = open_set(
                people=enrolled,
                templates=plan.photos,
                fusion=plan.fusion,
                calibration=one.calibration,
                own=one.own,
                own_mean=one.calibration is not calibration,
            )
            mean = open_set_model.mean
            for rate in rates:
                try:
                    stated[rate].append(open_set_model.point(rate))
                except UnsupportedFmrError:
                    stated[rate].append(None)
        if progress is not None:
            progress(k + 1, rounds)
    plain = [r.plain for r in drawn if r.plain is not None]
    weights = _weights(len(faces.names), replicates, seed)
    first = [(r.places == 1).astype(np.float64) for r in drawn]
    rank1 = [float(hit.mean()) for hit in first]
    supported = [rate for rate in rates if int(rate * non_mated * (1 + 1e-12)) >= 1]
    return Identification(
        protocol=origin.protocol,
        command=origin.command,
        created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        version=__version__,
        model=origin.model,
        model_sha256=origin.model_sha256,
        pipeline_id=origin.pipeline_id,
        calibration=calibration.name if calibration is not None else "",
        notes=origin.notes,
        people=len(np.unique(faces.people)),
        photos=len(faces.people),
        failures=dict(origin.failures or {}),
        enrolled=enrolled,
        templates=plan.photos,
        fusion=plan.fusion,
        rank=plan.rank,
        rounds=rounds,
        non_mated=non_mated,
        mated=float(np.mean([len(r.mated) for r in drawn])),
        rank1=float(np.mean(rank1)),
        rank1_ci=_interval(
            [_means(h, r.owners, weights) for h, r in zip(first, drawn, strict=True)],
            np.mean(rank1),
            [r.owners for r in drawn],
        ),
        rank1_sd=_sd(rank1),
        rank1_people=float(
            np.mean([_by_person(h, r.owners) for h, r in zip(first, drawn, strict=True)])
        ),
        cmc=tuple(float(v) for v in np.mean([cmc(r.places, most=RANKS) for r in drawn], axis=0)),
        open_set=tuple(_open_set(rate, drawn, plan.rank, weights) for rate in supported),
        mean=mean,
        plain=tuple(_open_set(rate, plain, plan.rank, weights) for rate in supported if plain),
        stated=tuple(
            _stated(rate, drawn, stated[rate], plan.rank, weights)
            for rate in rates
            if calibration is not None
        ),
        curves=_curves(drawn, plan.rank, non_mated),
        replicates=replicates,
    )


def _open_set(rate: float, drawn: Sequence[Round], rank: int, weights: Floats) -> OpenSetRate:
    fnirs, people, thresholds, replicated = [], [], [], []
    for r in drawn:
        fnirs.append(fnir_at_fpir(r.mated, r.places, r.best, rate, rank=rank))
        threshold = threshold_at_fpir(r.best, rate, r.mated)
        thresholds.append(threshold)
        found = np.where(r.places <= rank, r.mated, -np.inf)
        people.append(_by_person((found < threshold).astype(np.float64), r.owners))
        replicated.append(_replicated_fnir(r, found, rate, weights))
    return OpenSetRate(
        fpir=rate,
        fnir=float(np.mean(fnirs)),
        fnir_ci=_interval(replicated, np.mean(fnirs), [r.owners for r in drawn]),
        fnir_sd=_sd(fnirs),
        fnir_people=float(np.mean(people)),
        threshold=float(np.mean(thresholds)),
    )


def _stated(
    rate: float,
    drawn: Sequence[Round],
    points: Sequence[IdentificationPoint | None],
    rank: int,
    weights: Floats,
) -> StatedRate:
    given = [(r, p) for r, p in zip(drawn, points, strict=True) if p is not None]
    nan = float("nan")
    if not given:
        none = (nan, nan)
        return StatedRate(rate, none, "", nan, nan, none, nan, none, nan, nan, 0, len(points))
    measured, fnirs, inside, consistent = [], [], [], []
    fpir_replicates, fnir_replicates = [], []
    for r, p in given:
        named = (r.best >= p.threshold).astype(np.float64)
        missed = ~((r.places <= rank) & (r.mated >= p.threshold))
        low, high = proportion_interval(int(named.sum()), len(named), level=_LEVEL)
        measured.append(float(named.mean()))
        fnirs.append(float(missed.mean()))
        inside.append(p.fpir_ci[0] <= measured[-1] <= p.fpir_ci[1])
        consistent.append(high >= p.fpir_ci[0] and low <= p.fpir_ci[1])
        fpir_replicates.append(_means(named, r.non_mated, weights))
        fnir_replicates.append(_means(missed.astype(np.float64), r.owners, weights))
    return StatedRate(
        stated=rate,
        stated_ci=(
            float(np.mean([p.fpir_ci[0] for _, p in given])),
            float(np.mean([p.fpir_ci[1] for _, p in given])),
        ),
        basis=given[0][1].basis,
        threshold=float(np.mean([p.threshold for _, p in given])),
        measured=float(np.mean(measured)),
        measured_ci=_interval(fpir_replicates, np.mean(measured), [r.non_mated for r, _ in given]),
        fnir=float(np.mean(fnirs)),
        fnir_ci=_interval(fnir_replicates, np.mean(fnirs), [r.owners for r, _ in given]),
        inside=float(np.mean(inside)),
        consistent=float(np.mean(consistent)),
        enrollments=len(given),
        refused=len(points) - len(given),
    )


def _curves(drawn: Sequence[Round], rank: int, non_mated: int) -> Curves:
    grid = np.geomspace(0.5, min(max(1 / non_mated, 1e-5), 0.5), 60) * (1 + 1e-9)
    fnirs = np.array(
        [[fnir_at_fpir(r.mated, r.places, r.best, f, rank=rank) for f in grid] for r in drawn]
    )
    mated, best = (np.concatenate([getattr(r, name) for r in drawn]) for name in ("mated", "best"))
    low, high = _EDGES[0], _EDGES[-1]
    return Curves(
        fpir=_floats(grid),
        fnir=_floats(fnirs.mean(axis=0)),
        fnir_low=_floats(fnirs.min(axis=0)),
        fnir_high=_floats(fnirs.max(axis=0)),
        edges=_floats(_EDGES),
        mated=_floats(np.histogram(np.clip(mated, low, high), _EDGES)[0] / len(mated)),
        non_mated=_floats(np.histogram(np.clip(best, low, high), _EDGES)[0] / len(best)),
    )


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _weights(people: int, replicates: int, seed: int) -> Floats:
    """``(R, P)`` draws of each person in each replicate."""
    rng = np.random.default_rng([seed, 1 << 20])
    return np.stack(
        [np.bincount(rng.integers(0, people, people), minlength=people) for _ in range(replicates)]
    ).astype(np.float64)


def _means(values: Floats, people: NDArray[np.int64], weights: Floats) -> Floats:
    """``(R,)`` weighted means of the probes' values; NaN if nobody was drawn."""
    size = weights.shape[1]
    sums = weights @ np.bincount(people, values, size)
    totals = weights @ np.bincount(people, minlength=size).astype(np.float64)
    means: Floats = np.full(len(sums), np.nan)
    return np.divide(sums, totals, out=means, where=totals > 0)


def _replicated_fnir(r: Round, found: Floats, rate: float, weights: Floats) -> Floats:
    """FNIR at the FPIR in each replicate, with the replicate's own threshold."""
    order = np.argsort(-r.best, kind="stable")
    best, drawn = r.best[order], weights[:, r.non_mated[order]]
    allowed = rate * drawn.sum(axis=1) * (1 + 1e-12)
    # Most non-mated probes that may be above the threshold.
    count = (np.cumsum(drawn, axis=1) <= allowed[:, None]).sum(axis=1)
    refused = np.where(count < len(best), best[np.minimum(count, len(best) - 1)], -np.inf)
    out = np.full(len(weights), np.nan)
    for k, limit in enumerate(refused):
        weight = weights[k, r.owners]
        if weight.sum() > 0:
            out[k] = float(weight[found <= limit].sum() / weight.sum())
    return out


def _interval(
    replicated: Sequence[Floats], value: float | np.floating, people: Sequence[NDArray[np.int64]]
) -> Interval:
    """Percentiles of the replicates' mean over enrollments.

    Without any errors (or successes) the exact binomial bound is used, one trial per person.
    """
    mean = np.mean(np.stack(replicated), axis=0)
    kept = mean[~np.isnan(mean)]
    if len(kept) < 20:
        return (float("nan"), float("nan"))
    trials = len(np.unique(np.concatenate(people)))
    if value in (0.0, 1.0):
        return proportion_interval(trials if value else 0, trials, level=_LEVEL)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return (float(low), float(high))


def _by_person(values: Floats, people: NDArray[np.int64]) -> float:
    counts = np.bincount(people)
    return float((np.bincount(people, values)[counts > 0] / counts[counts > 0]).mean())


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
