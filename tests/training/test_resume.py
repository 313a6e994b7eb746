"""Killed at any step and resumed: the same weights as not killed."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.training.tiny import recipe, same_weights

from visavis.errors import TrainingError
from visavis.training.data.pack import Pack
from visavis.training.loop import hardware
from visavis.training.loop.checkpoints import Interrupt, Run, steps_done
from visavis.training.loop.fitting import FitResult, fit
from visavis.training.loop.logs import read_history
from visavis.training.loop.progress import ProgressEvent
from visavis.training.losses import LossOptions
from visavis.training.recipes.recipe import Recipe

TIMES = {"seconds", "images_per_second", "gflops", "share_of_peak"}


class Killed(Exception):
    """Stands in for a power cut."""


def train(chosen: Recipe, pack: Pack, out: Path, *, kill: int | None = None) -> FitResult:
    def progress(moment: ProgressEvent) -> None:
        if moment.step == kill:
            raise Killed

    return fit(
        chosen,
        pack,
        out,
        resume=True,
        progress=progress,
        accelerator="cpu",
        checkpoint_every=2,
    )


def timeless(path: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in row.items() if name not in TIMES}
        for row in read_history(path)
    ]


VARIANTS = {
    "triplet-ema": recipe(patience=10, validate_every=2),
    "joint-memory": recipe(
        loss=LossOptions(kind="joint", memory=16, label_smoothing=0.1), ema=None, validate_every=2
    ),
    "adaface-head-first": recipe(
        loss=LossOptions(kind="adaface", scale=16.0),
        sampler="shuffled",
        head_first=1,
        head_lr=1e-2,
    ),
    "offline-triplets": recipe(
        loss=LossOptions(kind="triplet", miner="given"), sampler="triplets", offline_every=5
    ),
    "pairs-sgd-onecycle": recipe(
        loss=LossOptions(kind="contrastive", margin=1.0),
        sampler="pairs",
        remine_epochs=1,
        optimizer="sgd",
        schedule="onecycle",
        warmup=0.3,
    ),
    "muon": recipe(optimizer="muon", momentum=0.95),
    "bf16-channels-last": recipe(precision="bf16", channels_last=True, clip=None),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_and_resumed_is_bit_for_bit_not_killed(
    variant: str, tiny_pack: Pack, tmp_path: Path
) -> None:
    chosen = VARIANTS[variant]
    whole = train(chosen, tiny_pack, tmp_path / "whole")
    assert whole.steps > 12
    out = tmp_path / "killed"
    # Within an epoch, right after a checkpoint, at an epoch's end with its validation, soon again.
    for kill in (1, 5, 8, 9, whole.steps - 1, whole.steps):
        with pytest.raises(Killed):
            train(chosen, tiny_pack, out, kill=kill)
    resumed = train(chosen, tiny_pack, out)
    assert same_weights(whole.network, resumed.network)
    assert resumed.steps == whole.steps
    assert resumed.best_step == whole.best_step
    assert timeless(resumed.history) == timeless(whole.history)
    assert resumed.validation is not None
    assert whole.validation is not None
    assert resumed.validation.metrics == whole.validation.metrics


@pytest.mark.parametrize("at", [1, 7])
def test_interrupted_it_stops_after_the_step_and_goes_on_from_there(
    at: int, tiny_pack: Pack, tmp_path: Path
) -> None:
    chosen = recipe(epochs=4)
    whole = train(chosen, tiny_pack, tmp_path / "whole")

    def press(moment: ProgressEvent) -> None:
        if moment.step == at:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "interrupted"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(chosen, tiny_pack, out, progress=press, accelerator="cpu", checkpoint_every=1000)
    assert signal.getsignal(signal.SIGINT) is before
    assert steps_done(Run(out).last) == at
    resumed = train(chosen, tiny_pack, out)
    assert same_weights(whole.network, resumed.network)
    assert timeless(resumed.history) == timeless(whole.history)


def test_the_second_interrupt_stops_at_once() -> None:
    with Interrupt() as interrupt:
        with pytest.raises(KeyboardInterrupt):  # nobody looks yet
            signal.raise_signal(signal.SIGINT)
        interrupt.ready = True
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_ignores_interrupts_is_not_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            interrupt.ready = True
            signal.raise_signal(signal.SIGINT)
            assert not interrupt.asked
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_finished_run_resumed_changes_nothing(tiny_pack: Pack, tmp_path: Path) -> None:
    first = train(recipe(epochs=2), tiny_pack, tmp_path)
    before = first.history.read_bytes()
    again = train(recipe(epochs=2), tiny_pack, tmp_path)
    assert same_weights(first.network, again.network)
    assert again.steps == first.steps
    assert again.history.read_bytes() == before


def test_early_stopping_is_resumed_too(tiny_pack: Pack, tmp_path: Path) -> None:
    # A learning rate of next to nothing: no validation is better than the first.
    chosen = recipe(lr=1e-12, patience=2, epochs=8, ema=None, dropout=0.0)
    whole = train(chosen, tiny_pack, tmp_path / "whole")
    assert whole.stopped_early
    assert whole.steps < 8 * 3
    with pytest.raises(Killed):
        train(chosen, tiny_pack, tmp_path / "killed", kill=whole.steps - 2)
    resumed = train(chosen, tiny_pack, tmp_path / "killed")
    assert (resumed.steps, resumed.stopped_early) == (whole.steps, True)
    again = train(chosen, tiny_pack, tmp_path / "killed")
    assert (again.steps, again.stopped_early) == (whole.steps, True)


def test_seeds_and_recipes_matter(tiny_pack: Pack, tmp_path: Path) -> None:
    networks = [
        train(recipe(epochs=1, seed=seed), tiny_pack, tmp_path / name).network
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert same_weights(networks[0], networks[1])
    assert not same_weights(networks[0], networks[2])


def test_training_leaves_the_global_generators_alone(tiny_pack: Pack, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    train(recipe(epochs=1), tiny_pack, tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_folder_with_a_run_is_not_overwritten(tiny_pack: Pack, tmp_path: Path) -> None:
    train(recipe(epochs=1), tiny_pack, tmp_path)
    with pytest.raises(TrainingError, match="resume"):
        fit(recipe(epochs=1), tiny_pack, tmp_path, accelerator="cpu")


def test_another_recipe_cannot_go_on_with_a_run(tiny_pack: Pack, tmp_path: Path) -> None:
    train(recipe(epochs=1), tiny_pack, tmp_path)
    with pytest.raises(TrainingError, match=r"lr 0\.003.*0\.1"):
        train(recipe(epochs=1, lr=0.1), tiny_pack, tmp_path)
    # Threads and workers do not matter to what is learned.
    train(recipe(epochs=1, threads=None), tiny_pack, tmp_path)


def test_another_precision_cannot_go_on_with_a_run(
    monkeypatch: pytest.MonkeyPatch, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A run begun where bfloat16 is arithmetic, taken to a machine where it is not."""
    chosen = recipe(epochs=1, max_steps=1, precision="bf16")
    # Without such instructions a large product takes seconds.
    monkeypatch.setattr(hardware, "measured_peak", lambda *_: 1e9)
    monkeypatch.setattr(hardware, "computes_in_bf16", lambda device: True)
    train(chosen, tiny_pack, tmp_path)
    monkeypatch.setattr(hardware, "computes_in_bf16", lambda device: False)
    with pytest.raises(TrainingError, match=r"bf16.*32"):
        train(chosen, tiny_pack, tmp_path)
    # Earlier versions did not write it down.
    run = Run(tmp_path)
    text = run.description.read_text()
    assert '"computed_in": "bf16"' in text
    run.description.write_text(text.replace('"computed_in": "bf16"', '"computed_in": null'))
    train(chosen, tiny_pack, tmp_path)


def test_other_data_cannot_go_on_with_a_run(tiny_pack: Pack, tmp_path: Path) -> None:
    train(recipe(epochs=1), tiny_pack, tmp_path)
    run = Run(tmp_path)
    text = run.description.read_text()
    run.description.write_text(text.replace(tiny_pack.fingerprint, "0" * 64))
    with pytest.raises(TrainingError, match="other data"):
        train(recipe(epochs=1), tiny_pack, tmp_path)


def test_a_damaged_checkpoint_is_named(tiny_pack: Pack, tmp_path: Path) -> None:
    train(recipe(epochs=1), tiny_pack, tmp_path)
    last = Run(tmp_path).last
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"last\.ckpt"):
        train(recipe(epochs=1), tiny_pack, tmp_path)


def test_a_torn_history_goes_on(tiny_pack: Pack, tmp_path: Path) -> None:
    whole = train(recipe(epochs=2), tiny_pack, tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe(epochs=2), tiny_pack, tmp_path / "torn", kill=5)
    run = Run(tmp_path / "torn")
    with run.history.open("a") as file:
        file.write("6,2.0,0.")  # the power went while writing a row
    resumed = train(recipe(epochs=2), tiny_pack, tmp_path / "torn")
    assert timeless(resumed.history) == timeless(whole.history)


CHILD = """
import dataclasses, json, os, signal, sys
from pathlib import Path
from tests.training import tiny
from visavis.training.data.pack import open_pack
from visavis.training.loop.fitting import fit

tiny.register()
def progress(moment):
    if moment.step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
fit(tiny.recipe(), open_pack(Path(sys.argv[1])), Path(sys.argv[2]), resume=True,
    progress=progress, accelerator="cpu", checkpoint_every=3)
"""


def test_a_process_killed_by_sigkill_goes_on_exactly(tiny_pack: Pack, tmp_path: Path) -> None:
    whole = train(recipe(), tiny_pack, tmp_path / "whole")
    out = tmp_path / "killed"
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tiny_pack.path), str(out), "8"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert child.stderr == ""
    assert child.stdout == ""
    assert steps_done(Run(out).last) == 6
    resumed = fit(recipe(), tiny_pack, out, resume=True, accelerator="cpu", checkpoint_every=3)
    assert same_weights(whole.network, resumed.network)


def test_every_field_of_a_recipe_is_compared(tiny_pack: Pack, tmp_path: Path) -> None:
    train(recipe(epochs=1), tiny_pack, tmp_path)
    other = dataclasses.replace(recipe(epochs=1), loss=LossOptions(kind="triplet", margin=0.3))
    with pytest.raises(TrainingError, match="loss"):
        train(other, tiny_pack, tmp_path)


def test_a_checkpoint_of_a_former_version_is_gone_on_with(tiny_pack: Pack, tmp_path: Path) -> None:
    """They spelled the centers of a classifier otherwise, and the recipe's optimizer."""
    chosen = VARIANTS["adaface-head-first"]
    whole = train(chosen, tiny_pack, tmp_path / "whole")
    with pytest.raises(Killed):
        train(chosen, tiny_pack, tmp_path / "former", kill=7)
    run = Run(tmp_path / "former")
    state = torch.load(run.last, weights_only=True)
    weights = state["state_dict"]
    weights["loss.centres.weight"] = weights.pop("loss.centers.weight")
    torch.save(state, run.last)
    run.description.write_text(run.description.read_text().replace("optimizer", "optimiser"))
    resumed = train(chosen, tiny_pack, tmp_path / "former")
    assert same_weights(whole.network, resumed.network)
