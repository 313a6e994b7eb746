"""The recipe for a GPU, on a CPU: planned, and two steps of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from visavis.training.data.pack import Pack, write_pack
from visavis.training.estimate import plan
from visavis.training.loop.fitting import fit
from visavis.training.recipes import by_name, with_overrides


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Six people with two photos each, large enough for 112 pixels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 2)
    return write_pack(
        tmp_path_factory.mktemp("pack") / "faces.pack",
        rng.integers(0, 255, (12, 144, 144, 3), dtype=np.uint8),
        labels,
        [f"P{k}" for k in range(6)],
        [f"P{k}/{i}.jpg" for i, k in enumerate(labels)],
        size=144,
        scale=0.85,
        origin="noise",
    )


@pytest.mark.slow
def test_planned_and_two_steps_trained(pack: Pack, tmp_path: Path) -> None:
    recipe = by_name("margin-iresnet50")
    assert (recipe.precision, recipe.channels_last, recipe.compile) == ("bf16", True, True)
    # Compiling takes minutes on a CPU and is the same network.
    small = with_overrides(
        recipe,
        {
            "batch_size": "2",
            "max_steps": "2",
            "workers": "0",
            "compile": "false",
            "threads": "1",
            "validation_share": "0.34",
        },
    )
    planned = plan(small, pack)
    assert planned.steps == 2
    assert planned.parameters == 43_590_848 - 512  # the last gains are fixed at one
    assert planned.seconds > 0
    fitted = fit(small, pack, tmp_path / "run", accelerator="cpu")
    assert fitted.steps == 2
    # Three times the forward pass: 6.3 G multiplications and additions of He et al.'s counting.
    assert fitted.flops == pytest.approx(3 * 2 * 6.3e9, rel=0.1)
    header, *rows = fitted.history.read_text().splitlines()
    assert {"images_per_second", "share_of_peak"} <= set(header.split(","))
    # No batch held a mated pair: an empty cell, and nothing that a logger would refuse.
    assert {row.split(",")[header.split(",").index("mated")] for row in rows} == {""}
    with torch.no_grad():
        vectors = fitted.network(torch.full((1, 3, 112, 112), 127.0))
    assert vectors.shape == (1, 512)
    assert vectors.norm().item() == pytest.approx(1, abs=1e-5)
