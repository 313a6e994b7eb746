"""Two processes mine the batch of one, and learn the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training import tiny

from visavis.training.augment.options import AugmentOptions
from visavis.training.data.pack import Pack
from visavis.training.loop.checkpoints import Run
from visavis.training.loop.logs import read_history
from visavis.training.losses import LossOptions

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from pathlib import Path
import torch
from tests.training import test_processes, tiny
from visavis.training.data.pack import open_pack

torch.set_num_threads(1)
for kind in test_processes.CHOSEN:
    out = Path(sys.argv[2]) / kind
    test_processes.train(open_pack(Path(sys.argv[1])), out, 2, kind)
"""

# Each process embeds its share on its own, so nothing in the network may look at the whole batch:
# no batch normalization (on CUDA Lightning synchronizes it); no chance: no dropout, no jitter.
CHOSEN = {
    kind: tiny.recipe(
        backbone="bare",
        dropout=0.0,
        augment=AugmentOptions.none(),
        optimizer="sgd",
        lr=0.05,
        loss=loss,
        epochs=3,
    )
    for kind, loss in {
        "mined": LossOptions(kind="triplet", miner="semihard", memory=24),
        "classified": LossOptions(kind="joint", miner="hard"),
    }.items()
}


def train(pack: Pack, out: Path, processes: int, kind: str) -> None:
    """Train and keep what each step's loss was taken of."""
    from visavis.training.loop.fitting import fit
    from visavis.training.loop.module import Training

    tiny.register()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    stepped = Training.training_step

    def step(self: Training, batch: object, batch_idx: int) -> torch.Tensor:
        loss = stepped(self, batch, batch_idx)  # type: ignore[arg-type]
        assert self.last is not None
        seen.append((self.last.raw, self.last.labels))
        return loss

    Training.training_step = step  # type: ignore[method-assign, assignment]
    try:
        fit(CHOSEN[kind], pack, out, accelerator="cpu", devices=processes)
    finally:
        Training.training_step = stepped  # type: ignore[method-assign]
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    torch.save(seen, out / f"seen-{rank}.pt")


@pytest.mark.slow
def test_two_processes_mine_and_learn_what_one_does(tiny_pack: Pack, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    child = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        + [str(path) for path in (script, tiny_pack.path, tmp_path / "two")],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"},
        timeout=250,
    )
    assert child.returncode == 0, child.stderr
    for kind in CHOSEN:
        train(tiny_pack, tmp_path / "one" / kind, 1, kind)
        compare(tmp_path / "one" / kind, tmp_path / "two" / kind)


def compare(one: Path, two: Path) -> None:
    alone = torch.load(one / "seen-0.pt")
    assert len(alone) == 9
    for rank in (0, 1):
        seen = torch.load(two / f"seen-{rank}.pt")
        for (raw, labels), (raw_alone, labels_alone) in zip(seen, alone, strict=True):
            assert torch.equal(labels, labels_alone)
            torch.testing.assert_close(raw, raw_alone, rtol=1e-4, atol=1e-5)
    for name, value in load_file(Run(one).best).items():
        torch.testing.assert_close(load_file(Run(two).best)[name], value, rtol=0, atol=1e-5)
    rows, rows_alone = read_history(Run(two).history), read_history(Run(one).history)
    assert len(rows) == len(rows_alone) == 9
    for column in ("step", "loss", "active", "mated", "rank", "validation_auc"):
        values = [row.get(column, float("nan")) for row in rows]
        values_alone = [row.get(column, float("nan")) for row in rows_alone]
        assert values == pytest.approx(values_alone, rel=1e-3, nan_ok=True)
