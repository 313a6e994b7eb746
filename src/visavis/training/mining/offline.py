"""Hard triplets and look-alike people among all training photos, from their embeddings."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.errors import DataError, OptionError
from visavis.training.seeds import derive

_ANCHORS: Final = 512
_COLUMNS: Final = 1 << 15
_CHUNK: Final = 1024
_REACH: Final = 8


def hard_triplets(raw: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns hardest positive and negative of each photo whose person has another photo.

    The distance is the squared one of unit vectors, ``2 - 2 score``. Computed by blocks: memory
    beyond the embeddings does not grow with their number.

    Args:
        raw: ``(N, D)`` embeddings, brought to unit length here; on any device.
        labels: ``(N,)`` person of each.

    Returns:
        ``(T, 3)`` int64 rows of anchor, positive and negative, ascending by anchor.

    Raises:
        DataError: shapes that do not fit, nobody with two photos, or only one person.

    Example:
        >>> raw = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.9, 0.1], [0.0, 1.0]])
        >>> hard_triplets(raw, np.array([0, 0, 1, 2])).tolist()
        [[0, 1, 2], [1, 0, 2]]
    """
    labels = np.asarray(labels, dtype=np.int64)
    _, person, photos = np.unique(labels, return_inverse=True, return_counts=True)
    if raw.ndim != 2 or labels.shape != raw.shape[:1] or not 1 < len(photos) < len(labels):
        raise DataError(
            f"embeddings {tuple(raw.shape)} and labels {labels.shape} of {len(photos)} people",
            "give (N, D) embeddings with (N,) labels of two people or more, one of them with two "
            "photos",
        )
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(raw.float())
        people = torch.as_tensor(person, device=raw.device)
        anchors = torch.as_tensor(np.flatnonzero(photos[person] > 1), device=raw.device)
        found = [
            _hardest(vectors, people, anchors[start : start + _ANCHORS])
            for start in range(0, len(anchors), _ANCHORS)
        ]
        return torch.cat(found).cpu().numpy()


def _hardest(vectors: Tensor, people: Tensor, anchors: Tensor) -> Tensor:
    farthest = vectors.new_full((len(anchors),), torch.inf)
    nearest = -farthest
    rows = torch.stack([anchors, anchors, anchors], dim=1)
    for start in range(0, len(vectors), _COLUMNS):
        scores = vectors[anchors] @ vectors[start : start + _COLUMNS].T
        same = people[anchors, None] == people[start : start + _COLUMNS]
        itself = anchors[:, None] - start == torch.arange(scores.shape[1], device=anchors.device)
        low, positive = scores.masked_fill(~same | itself, torch.inf).min(dim=1)
        high, negative = scores.masked_fill(same, -torch.inf).max(dim=1)
        rows[:, 1] = torch.where(low < farthest, positive + start, rows[:, 1])
        rows[:, 2] = torch.where(high > nearest, negative + start, rows[:, 2])
        farthest, nearest = torch.minimum(farthest, low), torch.maximum(nearest, high)
    return rows


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
