"""Rows ordered by cell and person, so that strangers can be drawn without a loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError

Rows = NDArray[np.int64]


def checked_cells(cells: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cell of each photo, ``(N,)``, from the cell of each person.

    Raises:
        DataError: a person without a cell.
    """
    cells = np.asarray(cells, dtype=np.int64)
    if cells.ndim != 1 or labels.min() < 0 or cells.size <= labels.max():
        raise DataError(
            f"cells of shape {cells.shape} for people {labels.min()} to {labels.max()}",
            "give one cell for each person number",
        )
    return cells[labels]


class Strangers:
    """Draws for photos a photo of another person of the same cell, each equally likely.

    Args:
        labels: ``(N,)`` person of each photo.
        cells: ``(N,)`` cell of each photo; people must not lie in two cells.
    """

    def __init__(self, labels: NDArray[np.int64], cells: NDArray[np.int64]) -> None:
        self._rows = np.lexsort((labels, cells))
        _, person, people = np.unique(labels[self._rows], return_inverse=True, return_counts=True)
        _, cell, sizes = np.unique(cells[self._rows], return_inverse=True, return_counts=True)
        place = np.arange(labels.size)
        self._place = np.empty_like(place)
        self._place[self._rows] = place
        first = np.full(people.size, labels.size)
        np.minimum.at(first, person, place)
        self._person_start = np.empty_like(place)
        self._person_start[self._rows] = first[person]
        self._person_size = np.empty_like(place)
        self._person_size[self._rows] = people[person]
        self._cell_start = np.empty_like(place)
        self._cell_start[self._rows] = (np.cumsum(sizes) - sizes)[cell]
        self._cell_size = np.empty_like(place)
        self._cell_size[self._rows] = sizes[cell]

    def exist(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of the photos have a stranger in their cell."""
        stranger: NDArray[np.bool_] = self._cell_size[rows] > self._person_size[rows]
        return stranger

    def draw(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """A stranger for each photo; each must have one (``exist``)."""
        drawn = rng.integers(0, self._cell_size[rows] - self._person_size[rows])
        drawn += self._cell_start[rows]
        own = self._person_start[rows]
        strangers: Rows = self._rows[drawn + np.where(drawn >= own, self._person_size[rows], 0)]
        return strangers

    def draw_mate(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Another photo of the same person for each photo; each person must have two."""
        drawn = self._person_start[rows] + rng.integers(0, self._person_size[rows] - 1)
        mates: Rows = self._rows[drawn + (drawn >= self._place[rows])]
        return mates

    def mated(self) -> Rows:
        """Rows of the photos whose person has another photo."""
        return np.flatnonzero(self._person_size > 1)
