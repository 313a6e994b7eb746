"""Triplets and a classifier at once."""

from __future__ import annotations

from torch import Tensor, nn

from visavis.training.losses.value import LossValue


class JointLoss(nn.Module):
    """A loss that compares plus ``weight`` times the cross-entropy of a classifier.

    A softmax classifier sees the embeddings as the network gives them; margin losses and the
    comparison normalise them.

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
