from __future__ import annotations

import numpy as np
import pytest
import torch

from visavis.errors import DataError, OptionError
from visavis.training.mining import offline
from visavis.training.mining.offline import lookalike_cells


def test_groups_are_found_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five families of four people each, with one to three photos a person."""
    rng = np.random.default_rng(0)
    family = rng.permutation(np.repeat(np.arange(5), 4))
    labels = rng.permutation(np.repeat(np.arange(20), rng.integers(1, 4, 20)))
    raw = torch.tensor(
        np.eye(8)[family[labels]] + 0.05 * rng.normal(size=(len(labels), 8)), dtype=torch.float32
    )
    cells = lookalike_cells(raw, labels, size=4, seed=0)
    assert cells.shape == (20,)
    for member in range(5):
        assert len(set(cells[family == member])) == 1
    assert len(set(cells)) == 5
    monkeypatch.setattr(offline, "_CHUNK", 3)
    np.testing.assert_array_equal(cells, lookalike_cells(raw, labels, size=4, seed=0))


def test_cells_keep_to_their_size() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 40, 300)
    raw = torch.tensor(rng.normal(size=(300, 6)), dtype=torch.float32)
    cells = lookalike_cells(raw, labels, size=5, seed=0)
    sizes = np.bincount(cells)
    assert sizes.max() == 5
    assert sizes.sum() == 40
    assert set(cells) == set(range(len(sizes)))
    assert not np.array_equal(cells, lookalike_cells(raw, labels, size=5, seed=1))


def test_people_without_photos_are_alone() -> None:
    raw = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    cells = lookalike_cells(raw, np.array([0, 3, 5]), size=3, seed=0)
    assert cells[0] == cells[3] == cells[5]
    assert len({*cells[[1, 2, 4]], cells[0]}) == 4


def test_input_is_checked() -> None:
    raw = torch.ones(3, 2)
    with pytest.raises(DataError, match="labels"):
        lookalike_cells(raw, np.array([0, 1]), size=2, seed=0)
    with pytest.raises(DataError, match="0 or more"):
        lookalike_cells(raw, np.array([0, 1, -1]), size=2, seed=0)
    with pytest.raises(OptionError, match="cells of 1"):
        lookalike_cells(raw, np.array([0, 1, 2]), size=1, seed=0)
