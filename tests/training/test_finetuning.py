"""Training a network on: what stays frozen, what it is held to, and how it is validated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.tiny import Tiny, recipe, same_weights
from torch import nn

from visavis.embedding.torch import FaceNetwork
from visavis.errors import OptionError
from visavis.training import building
from visavis.training.augment.options import AugmentOptions
from visavis.training.building import blend, build_network
from visavis.training.data.pack import Pack
from visavis.training.loop.fitting import FitResult, fit, save_network
from visavis.training.loop.logs import read_history
from visavis.training.loop.module import Teacher
from visavis.training.loop.progress import ProgressEvent
from visavis.training.losses import LossOptions, build_loss
from visavis.training.losses.base import LossValue
from visavis.training.losses.classifiers import begin_at_means
from visavis.training.recipes.recipe import Recipe
from visavis.weights.model_directory import WEIGHTS


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights to start from, their running statistics not those of a new network."""
    folder = tmp_path_factory.mktemp("untouched")
    torch.manual_seed(3)
    network = FaceNetwork(Tiny())
    network.raw(torch.rand(64, 3, 16, 16) * 255)
    save_network(network, folder / WEIGHTS)
    return folder


def tuning(untouched: Path, **changes: object) -> Recipe:
    given = {
        "init": str(untouched),
        "distil": 1.0,
        "freeze_norm": True,
        "dropout": 0.0,
        "epochs": 3,
    }
    return recipe(**{**given, **changes})


def train(chosen: Recipe, pack: Pack, out: Path, *, kill: int | None = None) -> FitResult:
    def progress(moment: ProgressEvent) -> None:
        if moment.step == kill:
            raise KeyError

    return fit(
        chosen,
        pack,
        out,
        resume=True,
        progress=progress,
        accelerator="cpu",
        checkpoint_every=2,
    )


def changed(untouched: Path, network: nn.Module) -> set[str]:
    before = load_file(untouched / WEIGHTS)
    return {
        name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }


def test_frozen_weights_and_statistics_stay_to_the_bit(
    tiny_pack: Pack, untouched: Path, tmp_path: Path
) -> None:
    rest = {"3.weight", "3.bias", "4.weight", "7.weight", "7.bias"}
    first = {"0.weight", "1.weight", "1.bias", "2.weight"}
    statistics = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    for frozen, freeze_norm, expected in (
        (1, True, rest),
        (1, False, rest),
        (0, True, rest | first),
        (0, False, rest | first | statistics),
    ):
        chosen = tuning(untouched, frozen=frozen, freeze_norm=freeze_norm, epochs=1, ema=None)
        made = train(chosen, tiny_pack, tmp_path / f"{frozen}{freeze_norm}")
        assert changed(untouched, made.network) == {f"backbone.body.{k}" for k in expected}


def test_what_is_frozen_keeps_no_gradient_and_the_rest_trains() -> None:
    network = Tiny(dropout=0.5)
    building.freeze(network, 1)
    building.train_mode(network, convolutions=1, norms=False)
    assert [module.training for module in network.body] == [True, False] + [True] * 6
    network(torch.rand(2, 3, 16, 16)).sum().backward()
    assert [p.grad is not None for p in network.parameters()] == [False] * 4 + [True] * 5


def test_freezing_more_than_there_is_is_refused(untouched: Path) -> None:
    with pytest.raises(OptionError, match="frozen 2"):
        build_network(tuning(untouched, frozen=2))
    with pytest.raises(OptionError, match=r"distil 1\.0"):
        recipe(distil=1.0)
    with pytest.raises(OptionError, match="freeze_norm True"):
        recipe(freeze_norm=True)


def test_disagreement_is_one_minus_the_cosine_with_the_untouched_network(untouched: Path) -> None:
    network = build_network(tuning(untouched))
    rng = np.random.default_rng(0)
    plain = torch.from_numpy(rng.uniform(0, 255, (5, 3, 16, 16)).astype(np.float32))
    other = torch.from_numpy(rng.uniform(0, 255, (5, 3, 16, 16)).astype(np.float32))
    known = network.eval()(plain).detach().numpy()
    rows = np.array([7, 3, 11, 0, 4])
    teacher = Teacher(known[[2, 0, 4, 1, 3]], rows[[2, 0, 4, 1, 3]], weight=3.0)
    raw, wanted = network.raw(other), teacher.wanted(other, torch.from_numpy(rows), 0)
    naive = 0.0
    for mine, image in zip(raw.detach().numpy(), plain, strict=True):
        theirs = network.raw(image[None])[0].detach().numpy()
        naive += 1 - mine @ theirs / np.sqrt((mine @ mine) * (theirs @ theirs))
    value = teacher.added(LossValue(torch.tensor(2.0), torch.tensor(0.5), {}), raw, wanted)
    assert value.loss.item() == pytest.approx(2 + 3 * naive / 5, abs=1e-5)
    assert value.parts["distil"].item() == pytest.approx(naive / 5, abs=1e-6)
    assert not wanted.requires_grad
    value.loss.backward()
    assert network.backbone.body[7].weight.grad.abs().sum() > 0


def test_the_first_step_disagrees_only_where_crops_were_changed(
    tiny_pack: Pack, untouched: Path, tmp_path: Path
) -> None:
    first = {}
    for name, augment in {
        "plain": AugmentOptions.none(),
        "color": AugmentOptions(flip=0.0, color=0.5),
    }.items():
        train(tuning(untouched, augment=augment), tiny_pack, tmp_path / name)
        first[name] = read_history(tmp_path / name / "history.csv")[0]["loss_distil"]
    assert first["plain"] == pytest.approx(0, abs=1e-6)
    assert first["color"] > 1e-4


def test_without_another_loss_the_disagreement_falls(
    tiny_pack: Pack, untouched: Path, tmp_path: Path
) -> None:
    chosen = tuning(
        untouched, augment=AugmentOptions(color=0.5, mask=0.5), distil=1e4, epochs=30, lr=1e-3
    )
    train(chosen, tiny_pack, tmp_path)
    course = [
        row["loss_distil"] for row in read_history(tmp_path / "history.csv") if "loss_distil" in row
    ]
    assert np.mean(course[-20:]) < 0.8 * np.mean(course[:10])


def test_blended_weights_lie_on_the_way_from_the_first_ones(
    tiny_pack: Pack, untouched: Path, tmp_path: Path
) -> None:
    chosen = tuning(untouched, freeze_norm=False, ema=None, validation_share=0.3)
    first = build_network(chosen).state_dict()
    whole = train(chosen, tiny_pack, tmp_path / "whole").network.state_dict()
    part = train(
        dataclasses.replace(chosen, blend=0.25), tiny_pack, tmp_path / "part"
    ).network.state_dict()
    moved = 0.0
    for name, value in part.items():
        if value.is_floating_point():
            expected = first[name] + 0.25 * (whole[name] - first[name])
            torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)
            moved = max(moved, float((whole[name] - first[name]).abs().max()))
        else:
            assert torch.equal(value, whole[name])
    assert moved > 1e-4
    # A finished run can be blended anew without training again.
    anew = fit(dataclasses.replace(chosen, blend=0.25), tiny_pack, tmp_path / "whole", resume=True)
    for name, value in anew.network.state_dict().items():
        assert torch.equal(value, part[name])
    with pytest.raises(OptionError, match=r"blend 0\.0"):
        recipe(blend=0.0)
    with pytest.raises(OptionError, match=r"blend 0\.5"):
        recipe(blend=0.5)


def test_only_a_network_and_its_past_are_blended() -> None:
    with pytest.raises(OptionError, match="two networks"):
        blend(torch.nn.Linear(2, 2), torch.nn.Linear(2, 3), 0.5)
    with pytest.raises(OptionError, match=r"blend 1\.5"):
        blend(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), 1.5)


def test_killed_and_resumed_is_bit_for_bit_not_killed(
    tiny_pack: Pack, untouched: Path, tmp_path: Path
) -> None:
    chosen = tuning(
        untouched,
        frozen=1,
        augment=AugmentOptions(mask=0.5, color=0.2),
        loss=LossOptions(kind="cosface", scale=16.0),
        sampler="shuffled",
        head_from_init=True,
        blend=0.6,
    )
    whole = train(chosen, tiny_pack, tmp_path / "whole")
    for kill in (1, 5, 8):
        with pytest.raises(KeyError):
            train(chosen, tiny_pack, tmp_path / "killed", kill=kill)
    resumed = train(chosen, tiny_pack, tmp_path / "killed")
    assert same_weights(whole.network, resumed.network)
    assert whole.validation is not None
    assert resumed.validation is not None
    assert whole.validation.metrics == resumed.validation.metrics


def test_validation_wears_masks_where_training_does(
    tiny_pack: Pack, untouched: Path, tmp_path: Path
) -> None:
    # Nothing is learned: the two differ in the crops that they are validated on.
    found = {}
    for mask in (0.0, 0.3, 1.0):
        chosen = tuning(untouched, augment=AugmentOptions(mask=mask), lr=1e-12, epochs=1, ema=None)
        made = train(chosen, tiny_pack, tmp_path / str(mask))
        assert made.validation is not None
        found[mask] = made.validation
    plain = found[0.0].mated
    assert len({v.auc for v in found.values()}) == 3
    # A pair of which neither crop wears a mask scores as before.
    same = np.isclose(found[0.3].mated, plain, atol=1e-6).mean()
    assert 0 < same < 0.9
    assert not np.isclose(found[1.0].mated, plain, atol=1e-6).any()


@pytest.mark.parametrize(
    "options",
    [
        LossOptions(kind="cosface", margin=0.0, scale=8.0),
        LossOptions(kind="arcface", margin=0.0, scale=8.0),
        LossOptions(kind="softmax", scale=8.0),
        LossOptions(kind="joint", classifier="cosface", classifier_margin=0.0, scale=8.0),
    ],
    ids=lambda options: options.kind,
)
def test_a_classifier_begins_at_the_means(options: LossOptions) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(20, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.repeat(np.arange(5), [1, 2, 3, 4, 10])
    loss = build_loss(options, people=5, dimension=6)
    begin_at_means(loss, vectors, labels)
    naive = 0.0
    for vector, label in zip(vectors, labels, strict=True):
        cosines = []
        for person in range(5):
            mean = vectors[labels == person].mean(0)
            cosines.append(vector @ mean / np.linalg.norm(mean))
        naive -= np.log(np.exp(8 * cosines[label]) / np.exp(8 * np.array(cosines)).sum()) / 20
    value = loss(torch.from_numpy(vectors), torch.from_numpy(labels))
    found = value.parts["classifier"] if options.kind == "joint" else value.loss
    assert found.item() == pytest.approx(naive, abs=1e-4)


@pytest.mark.parametrize("kind", ["adaface", "sface"])
def test_centers_of_other_losses_begin_at_the_means_too(kind: str) -> None:
    vectors = np.eye(4, 6, dtype=np.float32)[[2, 0, 3, 1, 1]]
    loss = build_loss(LossOptions(kind=kind), people=4, dimension=6)
    begin_at_means(loss, vectors, np.array([2, 0, 3, 1, 1]))
    value = loss(torch.from_numpy(vectors), torch.tensor([2, 0, 3, 1, 1]))
    assert value.parts["accuracy"].item() == 1
    assert loss.centers.weight.norm(dim=1).tolist() == pytest.approx([0.01 * 6**0.5] * 4)


def test_losses_without_centers_cannot_begin_there() -> None:
    loss = build_loss(LossOptions(kind="triplet"), people=2, dimension=2)
    with pytest.raises(OptionError, match="head_from_init"):
        begin_at_means(loss, np.eye(2, dtype=np.float32), np.arange(2))
