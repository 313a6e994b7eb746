"""The stream of a run's batches ends, whatever its feeds give."""

from __future__ import annotations

from typing import Any

import pytest

from visavis.errors import TrainingError
from visavis.training.loop.loaders import StepLoader


class Loader:
    """Batches that name their epoch and place."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return 3

    def batches(self, epoch: int, *, start: int = 0) -> Any:
        return iter([(epoch, k) for k in range(start, self.count)])


def stream(count: int, **options: Any) -> StepLoader:
    return StepLoader(Loader(count), total=7, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("stretch", [None, 2])
def test_epochs_follow_each_other_and_resume(stretch: int | None) -> None:
    whole = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert list(stream(3, stretch=stretch)) == whole
    later = stream(3, stretch=stretch)
    later.load_state_dict({"step": 4})
    assert list(later) == whole[4:]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("count", [0, 2])
def test_a_feed_with_too_few_batches_is_an_error_and_no_endless_loop(count: int) -> None:
    with pytest.raises(TrainingError, match=f"{count} of 3"):
        list(stream(count))
