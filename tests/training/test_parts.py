"""Schedule, optimizer, average, health, validation, logs and live line, each on its own."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import roc_auc_score
from tests.training.tiny import Tiny, make_pack, recipe, register
from torch import nn

from visavis.embedding.backbones.mobilenet_v1 import MobileNetV1
from visavis.embedding.torch import FaceNetwork
from visavis.errors import DataError, OptionError
from visavis.training import drawing
from visavis.training.estimate import plan
from visavis.training.loop import optimizers
from visavis.training.loop.alarm import examine
from visavis.training.loop.callbacks import Ema, Patience
from visavis.training.loop.hardware import training_flops
from visavis.training.loop.logs import History, read_history
from visavis.training.loop.progress import LiveLine, ProgressEvent
from visavis.training.loop.validation import effective_rank, pair_scores, validate
from visavis.training.losses import LossOptions, build_loss
from visavis.training.seeds import derive


def test_one_cycle_is_pytorchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=50, pct_start=0.3)
    for step in range(50):
        ours = optimizers.factor(step, total=50, warmup=15, kind="onecycle")
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < 49:
            theirs.step()


def test_cosine_rises_and_falls_and_constant_stays() -> None:
    rates = [optimizers.factor(s, total=100, warmup=10, kind="cosine") for s in range(100)]
    assert rates[:10] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.001
    assert optimizers.factor(99, total=100, warmup=10, kind="constant") == 1.0
    with pytest.raises(OptionError, match=r"linear.*cosine"):
        optimizers.factor(0, total=1, warmup=0, kind="linear")


def test_the_head_learns_alone_first() -> None:
    numbers = {"total": 20, "warmup": 4, "kind": "cosine", "head_first": 5}
    network = [optimizers.group_factor(s, head=False, **numbers) for s in range(20)]
    head = [optimizers.group_factor(s, head=True, **numbers) for s in range(20)]
    assert network[:5] == [0.0] * 5
    assert network[5] == pytest.approx(0.25)
    assert head[:9] == [1.0] * 9
    assert head[9:] == network[9:]


def test_scales_and_biases_do_not_decay_and_the_head_has_its_own_rate() -> None:
    network = FaceNetwork(Tiny())
    loss = build_loss(LossOptions(kind="cosface"), people=5, dimension=8)
    groups = optimizers.parameter_groups(recipe(head_lr=0.5, weight_decay=0.1), network, loss)
    assert {(g["name"], g["lr"], g["weight_decay"]) for g in groups} == {
        ("network", 3e-3, 0.1),
        ("network-plain", 3e-3, 0.0),
        ("head", 0.5, 0.1),
    }
    decaying = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            plain = isinstance(module, (nn.BatchNorm2d, nn.PReLU)) or parameter is module.bias
            assert (id(parameter) in decaying) == (not plain)
    assert sum(len(g["params"]) for g in groups) == len([*network.parameters(), *loss.parameters()])


def test_muon_orthogonalizes_matrices_and_leaves_the_rest_to_adamw() -> None:
    torch.manual_seed(0)
    network = FaceNetwork(
        MobileNetV1(dimension=8, input_size=32, width=0.25, dropout=0.0)
    ).requires_grad_(True)
    loss = build_loss(LossOptions(kind="cosface"), people=5, dimension=8)
    chosen = recipe(optimizer="muon", lr=1e-2, weight_decay=0.1, momentum=0.9)
    optimizer = optimizers.build_optimizer(chosen, network, loss)
    groups = {group["name"]: group["params"] for group in optimizer.param_groups}
    assert set(groups) == {"network-matrices", "network", "network-plain", "head"}
    assert all(p.shape[1] == 1 for p in groups["network"])  # depthwise
    assert groups["head"] == list(loss.parameters())
    everything = [*network.parameters(), *loss.parameters()]
    assert {id(p) for p in everything} == {id(p) for ps in groups.values() for p in ps}

    rest = [p for name, ps in groups.items() if name != "network-matrices" for p in ps]
    copies = [p.detach().clone().requires_grad_(True) for p in rest]
    decaying = len(groups["network"])
    theirs = torch.optim.AdamW(
        [
            {"params": copies[:decaying], "weight_decay": 0.1},
            {"params": copies[decaying : -len(groups["head"])], "weight_decay": 0.0},
            {"params": copies[-len(groups["head"]) :], "weight_decay": 0.1},
        ],
        lr=1e-2,
    )
    for _ in range(2):
        before = [p.detach().clone() for p in groups["network-matrices"]]
        gradients = [torch.randn_like(p) for p in before]
        for p, gradient in zip(groups["network-matrices"], gradients, strict=True):
            p.grad = gradient.clone()
        for p, copy in zip(rest, copies, strict=True):
            p.grad = torch.randn_like(p)
            copy.grad = p.grad.clone()
        first = not optimizer.state
        optimizer.step()
        theirs.step()
        for p, copy in zip(rest, copies, strict=True):
            torch.testing.assert_close(p, copy)
        if not first:
            continue  # after one step momentum points where the gradient does
        for p, old, gradient in zip(groups["network-matrices"], before, gradients, strict=True):
            rows, columns = len(p), p[0].numel()
            moved = (old * (1 - 1e-2 * 0.1) - p).detach().reshape(rows, columns)
            moved /= 1e-2 * 0.2 * max(rows, columns) ** 0.5
            u, values, v = torch.linalg.svd(gradient.reshape(rows, columns), full_matrices=False)
            values /= values.norm()
            for _turn in range(5):  # Newton and Schulz by the singular values alone
                values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
            difference = moved - u @ torch.diag(values) @ v
            assert difference.norm() < 0.03 * values.norm()  # they iterate in bfloat16


def test_the_average_follows_its_formula_statistics_included() -> None:
    torch.manual_seed(0)
    network = FaceNetwork(Tiny()).train()
    ema = Ema(network, decay=0.5)
    expected: dict[str, torch.Tensor] = {}
    for n in range(20):
        network.raw(torch.rand(4, 3, 16, 16) * 255)  # moves the statistics
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        ema.update_parameters(network)
        decay = min(0.5, (n + 1) / (n + 10)) if n else 0.0
        for name, value in network.state_dict().items():
            mean = expected.get(name, value)
            whole = not torch.is_floating_point(value)
            expected[name] = value.clone() if whole else decay * mean + (1 - decay) * value
    for name, value in ema.network.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not ema.network.training


def test_effective_rank_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 8)) * rng.uniform(0.01, 3, 8)
    values = np.linalg.svd(vectors, compute_uv=False)
    shares = values / values.sum()
    expected = math.exp(-(shares * np.log(shares)).sum())
    for given in (vectors, vectors.T):
        assert effective_rank(torch.tensor(given)) == pytest.approx(expected, abs=1e-5)
    assert math.isnan(effective_rank(torch.full((2, 2), torch.nan)))


def test_health_means_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(1)
    raw, labels = rng.normal(size=(12, 5)) * 3, rng.integers(0, 4, 12)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for i in range(12):
        for j in range(i):
            scores[bool(labels[i] == labels[j])].append(float(unit[i] @ unit[j]))
    health = examine(torch.tensor(raw), torch.tensor(labels))
    assert health.mated == pytest.approx(np.mean(scores[True]), abs=1e-6)
    assert health.non_mated == pytest.approx(np.mean(scores[False]), abs=1e-6)
    assert math.isnan(examine(torch.eye(3), torch.arange(3)).mated)


def vectors(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 40, rows)
    raw = rng.normal(size=(40, 6))[labels] + rng.normal(size=(rows, 6))
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return unit.astype(np.float32), labels.astype(np.int64)


def test_validation_compares_everybody() -> None:
    unit, labels = vectors(700)  # more than one block
    upper = np.triu_indices(700, 1)
    scores, same = (unit @ unit.T)[upper], (labels[:, None] == labels)[upper]
    result = validate(unit, labels)
    assert result.metrics.mated_pairs == same.sum() == len(result.mated)
    assert result.metrics.non_mated_pairs == (~same).sum()
    assert result.metrics.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-6)
    assert result.metrics.mated == pytest.approx(scores[same].mean(), abs=1e-5)
    threshold = np.sort(scores[~same])[-len(scores[~same]) // 100]
    assert result.metrics.fnmr["1e-2"] == pytest.approx((scores[same] < threshold).mean(), abs=0.01)


def test_of_too_many_pairs_a_sample_of_photos_is_compared() -> None:
    unit, labels = vectors(600)
    mated, other = pair_scores(unit, labels, limit=30_000)
    again, _ = pair_scores(unit, labels, limit=30_000)
    assert 20_000 < len(mated) + len(other) <= 30_000
    assert np.array_equal(mated, again)
    everything, _ = pair_scores(unit, labels)
    assert mated.mean() == pytest.approx(everything.mean(), abs=0.1)


def test_validation_without_pairs_is_refused() -> None:
    with pytest.raises(DataError, match="0 mated"):
        validate(np.eye(3, dtype=np.float32), np.arange(3))


def test_history_is_appended_and_cut_where_a_run_was_resumed(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    log = History(path)
    for step in (1, 2, 3):
        log.log_metrics({"loss": 0.5 / step, "active": math.nan, "other": 1.0}, step)
    assert [row["step"] for row in read_history(path)] == [1, 2, 3]
    History(path, resumed=2).log_metrics({"validation_auc": 0.75}, 3)
    rows = read_history(path)
    assert rows == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}, rows[2]]
    assert rows[2] == {"step": 3, "validation_auc": 0.75}
    assert read_history(tmp_path / "none.csv") == []


def moment(step: int, seconds: float) -> ProgressEvent:
    nan = math.nan
    return ProgressEvent(
        step=step, total=10, epoch=step / 5, epochs=2, loss=0.5, active=0.25, mated=0.75,
        non_mated=0.125, rank=3.0, lr=0.1, images_per_second=100.0, share_of_peak=nan, auc=0.875,
        best_auc=0.875, seconds=seconds,
    )  # fmt: skip


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_line_shows_what_matters(terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=200)
    with LiveLine(console) as live:
        for step in range(1, 11):
            live(moment(step, float(step)))
    text = stream.getvalue()
    for part in (
        "loss 0.500",
        "active 25%",
        "mated 0.75",
        "rank 3.0",
        "validation AUC 0.8750",
        "100 images/s",
    ):
        assert part in text
    if not terminal:
        assert text.count("\n") == 2  # the first, then every half minute, then the last


def test_patience_counts_validations_without_a_gain() -> None:
    patience = Patience(2)
    other = Patience(2)
    for step, auc in enumerate([0.7, 0.8, 0.8]):
        patience.better(auc, step)
    assert (patience.step, patience.waited, patience.over) == (2, 1, False)
    other.load_state_dict(patience.state_dict())
    assert not other.better(0.75, 3)
    assert other.over
    assert not Patience(None).over


def test_seeds_differ_by_purpose_and_place() -> None:
    seeds = {derive(s, p, k) for s in range(3) for p in ("a", "b") for k in range(20)}
    assert len(seeds) == 120


def test_flops_are_those_of_the_layers() -> None:
    # Forward 2 x kernel x outputs; back twice that, but once for the first layer's input.
    first = 2 * 3 * 9 * 8 * 64
    second, linear = 2 * 8 * 9 * 16 * 16, 2 * 16 * 16 * 8
    assert training_flops(FaceNetwork(Tiny())) == pytest.approx(
        3 * (second + linear) + 2.5 * first, rel=0.2
    )


def test_a_plan_counts_people_steps_and_weights(tmp_path: Path) -> None:
    register()
    pack = make_pack(tmp_path / "plan.pack")
    made = plan(recipe(epochs=4, validate_every=2), pack)
    assert made.people + made.validation_people == 12
    assert made.photos + made.validation_photos == 56
    assert made.singles == 1
    assert made.steps == 4 * made.steps_per_epoch == 4 * (made.photos // 12)
    assert made.validations == 2
    assert made.parameters == sum(p.numel() for p in Tiny().parameters())
    assert made.seconds >= made.steps * made.seconds_per_step > 0
    assert made.memory > 4 * 5 * made.parameters
    assert 0 < made.share_of_peak < 1


def test_searches_that_a_sampler_has_no_use_for_are_refused() -> None:
    for changes in (
        {"sampler": "shuffled", "remine_epochs": 1},
        {"sampler": "people", "offline_every": 5},
    ):
        with pytest.raises(OptionError, match="sampler=triplets"):
            drawing.search_every(recipe(**changes), per_epoch=3)
    assert drawing.search_every(recipe(remine_epochs=2), per_epoch=3) == 6
