"""Hard triplets of the whole training set, from its embeddings by the latest checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.errors import DataError, OptionError
from visavis.training.seeds import derive
from visavis.types import Record

_ANCHORS: Final = 512
_COLUMNS: Final = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class HardTriplets(Record):
    """What was mined.

    Attributes:
        rows: ``(T, 3)`` int64 rows of anchor, positive and negative; T may be 0.
        violating: share of them with ``d(a, n) < d(a, p) + margin``; NaN without triplets.
        anchors: anchors that were looked at, the suspected ones among them.
        suspected: rows left out of the triplets, because their label may be wrong.
    """

    rows: NDArray[np.int64]
    violating: float
    anchors: int
    suspected: NDArray[np.int64]


def hard_triplets(
    raw: Tensor,
    labels: NDArray[np.int64],
    *,
    seed: int,
    anchors: int | None = None,
    negatives: int = 1,
    kind: str = "hard",
    margin: float = 0.2,
    suspected: float = 0.0,
) -> HardTriplets:
    """For sampled anchors the farthest positive with the nearest negatives.

    The distance is the squared one of unit vectors, ``2 - 2 score``. Computed by blocks: memory
    beyond the embeddings does not grow with their number. The outcome depends on nothing but the
    arguments.

    Args:
        raw: ``(N, D)`` embeddings, brought to unit length here; on any device.
        labels: ``(N,)`` person of each.
        seed: of the sample of anchors.
        anchors: number of anchors, drawn without repeats from the photos whose person has
            another; ``None``: all of these.
        negatives: triplets of an anchor.
        kind: ``hard``: the nearest negatives; ``semihard``: the nearest of those that are farther
            than the positive, but by less than the margin (an anchor may then have none).
        margin: as the loss has it.
        suspected: share of the anchors that are taken for mislabeled and are in no triplet:
            those with the greatest lead of the nearest stranger over the nearest photo of the
            same person. Costs a second pass. Hard negatives of a data set with wrong labels are
            mostly those.

    Raises:
        DataError: shapes that do not fit, nobody with two photos, or only one person.
        OptionError: a number out of its range, or another kind.

    Example:
        >>> raw = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.9, 0.1], [0.0, 1.0]])
        >>> hard_triplets(raw, np.array([0, 0, 1, 2]), seed=0).rows.tolist()
        [[0, 1, 2], [1, 0, 2]]
    """
    if (
        kind not in {"hard", "semihard"}
        or negatives < 1
        or (anchors is not None and anchors < 1)
        or not 0 <= suspected < 1
        or margin < 0
    ):
        raise OptionError(
            f"kind {kind!r}, {anchors} anchors, {negatives} negatives, margin {margin}, "
            f"{suspected} suspected",
            "give hard or semihard, one or more of each, a margin >= 0 and a share below 1",
        )
    with torch.no_grad():
        miner = _Miner(raw, labels)
        chosen = miner.sample(anchors, seed)
        looked_at = len(chosen)
        left_out = miner.suspects(chosen, suspected)
        miner.leave_out(left_out)
        chosen = chosen[~torch.isin(chosen, left_out)]
        rows, scores = miner.triplets(chosen, negatives, margin if kind == "semihard" else None)
        violating = (scores[:, 1] > scores[:, 0] - margin / 2).float().mean()
        return HardTriplets(
            rows=miner.order[rows].cpu().numpy().reshape(-1, 3),
            violating=float(violating),
            anchors=looked_at,
            suspected=np.sort(miner.order[left_out].cpu().numpy()),
        )


class _Miner:
    """Works on rows sorted by person: mates of neighboring anchors are then neighbors."""

    def __init__(self, raw: Tensor, labels: NDArray[np.int64]) -> None:
        labels = np.asarray(labels, dtype=np.int64)
        people = np.unique(labels)
        if raw.ndim != 2 or labels.shape != raw.shape[:1] or len(people) < 2:
            raise DataError(
                f"embeddings {tuple(raw.shape)} and labels {labels.shape} of {len(people)} people",
                "give (N, D) embeddings with (N,) labels of two people or more",
            )
        order = np.argsort(labels, kind="stable")
        labels = labels[order]
        self.order = torch.as_tensor(order, device=raw.device)
        self.labels = torch.as_tensor(labels, device=raw.device)
        vectors = raw if bool((order[:-1] < order[1:]).all()) else raw[self.order]
        self.vectors = torch.nn.functional.normalize(vectors.float())
        self.first = np.searchsorted(labels, labels, side="left")
        self.end = np.searchsorted(labels, labels, side="right")
        self.usable = torch.ones(len(labels), dtype=torch.bool, device=raw.device)

    def sample(self, number: int | None, seed: int) -> Tensor:
        mated = np.flatnonzero(self.end - self.first > 1)
        if not mated.size:
            raise DataError(
                f"{len(self.first)} photos, each of another person",
                "give people with two photos or more: a triplet needs a mated pair",
            )
        if number is not None and number < mated.size:
            rng = np.random.default_rng(derive(seed, "anchors"))
            mated = np.sort(rng.choice(mated, number, replace=False))
        return torch.as_tensor(mated, device=self.vectors.device)

    def suspects(self, anchors: Tensor, share: float) -> Tensor:
        number = int(share * len(anchors))
        if not number:
            return anchors[:0]
        stranger = torch.cat(
            [scores[:, 0] for _, scores, _ in self.nearest_strangers(anchors, 1, None)]
        )
        friend = torch.cat([score for _, score, _ in self.mates(anchors, farthest=False)])
        return anchors[(stranger - friend).topk(number).indices]

    def leave_out(self, rows: Tensor) -> None:
        self.usable[rows] = False

    def triplets(
        self, anchors: Tensor, negatives: int, margin: float | None
    ) -> tuple[Tensor, Tensor]:
        """Rows (T, 3), and the scores of the mated and non-mated pair (T, 2)."""
        rows, scores = [], []
        for part, mated, positive in self.mates(anchors, farthest=True):
            bounds = None if margin is None else (mated - margin / 2, mated)
            found = self.nearest_strangers(part, negatives, bounds)
            _, score, negative = next(iter(found))
            there = (score > -torch.inf) & (mated < torch.inf)[:, None]
            which, place = there.nonzero(as_tuple=True)
            rows.append(torch.stack([part[which], positive[which], negative[which, place]], dim=1))
            scores.append(torch.stack([mated[which], score[which, place]], dim=1))
        if not rows:
            return anchors.new_zeros((0, 3)), self.vectors.new_zeros((0, 2))
        return torch.cat(rows), torch.cat(scores)

    def mates(self, anchors: Tensor, *, farthest: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """By parts: anchors, score and row of their farthest or nearest usable mate.

        Without any, the score is infinite (minus infinite for the nearest).
        """
        sign = -1.0 if farthest else 1.0
        for part in parts(anchors):
            best = self.vectors.new_full((len(part),), -torch.inf)
            place = torch.zeros_like(part)
            end = int(self.end[int(part[-1])])
            for start in range(int(self.first[int(part[0])]), end, _COLUMNS):
                scores, same = self.compared(part, start, min(start + _COLUMNS, end))
                rows = torch.arange(start, start + scores.shape[1], device=part.device)
                mate = same & (part[:, None] != rows) & self.usable[rows]
                score, at = (sign * scores).masked_fill_(~mate, -torch.inf).max(dim=1)
                better = score > best
                best = torch.where(better, score, best)
                place = torch.where(better, at + start, place)
            yield part, sign * best, place

    def nearest_strangers(
        self, anchors: Tensor, number: int, bounds: tuple[Tensor, Tensor] | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """By parts: anchors, scores and rows of their ``number`` nearest usable strangers.

        With bounds (of a single part), of those with a score strictly between the two. Places
        that stay empty have score minus infinity.
        """
        for part in parts(anchors):
            best = self.vectors.new_full((len(part), number), -torch.inf)
            place = part.new_zeros((len(part), number))
            for start in range(0, len(self.vectors), _COLUMNS):
                scores, same = self.compared(part, start, start + _COLUMNS)
                stranger = ~same & self.usable[start : start + _COLUMNS]
                if bounds is not None:
                    stranger &= (scores > bounds[0][:, None]) & (scores < bounds[1][:, None])
                scores.masked_fill_(~stranger, -torch.inf)
                score, at = scores.topk(min(number, scores.shape[1]), dim=1)
                best, which = torch.cat([best, score], dim=1).topk(number, dim=1)
                place = torch.cat([place, at + start], dim=1).gather(1, which)
            yield part, best, place

    def compared(self, part: Tensor, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Scores of anchors with rows start to end, and whether they are one person."""
        scores = self.vectors[part] @ self.vectors[start:end].T
        return scores, self.labels[part][:, None] == self.labels[start:end]


def parts(anchors: Tensor) -> Iterator[Tensor]:
    """The anchors in pieces that are compared at once."""
    for start in range(0, len(anchors), _ANCHORS):
        yield anchors[start : start + _ANCHORS]


_CHUNK: Final = 1024
_REACH: Final = 8


def lookalike_cells(
    raw: Tensor, labels: NDArray[np.int64], *, size: int, seed: int
) -> NDArray[np.int64]:
    """Cells of up to ``size`` people whose mean embeddings are near each other.

    Random batches soon hold no hard negatives: among thousands of people a given person's
    look-alikes are rarely drawn together. Samplers take these cells (``remined``) to bring them
    together. In random order, each person not yet in a cell gathers the nearest others who are
    not either, of those among its ``8 x size`` nearest people; so cells may be smaller than
    ``size``.

    Args:
        raw: ``(N, D)`` embeddings of the training set; brought to unit length here.
        labels: ``(N,)`` person of each, not negative.
        size: people of a cell, at least 2.
        seed: of the order in which people gather others.

    Returns:
        ``(max(labels) + 1,)`` int64 cell of each person; a number without a photo gets a cell of
        its own.

    Raises:
        DataError: shapes that do not fit, no photos, or a negative label.
        OptionError: a cell of fewer than two.

    Example:
        >>> raw = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.1, 0.9]])
        >>> cells = lookalike_cells(raw, np.array([0, 1, 2, 3]), size=2, seed=0)
        >>> bool(cells[0] == cells[2]), bool(cells[1] == cells[3]), bool(cells[0] == cells[1])
        (True, True, False)
    """
    labels = np.asarray(labels, dtype=np.int64)
    if raw.ndim != 2 or labels.shape != raw.shape[:1] or not labels.size or labels.min() < 0:
        raise DataError(
            f"embeddings {tuple(raw.shape)} and labels {labels.shape}",
            "give (N, D) embeddings with (N,) person numbers of 0 or more",
        )
    if size < 2:
        raise OptionError(f"cells of {size} people", "give 2 or more")
    people, person = np.unique(labels, return_inverse=True)
    near = _nearest(raw, person, len(people), min(len(people), _REACH * size))
    cell = np.full(len(people), -1, dtype=np.int64)
    order = np.random.default_rng(derive(seed, "cells")).permutation(len(people))
    for number, first in enumerate(order):
        if cell[first] < 0:
            free = near[first][cell[near[first]] < 0]
            cell[free[free != first][: size - 1]] = number
            cell[first] = number
    cells = len(people) + np.arange(labels.max() + 1)
    cells[people] = cell
    return np.unique(cells, return_inverse=True)[1].astype(np.int64)


def _nearest(raw: Tensor, person: NDArray[np.int64], people: int, number: int) -> NDArray[np.int64]:
    """The nearest people of each, nearest first, by the cosine of their mean embeddings."""
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(raw.float())
        sums = vectors.new_zeros((people, raw.shape[1]))
        sums.index_add_(0, torch.as_tensor(person, device=raw.device), vectors)
        means = torch.nn.functional.normalize(sums)
        found = [
            (means[start : start + _CHUNK] @ means.T).topk(number, dim=1).indices
            for start in range(0, people, _CHUNK)
        ]
        return torch.cat(found).cpu().numpy()
