"""Mixed precision is used where the device has arithmetic for it, and only there."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from pytorch_optimizer import Muon
from torch import nn

from visavis.training.loop import hardware, optimizers
from visavis.training.recipes import by_name

CPU = torch.device("cpu")


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("asked", ["32", "bf16"])
def test_half_needs_recipe_and_device(
    monkeypatch: pytest.MonkeyPatch, able: bool, asked: str
) -> None:
    monkeypatch.setattr(hardware, "computes_in_bf16", lambda device: able)
    recipe = dataclasses.replace(by_name("margin-small"), precision=asked)
    assert hardware.uses_bf16(recipe, CPU) == (able and asked == "bf16")


@pytest.mark.parametrize(
    ("oneDNN", "capabilities", "able"),
    [
        (True, {"avx2": True}, False),
        (True, {"avx512_f": True, "avx512_bw": True, "avx512_bf16": False}, False),
        (True, {"avx512_bf16": True}, True),
        (True, {"amx_bf16": True}, True),
        (False, {"avx512_bf16": True}, False),
    ],
)
def test_a_cpu_needs_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, oneDNN: bool, capabilities: dict[str, bool], able: bool
) -> None:
    """AVX-512 alone is not enough: the first processors with it have none for bfloat16."""
    ops = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True)
    monkeypatch.setattr(torch.ops, "mkldnn", ops)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: oneDNN)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert hardware.computes_in_bf16(CPU) is able


def test_the_accelerator_decides_where_is_computed() -> None:
    assert hardware.expected_device("cpu") == CPU
    if torch.accelerator.current_accelerator(check_available=True) is None:
        assert hardware.expected_device() == CPU


def test_muon_orthogonalizes_alike_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step from the same weights: float32 differs from the library's bfloat16 by rounding."""
    recipe = dataclasses.replace(by_name("margin-small"), weight_decay=0.0, lr=0.1)
    orthogonalize, asked = optimizers.zero_power_via_newton_schulz_5, []

    def noted(*args, dtype, **kwargs):
        asked.append(dtype)
        return orthogonalize(*args, dtype=dtype, **kwargs)

    monkeypatch.setattr(optimizers, "zero_power_via_newton_schulz_5", noted)
    steps = {}
    for able in (True, False):
        monkeypatch.setattr(optimizers, "computes_in_bf16", lambda device, able=able: able)
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
        optimizer = optimizers.build_optimizer(recipe, network, nn.Identity())
        assert isinstance(optimizer, Muon)
        before = [p.detach().clone() for p in network.parameters()]
        network(torch.randn(2, 4, 12, 12)).square().sum().backward()
        optimizer.step()
        steps[able] = [
            (b - p.detach()).flatten(1)
            for b, p in zip(before, network.parameters(), strict=True)
            if p.ndim > 1
        ]
    assert asked == [torch.float32] * 3
    for ours, theirs in zip(steps[False], steps[True], strict=True):
        assert torch.nn.functional.cosine_similarity(ours.ravel(), theirs.ravel(), dim=0) > 0.999
        assert ours.norm() / theirs.norm() == pytest.approx(1, abs=0.02)
        # Singular values near each other are what orthogonalizing is.
        values = torch.linalg.svdvals(ours)
        assert values.max() / values.min() < 2
