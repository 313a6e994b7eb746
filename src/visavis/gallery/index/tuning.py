"""How many candidates of a fast scan must be compared exactly for the recall asked for.

Two kinds of probes are made from the templates themselves, half of each to choose by and half to
report by. *Mated*: a template turned away from itself until their score is one that two photos of
a person have, in a direction along which templates differ. *Strangers*: a normal deviate with the
templates' mean and covariance, of unit length: nobody in particular who looks like the enrolled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.index.exact import ROUNDING, all_processors, top_scores
from visavis.gallery.index.fast_scan import FastScan
from visavis.gallery.index.vector_store import VectorStore
from visavis.types import Record, Vectors

MATED_SCORES = (0.45, 0.80)
"""Scores between a mated probe and its template, evenly spread: the lowest 3 % of SFace's mated
pairs score below, a tenth above (LFW, View 1 training people)."""

MOST_CANDIDATES = 2048
DEEP = 10
_PROBES = 128
_SAMPLE = 4096
_SPARE = 1.5


@dataclass(frozen=True, slots=True)
class Tuning(Record):
    """What was chosen and measured.

    Attributes:
        size: templates when it was.
        one: candidates for the closest template.
        ten: candidates for the ten closest.
        mated: share of mated probes whose closest template is found.
        strangers: the same for strangers.
        mated_ten: share of the ten closest that are found, of mated probes.
        strangers_ten: the same for strangers.
        probes: probes of each kind that these were measured with.
    """

    size: int
    one: int
    ten: int
    mated: float
    strangers: float
    mated_ten: float
    strangers_ten: float
    probes: int

    def candidates(self, k: int, size: int) -> int:
        """Candidates for the ``k`` closest among ``size`` templates.

        Up to ten, a power of ``k`` through what was measured for one and for ten; beyond, four for
        each asked for: the first ten keep their recall, those after them may have less.
        """
        many: float = self.one * min(k, DEEP) ** math.log10(self.ten / self.one)
        return math.ceil(max(many, 4 * k) * math.sqrt(max(size / self.size, 1)))


def tune(rows: VectorStore, scan: FastScan, *, recall: float) -> Tuning | None:
    """Measure, choose, and measure the choice on other probes; ``None`` where even
    ``MOST_CANDIDATES`` are too few for mated probes.

    The choice holds for strangers as well wherever ``MOST_CANDIDATES`` allow.
    """
    rng = np.random.default_rng(len(rows))
    mated, strangers = probes(rows, 2 * _PROBES, rng)
    first, ten = _ranks(rows, scan, np.concatenate([mated, strangers]))
    chosen_first, shown_first = first.reshape(2, 2, _PROBES).swapaxes(0, 1)
    chosen_ten, shown_ten = ten.reshape(2, 2, _PROBES, DEEP).swapaxes(0, 1)
    # Of so few probes the last one or two are luck, so halfway from the recall to all of them; ten
    # times as many ranks need no such care.
    sure = (1 + recall) / 2
    if _needed(chosen_first[0], sure) > MOST_CANDIDATES:
        return None
    count = [
        min(int(_SPARE * max(_needed(kind, share) for kind in kinds)) + 16, MOST_CANDIDATES)
        for kinds, share in ((chosen_first, sure), (chosen_ten, recall))
    ]
    count[1] = max(count)
    return Tuning(
        size=len(rows),
        one=count[0],
        ten=count[1],
        mated=float((shown_first[0] < count[0]).mean()),
        strangers=float((shown_first[1] < count[0]).mean()),
        mated_ten=float((shown_ten[0] < count[1]).mean()),
        strangers_ten=float((shown_ten[1] < count[1]).mean()),
        probes=_PROBES,
    )


def probes(rows: VectorStore, count: int, rng: np.random.Generator) -> tuple[Vectors, Vectors]:
    """``count`` mated probes and as many strangers, ``(count, D)`` each; see above."""
    sample = rows.take(np.sort(rng.choice(len(rows), min(_SAMPLE, len(rows)), replace=False)))
    mean = sample.mean(axis=0)
    spread = (sample - mean) / np.float32(np.sqrt(len(sample)))

    def deviates() -> Vectors:
        weights = rng.standard_normal((count, len(sample)), np.float32)
        out: Vectors = weights @ spread
        return out

    own = rows.take(rng.choice(len(rows), count))
    away = deviates()
    away -= np.sum(away * own, axis=1, keepdims=True) * own
    cosine = rng.permutation(np.linspace(*MATED_SCORES, count, dtype=np.float32))[:, None]
    mated = cosine * own + np.sqrt(1 - cosine**2) * _unit(away)
    return _unit(mated), _unit(mean + deviates())


def _unit(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    out: Vectors = vectors / np.maximum(length, np.float32(1e-12))
    return out


def _ranks(
    rows: VectorStore, scan: FastScan, queries: Vectors
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places among the candidates, from 0, of the true closest ``(Q,)`` and of the true ten
    ``(Q, 10)``. Who is that is told by score: equal templates stand for each other."""
    ten = np.full((len(queries), DEEP), MOST_CANDIDATES, np.int64)
    first = np.full(len(queries), MOST_CANDIDATES, np.int64)
    with all_processors():
        true = top_scores(rows, queries, DEEP)
        proposed = scan.candidates(queries, min(MOST_CANDIDATES, len(rows)))
    for number, query in enumerate(queries):
        order = np.argsort(proposed[number])
        scores = np.empty(len(order), np.float32)
        scores[order] = rows.products(query, proposed[number, order])
        best = true[number]
        hits = np.flatnonzero(scores >= best[-1] - ROUNDING)[:DEEP]
        ten[number, : len(hits)] = hits
        first[number] = min(np.flatnonzero(scores >= best[0] - ROUNDING), default=MOST_CANDIDATES)
    return first, ten


def _needed(ranks: NDArray[np.int64], recall: float) -> int:
    return int(np.quantile(ranks, recall, method="higher")) + 1
