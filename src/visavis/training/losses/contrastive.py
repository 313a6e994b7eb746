"""The contrastive loss of the Siamese network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visavis.errors import OptionError
from visavis.training.losses.base import LossValue, full_precision
from visavis.training.mining.online import candidates


class ContrastiveLoss(nn.Module):
    """Half the squared distance of mated pairs, half the squared shortfall of the others.

    With D the Euclidean distance of a pair, its loss is ``1/2 D^2`` if mated and
    ``1/2 max(0, margin - D)^2`` if not (Hadsell, Chopra, LeCun: Dimensionality reduction by
    learning an invariant mapping, CVPR 2006). pytorch-metric-learning's ``ContrastiveLoss`` has
    neither the half nor the square. Where D = 0 a non-mated pair has no direction to go: its
    gradient is zero.

    Args:
        margin: distance beyond which non-mated pairs no longer count; after normalization D lies
            in [0, 2].
        normalize: bring embeddings to unit length first (the paper does not).
        given: rows 2k and 2k + 1 of a batch are its pairs, and the loss is the mean over them.
            Otherwise all pairs of the batch are, and the loss is the mean over the mated ones and
            the mean over the non-mated ones, averaged: as if both were equally many.

    ``active`` is the share of non-mated pairs nearer than the margin. ``parts``: ``mated`` and
    ``nonmated`` loss, and ``mated_distance`` and ``nonmated_distance``, each a mean.
    """

    def __init__(self, *, margin: float = 1.0, normalize: bool = False, given: bool = True) -> None:
        super().__init__()
        self.margin, self.normalize, self.given = margin, normalize, given

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,).

        Raises:
            OptionError: an odd number of rows where they should be pairs.
        """
        if not self.given:
            return self.compare(raw, labels, raw, labels)
        if len(raw) % 2:
            raise OptionError(
                f"a batch of {len(raw)} rows", "give pairs in rows 2k and 2k + 1, or miner `all`"
            )
        with full_precision(raw) as rows:
            vectors = self._vectors(rows)
            squared = (vectors[::2] - vectors[1::2]).square().sum(dim=1)
            return self._value(squared, labels[::2] == labels[1::2], rows)

    def compare(
        self, raw: Tensor, labels: Tensor, reference: Tensor, reference_labels: Tensor
    ) -> LossValue:
        """Loss of all pairs of batch and reference, whose first B rows are the batch itself.

        A pair within the batch counts once.
        """
        with full_precision(raw) as rows:
            vectors, others = self._vectors(rows), self._vectors(reference.to(rows.dtype))
            mated, nonmated = candidates(labels, reference_labels)
            pairs = (mated | nonmated).triu(diagonal=1)
            first, second = pairs.nonzero(as_tuple=True)
            distances = torch.cdist(vectors, others, compute_mode="donot_use_mm_for_euclid_dist")
            squared = distances[first, second].square()
            return self._value(squared, mated[first, second], rows)

    def _vectors(self, rows: Tensor) -> Tensor:
        return nn.functional.normalize(rows) if self.normalize else rows

    def _value(self, squared: Tensor, mated: Tensor, rows: Tensor) -> LossValue:
        # The root's slope is infinite at 0; below the least number the clamp has none.
        distances = squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()
        shortfall = (self.margin - distances).clamp_min(0)
        near = 0.5 * squared[mated]
        far = 0.5 * shortfall[~mated].square()
        if self.given:
            loss = torch.cat([near, far]).mean()
        else:
            kinds = [kind.mean() for kind in (near, far) if len(kind)]
            loss = torch.stack(kinds).mean() if kinds else rows.sum() * 0
        with torch.no_grad():
            active = (shortfall[~mated] > 0).to(loss.dtype).mean()
            parts = {
                "mated": near.mean(),
                "nonmated": far.mean(),
                "mated_distance": distances[mated].mean(),
                "nonmated_distance": distances[~mated].mean(),
            }
        return LossValue(loss, active, {name: part.detach() for name, part in parts.items()})
