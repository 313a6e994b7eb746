"""A narrow network inherits weights of SFace's and imitates its templates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.tiny import recipe
from torch import nn
from torch.nn import functional

from visavis.embedding.backbones.edge_mobilenet import EdgeMobileNet
from visavis.embedding.backbones.sface import SFace, pretrained
from visavis.errors import OptionError, TrainingError
from visavis.training import inheriting
from visavis.training.augment.camera import mix
from visavis.training.augment.options import AugmentOptions
from visavis.training.building import build_network, is_narrower
from visavis.training.data.pack import Pack, write_pack
from visavis.training.data.samplers import ShuffledBatches
from visavis.training.inheriting import inherit
from visavis.training.loop import fitting
from visavis.training.loop.fitting import fit
from visavis.training.loop.loaders import PackLoader, StepLoader
from visavis.training.loop.logs import read_history
from visavis.training.loop.module import WiderTeacher
from visavis.training.losses import LossOptions
from visavis.training.recipes import by_name
from visavis.types import Crops, Vectors


def blobs(count: int, size: int, *, seed: int = 0) -> torch.Tensor:
    """Smooth images of -1 to 1, as a network takes them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    return functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1) * 2 - 1


def test_least_squares_agrees_with_numpy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (200, 5)), rng.normal(1, 1, (200, 4))
    weights, shift, variance = inheriting._solved(torch.from_numpy(x), torch.from_numpy(y))
    expected, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(200)]), y, rcond=None)
    np.testing.assert_allclose(weights.numpy(), expected[:-1], atol=1e-3)
    np.testing.assert_allclose(shift[0].numpy(), expected[-1], atol=5e-3)
    np.testing.assert_allclose(variance.numpy(), (x @ expected[:-1]).var(0), rtol=1e-2)


def test_channels_are_kept_that_the_next_layer_hears() -> None:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(6, 8, 5, 5)).astype(np.float32))
    x[:, 5] = x[:, 2] + 0.01 * x[:, 5]  # says nothing that 2 has not said
    y = torch.stack([2 * x[:, 2] - x[:, 6], x[:, 6] + 3 * x[:, 2], 0.1 * x[:, 0]], 1)
    kept = inheriting._most_useful(x, y, 3, rng).tolist()
    assert len({2, 5} & set(kept)) == 1
    assert {0, 6} < set(kept)


@pytest.mark.parametrize(("groups", "kernel", "stride"), [(1, 3, 1), (1, 1, 1), (6, 3, 2)])
def test_a_layer_that_fits_is_found_again(groups: int, kernel: int, stride: int) -> None:
    def block() -> nn.Sequential:
        conv = nn.Conv2d(
            6, 6, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )
        return nn.Sequential(conv, nn.BatchNorm2d(6), nn.ReLU()).eval()

    torch.manual_seed(2)
    known, fitted = block(), block()
    known[1].running_mean.uniform_(-1, 1)
    known[1].bias.data.uniform_(-1, 1)
    x = torch.randn(20, 6, 9, 9)
    with torch.no_grad():
        wanted = known[1](known[0](x))
        assert not torch.allclose(fitted[1](fitted[0](x)), wanted, atol=0.1)
        inheriting._fit(fitted, x, wanted, np.random.default_rng(0))
        torch.testing.assert_close(fitted[1](fitted[0](x)), wanted, atol=5e-3, rtol=0)
        # Its normalization has the statistics of what the convolution makes.
        made = fitted[0](x)
    torch.testing.assert_close(fitted[1].running_var, made.var((0, 2, 3)), rtol=0.05, atol=0)
    torch.testing.assert_close(fitted[1].running_mean, made.mean((0, 2, 3)), rtol=0, atol=0.02)


def test_what_is_inherited_is_closer_to_the_teacher_than_random_weights() -> None:
    torch.manual_seed(0)
    teacher = SFace(dimension=16, input_size=32)  # SFace's own features, at a quarter of the time
    teacher.features.load_state_dict(pretrained().features.state_dict())
    student = EdgeMobileNet(dimension=16, input_size=32, width=0.25)
    people = blobs(24, 32)
    seen = people.repeat(4, 1, 1, 1) + 0.1 * torch.randn(96, 3, 32, 32)
    others = people + 0.1 * torch.randn(24, 3, 32, 32)
    with torch.no_grad():
        wanted = teacher.eval()(others).numpy()
        random = student.eval()(others).numpy()
        inherit(student, teacher, seen)
        inherited = student(others).numpy()

    def correlation(made: np.ndarray) -> float:
        # Over pairs of images: do both networks find the same ones alike?
        rows = [one - one.mean(0) for one in (made, wanted)]
        rows = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in rows]
        pairs = np.triu_indices(len(others), 1)
        return float(np.corrcoef(*((one @ one.T)[pairs] for one in rows))[0, 1])

    def cosine(made: np.ndarray) -> float:
        lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(wanted, axis=1)
        return float(np.mean((made * wanted).sum(1) / lengths))

    assert cosine(inherited) > cosine(random) + 0.5
    assert correlation(inherited) > correlation(random) + 0.2


class Counting:
    """An embedder that says how often it was asked."""

    name, sha256, dimension, input_size = "counting", "0" * 64, 2, 4

    def __init__(self) -> None:
        self.asked: list[Crops] = []

    def embed(self, crops: Crops) -> Vectors:
        self.asked.append(crops)
        return crops.reshape(len(crops), -1)[:, :2].astype(np.float32)


def test_a_wider_teacher_sees_the_augmented_image_and_remembers_a_cycle() -> None:
    asked = Counting()
    teacher = WiderTeacher(asked, weight=2.0, cycle=3)
    images = [torch.full((2, 3, 4, 4), 10.0 * step + 0.6) for step in range(3)]
    rows = torch.arange(2)
    first = [teacher.wanted(images[k], rows, k) for k in range(3)]
    again = [teacher.wanted(images[k - 3], rows, k) for k in range(3, 6)]
    assert len(asked.asked) == 3
    for k in range(3):
        assert asked.asked[k].shape == (2, 4, 4, 3)
        assert (asked.asked[k] == 10 * k + 1).all()
        assert torch.equal(first[k], torch.full((2, 2), 10.0 * k + 1))
        assert torch.equal(first[k], again[k])
    fresh = WiderTeacher(asked, weight=2.0)
    for k in (0, 3):
        fresh.wanted(images[0], rows, k)
    assert len(asked.asked) == 5


def test_batches_come_again_after_a_cycle_of_epochs(tiny_pack: Pack) -> None:
    def rows(repeat: int | None) -> list[list[int]]:
        sampler = ShuffledBatches(tiny_pack.labels, batch_size=16, seed=0)
        loader = PackLoader(tiny_pack, np.arange(len(tiny_pack.labels)), sampler)
        steps = StepLoader(loader, total=4 * len(sampler), repeat=repeat)
        return [batch.rows.tolist() for batch in steps]

    repeated, fresh = rows(2), rows(None)
    half = len(fresh) // 2
    assert repeated[:half] == fresh[:half] == repeated[half:]
    assert fresh[half:] != fresh[:half]


def test_mixed_crops_lie_between_two_of_the_batch() -> None:
    images = torch.arange(64.0).reshape(64, 1, 1, 1).expand(64, 3, 2, 2) * 4
    mixed = mix(images, share=0.5, rng=np.random.default_rng(0))
    changed = (mixed != images).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    assert torch.equal(mixed[~changed], images[~changed])
    own, other = images[changed], images.roll(1, 0)[changed]
    share = (mixed[changed] - own) / (other - own)
    assert (share > 0).all()
    assert (share <= 0.5).all()
    assert (share.amax((1, 2, 3)) - share.amin((1, 2, 3))).max() < 1e-4


def test_what_needs_a_teacher_is_refused_without_one() -> None:
    with pytest.raises(OptionError, match=r"loss\.kind 'none'"):
        recipe(loss=LossOptions(kind="none"))
    with pytest.raises(OptionError, match=r"augment\.mix 0\.3"):
        recipe(augment=AugmentOptions(mix=0.3))


def test_a_registered_model_is_for_its_own_networks() -> None:
    chosen = by_name("distill-edge")
    assert is_narrower(chosen)
    assert not is_narrower(by_name("finetune-sface"))
    with pytest.raises(TrainingError, match="96"):
        fitting.registered_network(dataclasses.replace(chosen, input_size=96))
    with pytest.raises(TrainingError, match="mobilefacenet"):
        build_network(dataclasses.replace(chosen, backbone="mobilefacenet", width=1.0))


def test_the_recipe_inherits_and_learns_from_drawn_faces(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = blobs(6, 144).permute(0, 2, 3, 1).numpy() * 127.5 + 127.5
    crops = [
        np.clip(people[k // 4] + rng.normal(0, 10, people[0].shape), 0, 255).astype(np.uint8)
        for k in range(24)
    ]
    names = [f"P{k // 4}/{k % 4}.jpg" for k in range(24)]
    labels = [k // 4 for k in range(24)]
    pack = write_pack(
        tmp_path / "faces.pack", crops, labels, [f"P{k}" for k in range(6)], names,
        size=144, scale=0.85, origin="drawn",
    )  # fmt: skip
    chosen = dataclasses.replace(
        by_name("distill-edge"), width=0.125, batch_size=8, max_steps=4, epochs=2,
        repeat=1, validation_share=0.4, threads=1, warmup=0.0, ema=None,
    )  # fmt: skip
    made = fit(chosen, pack, tmp_path / "run", accelerator="cpu")
    course = [
        row["loss_distil"]
        for row in read_history(tmp_path / "run" / "history.csv")
        if "loss_distil" in row
    ]
    assert made.steps == 4
    random = build_network(chosen)
    assert 0 < course[0] < 0.9  # random weights: about 1
    assert {type(module) for module in made.network.modules()} == {
        type(module) for module in random.modules()
    }
    assert course[-1] < course[0] + 0.1
