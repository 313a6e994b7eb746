"""The triplet loss of FaceNet, with mining in the batch."""

from __future__ import annotations

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from visavis.errors import OptionError
from visavis.training.losses.base import LossValue, full_precision
from visavis.training.mining.online import (
    Triplets,
    active_share,
    batch_all,
    batch_hard,
    candidates,
    semi_hard,
)
from visavis.training.seeds import derive


class TripletLoss(nn.Module):
    """``max(0, d(a, p) - d(a, n) + margin)`` on squared distances of unit vectors.

    Anchor a and positive p are photos of one person, the negative n of another (Schroff,
    Kalenichenko, Philbin: FaceNet, CVPR 2015). The loss is pytorch-metric-learning's; the mean is
    over the triplets that the miner took:

    - ``semihard``: for each pair (a, p) a negative drawn evenly from those with
      ``d(a, p) < d(a, n) < d(a, p) + margin``; pairs that have none are left out.
    - ``hard``: for each anchor its farthest positive and nearest negative (Hermans, Beyer, Leibe:
      In defense of the triplet loss, 2017), whether they violate the margin or not.
    - ``all``: all triplets with a loss above zero (their batch-all, with the mean over these).
    - ``given``: rows 3k, 3k + 1, 3k + 2 of the batch, whether they violate the margin or not.

    A batch without triplets has loss zero and gradients of zero.

    Args:
        margin: of the squared distances, which lie in [0, 4] after normalization.
        miner: one of the above.
        normalize: bring embeddings to unit length first.
        seed: of the negatives that ``semihard`` draws; with the number of batches seen while
            training, which is in the state dict, it determines them.

    ``active`` is the share of all triplets of the batch that violate the margin, whatever the
    miner, so that miners can be compared. ``parts``: ``triplets``, how many the miner took;
    ``mated_distance`` and ``nonmated_distance``, the mean squared distances of all pairs.
    """

    drawn: Tensor

    def __init__(
        self,
        *,
        margin: float = 0.2,
        miner: str = "semihard",
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if miner not in {"semihard", "hard", "all", "given"}:
            raise OptionError(f"miner {miner!r}", "one of semihard, hard, all, given")
        self.margin, self.miner, self.seed = margin, miner, seed
        self.distance = LpDistance(normalize_embeddings=normalize, p=2, power=2)
        self.triplet = TripletMarginLoss(
            margin=margin, distance=self.distance, reducer=MeanReducer()
        )
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,).

        Raises:
            OptionError: miner ``given`` and rows that are not whole triplets.
        """
        return self.compare(raw, labels, raw, labels)

    def compare(
        self, raw: Tensor, labels: Tensor, reference: Tensor, reference_labels: Tensor
    ) -> LossValue:
        """Loss with anchors from the batch, positives and negatives from the reference.

        The first B rows of the reference are the batch itself.
        """
        with full_precision(raw) as rows:
            others = rows if reference is raw else reference.to(rows.dtype)
            with torch.no_grad():
                distances = self.distance(rows, others)
                mated, nonmated = candidates(labels, reference_labels)
                triplets = self._mined(distances, mated, nonmated)
                active = active_share(distances, mated, nonmated, margin=self.margin)
                parts = {
                    "triplets": distances.new_tensor(len(triplets[0])),
                    "mated_distance": distances[mated].mean(),
                    "nonmated_distance": distances[nonmated].mean(),
                }
            loss = self.triplet(
                rows, labels, indices_tuple=triplets, ref_emb=others, ref_labels=reference_labels
            )
        return LossValue(loss, active, parts)

    def _mined(self, distances: Tensor, mated: Tensor, nonmated: Tensor) -> Triplets:
        if self.miner == "given":
            if len(distances) % 3:
                raise OptionError(
                    f"a batch of {len(distances)} rows",
                    "give triplets in rows 3k, 3k + 1, 3k + 2, or another miner",
                )
            rows = torch.arange(len(distances), device=distances.device)
            return rows[::3], rows[1::3], rows[2::3]
        if self.miner == "hard":
            return batch_hard(distances, mated, nonmated)
        if self.miner == "all":
            return batch_all(distances, mated, nonmated, margin=self.margin)
        generator = torch.Generator(distances.device)
        generator.manual_seed(derive(self.seed, "semihard", int(self.drawn)))
        if self.training:
            self.drawn += 1
        return semi_hard(distances, mated, nonmated, margin=self.margin, generator=generator)
