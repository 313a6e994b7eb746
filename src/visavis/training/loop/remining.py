"""Looking for hard examples among all training photos every so many steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray

from visavis.training.loop.feeding import Supply


class Remining(pl.Callback):
    """Embeds the training photos, mines, and lets the sampler draw from what was found.

    What was found is in the checkpoint: it depends on the weights of then.

    Args:
        supply: whose sampler is changed.
        every: steps between searches.
        total: steps of the run.
        mine: the search: triplets or cells, as the sampler takes them, after a number of steps;
            ``None`` if nothing was found.
    """

    def __init__(
        self,
        supply: Supply,
        *,
        every: int,
        total: int,
        mine: Callable[[int], NDArray[np.int64] | None],
    ) -> None:
        self._supply, self._every, self._total, self._mine = supply, every, total, mine

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Search if it is time."""
        step = trainer.global_step
        if step % self._every == 0 and step < self._total:
            found = self._mine(step)
            if found is not None:
                self._supply.use(found)

    def state_dict(self) -> dict[str, Any]:
        """To go on from."""
        mined = self._supply.mined
        return {"mined": None if mined is None else torch.from_numpy(mined)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        if state_dict["mined"] is not None:
            self._supply.use(np.asarray(state_dict["mined"].numpy(), dtype=np.int64))
