"""Cross-batch memory, and triplets with a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visavis.training.losses.base import LossValue
from visavis.training.losses.contrastive import ContrastiveLoss
from visavis.training.losses.triplet import TripletLoss


class CrossBatchMemory(nn.Module):
    """A queue of earlier embeddings that serve as partners of the batch's.

    Wang, Zhang, Huang, Scott: Cross-batch memory for embedding learning, CVPR 2020. The batch is
    compared with itself and with the queue at once (one mean over both); gradients flow through
    the batch only. Then its embeddings are put into the queue, the oldest leave. Nothing is
    stored outside training. pytorch-metric-learning's ``CrossBatchMemory`` gives the same values,
    but keeps the queue's place out of its state dict, so that a run could not be resumed exactly.

    Args:
        compared: the loss, with a ``compare`` of its own.
        size: embeddings in the queue, M.
        dimension: length of an embedding, D.

    ``active`` and ``parts`` are those of the loss.
    """

    vectors: Tensor
    labels: Tensor
    stored: Tensor

    def __init__(
        self, compared: ContrastiveLoss | TripletLoss, *, size: int, dimension: int
    ) -> None:
        super().__init__()
        self.compared = compared
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,)."""
        rows = raw.to(torch.promote_types(raw.dtype, torch.float32))
        filled = min(int(self.stored), len(self.vectors))
        # Copies: the queue changes before the backward pass.
        earlier = self.vectors[:filled].to(rows.dtype, copy=True)
        reference = torch.cat([rows, earlier])
        value = self.compared.compare(
            rows, labels, reference, torch.cat([labels, self.labels[:filled]])
        )
        if self.training:
            self._store(rows.detach(), labels)
        return value

    def _store(self, rows: Tensor, labels: Tensor) -> None:
        size = len(self.vectors)
        rows, labels = rows[-size:], labels[-size:]
        places = (self.stored + torch.arange(len(rows), device=rows.device)) % size
        self.vectors[places] = rows.to(self.vectors.dtype)
        self.labels[places] = labels
        self.stored += len(rows)


class JointLoss(nn.Module):
    """A loss that compares plus ``weight`` times the cross-entropy of a classifier.

    A softmax classifier sees the embeddings as the network gives them; margin losses and the
    comparison normalize them.

    Args:
        compared: a triplet loss, or one with a memory.
        classifier: a softmax or margin loss.
        weight: of the classifier.

    ``active`` is the comparison's. ``parts``: those of both, and ``triplet`` and ``classifier``,
    the two losses before weighting.
    """

    def __init__(self, compared: nn.Module, classifier: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.compared, self.classifier, self.weight = compared, classifier, weight

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,) in 0 to P - 1."""
        compared: LossValue = self.compared(raw, labels)
        classified: LossValue = self.classifier(raw, labels)
        loss = compared.loss + self.weight * classified.loss
        parts = {"triplet": compared.loss.detach(), "classifier": classified.loss.detach()}
        return LossValue(loss, compared.active, parts | compared.parts | classified.parts)
