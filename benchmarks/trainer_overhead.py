"""What watching, logging and Lightning cost beside a plain loop over the same steps.

Both read the same pack, augment, run the same network, loss and optimizer; the plain loop does
nothing else. Processor time of the process, one thread, from the 50th step to the 200th of a run
that is then broken off: building and the first steps count for neither.

    python -m benchmarks.trainer_overhead
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from visavis.training import drawing
from visavis.training.augment.augmenter import Augmenter
from visavis.training.building import build_head, build_network
from visavis.training.data.pack import Pack, write_pack
from visavis.training.loop import optimizers
from visavis.training.loop.fitting import fit
from visavis.training.loop.loaders import PackLoader
from visavis.training.loop.progress import ProgressEvent
from visavis.training.recipes import by_name
from visavis.training.recipes.recipe import Recipe

BEGIN, END, OF = 50, 200, 500  # OF: so long a run is looked at every ten steps, as real ones are


class _Enough(Exception):
    """Ends a run."""


class _Clock:
    """Processor seconds a step between two steps."""

    def __init__(self) -> None:
        self.begun = self.seconds = 0.0

    def __call__(self, moment: ProgressEvent) -> None:
        self.at(moment.step)

    def at(self, step: int) -> None:
        """Told of a step."""
        if step == BEGIN:
            self.begun = time.process_time()
        elif step == END:
            self.seconds = (time.process_time() - self.begun) / (END - BEGIN)
            raise _Enough


def plain(recipe: Recipe, pack: Pack, clock: _Clock) -> None:
    """The loop that anybody would write."""
    network, head = build_network(recipe).train(), build_head(recipe, people=len(pack.people))
    spec = network.spec
    augmenter = Augmenter(
        recipe.augment, source=(pack.size, pack.scale), target=(spec.input_size, spec.crop_scale)
    )
    optimizer = optimizers.build_optimizer(recipe, network, head, fused=True)
    rows = np.arange(len(pack))
    feed = PackLoader(pack, rows, drawing.build_sampler(recipe, pack.labels))
    step = 0
    while True:
        for batch in feed.batches(0):
            images = augmenter(batch.crops, seed=step)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
                raw = network.raw(images)
            loss = head(raw.float(), batch.labels).loss
            optimizer.zero_grad()
            loss.backward()
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            step += 1
            clock.at(step)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    recipe = dataclasses.replace(
        by_name("margin-small"),
        input_size=32,
        batch_size=8,
        validate_every=1000,
        validation_share=1e-6,
        threads=1,
        channels_last=False,
        precision="32",
        ema=None,
        epochs=1000,
        max_steps=OF,
    )
    with tempfile.TemporaryDirectory() as folder:
        pack = write_pack(
            Path(folder) / "noise.pack",
            rng.integers(0, 256, (400, 144, 144, 3), dtype=np.uint8),
            np.repeat(np.arange(100), 4),
            [f"P{k:03d}" for k in range(100)],
            [f"P{k // 4:03d}/{k}.jpg" for k in range(400)],
            size=144,
            scale=0.85,
            origin="noise",
        )
        base = 0.0
        print(f"{recipe.backbone} at {recipe.input_size}, batch {recipe.batch_size}, one thread")
        for name, decay in (("plain loop", None), ("fit", None), ("fit with average", 0.99)):
            clock = _Clock()
            with contextlib.suppress(_Enough):
                if name == "plain loop":
                    plain(recipe, pack, clock)
                else:
                    chosen = dataclasses.replace(recipe, ema=decay)
                    fit(chosen, pack, Path(folder) / name, progress=clock, accelerator="cpu")
            base = base or clock.seconds
            more = 1e3 * (clock.seconds - base)
            print(f"{name:18} {1e3 * clock.seconds:7.2f} ms a step, {more:5.2f} ms more")


if __name__ == "__main__":
    main()
