"""A run set up to collapse is stopped and explained; a healthy one is left alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.training.tiny import make_pack, recipe, register

from visavis.errors import CollapseError
from visavis.training.augment.options import AugmentOptions
from visavis.training.data.pack import Pack
from visavis.training.loop.alarm import CollapseAlarm, Health, remedy
from visavis.training.loop.fitting import fit
from visavis.training.loop.validation import ValidationMetrics
from visavis.training.losses import LossOptions

# Faces that differ little and are thrown about: too much to learn from hard triplets.
HARD = recipe(
    loss=LossOptions(kind="triplet", miner="hard", margin=0.2),
    lr=0.3,
    warmup=0.0,
    clip=None,
    ema=None,
    augment=AugmentOptions(flip=0.5, rotation=45, shift=0.3, zoom=0.4, color=0.8, erase=1.0),
    epochs=40,
    validate_every=20,
    schedule="constant",
)
ALIKE = Health(mated=0.999, non_mated=0.998, rank=1.1)
FINE = Health(mated=0.6, non_mated=0.1, rank=7.0)


def alarm(*, start: int = 5, window: int = 4) -> CollapseAlarm:
    return CollapseAlarm(HARD, start=start, window=window)


def look(watched: CollapseAlarm, steps: range, health: Health, loss: float = 0.2) -> None:
    rng = np.random.default_rng(0)
    for step in steps:
        watched.look(step, loss=loss * rng.uniform(0.9, 1.1), active=0.8, health=health)


@pytest.fixture(scope="module")
def hard_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Thirty people who are hard to tell apart."""
    register()
    return make_pack(tmp_path_factory.mktemp("hard") / "hard.pack", people=30, noise=120.0)


def test_batch_hard_at_a_high_rate_from_the_first_step_is_stopped_and_explained(
    hard_pack: Pack, tmp_path: Path
) -> None:
    with pytest.raises(CollapseError) as stopped:
        fit(HARD, hard_pack, tmp_path, accelerator="cpu")
    text = str(stopped.value)
    assert text.startswith("training collapsed at step ")
    assert "score 0.99" in text
    assert "try 0.03" in text
    assert "mine semihard" in text
    assert "\n" not in text


def test_the_same_run_at_a_low_rate_with_semihard_triplets_is_healthy(
    hard_pack: Pack, tmp_path: Path
) -> None:
    healthy = dataclasses.replace(
        HARD, lr=3e-3, loss=LossOptions(kind="triplet", miner="semihard", margin=0.2)
    )
    fitted = fit(healthy, hard_pack, tmp_path, accelerator="cpu")
    assert not fitted.stopped_early
    assert fitted.validation is not None
    assert fitted.validation.metrics.auc > 0.65


def test_numbers_that_are_not_finite_stop_at_once(tiny_pack: Pack, tmp_path: Path) -> None:
    wild = recipe(
        optimizer="sgd", lr=1e18, warmup=0.0, clip=None, ema=None, backbone="bare",
        loss=LossOptions(kind="contrastive", normalize=False, miner="all"),
    )  # fmt: skip
    with pytest.raises(CollapseError, match=r"step \d+.*finite.*lr"):
        fit(wild, tiny_pack, tmp_path, accelerator="cpu")
    watched = alarm(start=100)
    with pytest.raises(CollapseError, match=r"step 1.*inf"):
        watched.look(1, loss=float("inf"), active=0.5, health=FINE)


def test_nothing_is_judged_before_the_warm_up_and_a_window() -> None:
    watched = alarm(start=5, window=4)
    look(watched, range(1, 9), ALIKE)
    with pytest.raises(CollapseError, match=r"step 9.*0\.998.*step 6"):
        look(watched, range(9, 10), ALIKE)


def test_one_good_look_within_the_window_lets_it_go_on() -> None:
    watched = alarm(start=0, window=4)
    for begin in range(1, 40, 4):
        look(watched, range(begin, begin + 3), ALIKE)
        look(watched, range(begin + 3, begin + 4), FINE)
    with pytest.raises(CollapseError, match="step 44"):  # four without a good one
        look(watched, range(41, 45), ALIKE)


def test_a_run_on_its_way_out_goes_on() -> None:
    def run(growth: float) -> None:
        watched = alarm(start=0, window=6)
        for step in range(1, 40):
            spread = 0.002 * growth**step
            health = Health(mated=1 - spread, non_mated=1 - 1.01 * spread, rank=1 + 5 * spread)
            watched.look(step, loss=0.2 - 1e-3 * step, active=0.9, health=health)

    run(1.1)
    with pytest.raises(CollapseError, match=r"step 6.*look alike|step 6.*score 0\.99"):
        run(1.01)


def test_embeddings_on_a_line_are_seen_where_scores_look_fine() -> None:
    # Two opposite directions: scores of -1 and 1, mean non-mated score about 0.
    watched = alarm(start=0)
    with pytest.raises(CollapseError, match=r"1\.2"):
        look(watched, range(1, 9), Health(mated=0.5, non_mated=0.0, rank=1.2))


def test_a_loss_that_stands_still_with_everything_active_is_seen() -> None:
    watched = alarm(start=0)
    health = Health(mated=0.3, non_mated=0.3, rank=5.0)
    for step in range(1, 4):
        watched.look(step, loss=0.2, active=1.0, health=health)
    with pytest.raises(CollapseError, match=r"0\.2.*step 1"):
        watched.look(4, loss=0.2, active=1.0, health=health)


def test_batches_without_mated_pairs_are_judged_by_their_strangers() -> None:
    nan = float("nan")
    with pytest.raises(CollapseError, match=r"0\.99"):
        look(alarm(start=0), range(1, 9), Health(mated=nan, non_mated=0.99, rank=3.0))
    look(alarm(start=0), range(1, 9), Health(mated=nan, non_mated=0.5, rank=3.0))


def metrics(auc: float, mated: float, non_mated: float) -> ValidationMetrics:
    return ValidationMetrics(auc, mated, non_mated, 1.5, {}, 10, 100, 5, 20)


def test_the_second_validation_that_tells_nobody_apart_stops() -> None:
    watched = alarm(start=10)
    bad = metrics(0.51, 0.999, 0.998)
    for step in (5, 10, 15):
        watched.validated(step, bad)
    watched.validated(20, metrics(0.8, 0.999, 0.995))
    watched.validated(25, bad)
    with pytest.raises(CollapseError, match=r"AUC 0\.510"):
        watched.validated(30, bad)


def test_state_goes_on_where_it_was() -> None:
    first, second = alarm(), alarm()
    look(first, range(1, 9), ALIKE)
    second.load_state_dict(first.state_dict())
    with pytest.raises(CollapseError, match="step 9"):
        look(second, range(9, 10), ALIKE)


@pytest.mark.parametrize("kind", ["alike", "not finite"])
def test_the_remedy_names_the_values_in_use(kind: str) -> None:
    text = remedy(dataclasses.replace(HARD, precision="bf16"), kind)
    assert "try 0.03" in text
    assert "warmup=0; try 0.1" in text
    assert "clip=1" in text
    assert ("precision=32" in text) == (kind == "not finite")
    assert ("loss.margin=0.2" in text) == (kind == "alike")
