"""Which photos make up each batch, as a pure function of seed and epoch.

All samplers share one surface (``Batches``): ``len()`` is the number of batches of an epoch,
``batches(epoch)`` gives their rows, ``singles`` counts the people with one photo. Rows index the
labels that the sampler was made from. With ``world`` processes each gets its ``rank``-th share of
every batch: the shares joined in the order of the ranks are the batch of a single process.
"""

from __future__ import annotations

from visavis.training.data.samplers.batches import Batches
from visavis.training.data.samplers.pairs import PairBatches
from visavis.training.data.samplers.people import PeopleBatches
from visavis.training.data.samplers.shuffled import ShuffledBatches
from visavis.training.data.samplers.triplets import TripletBatches

__all__ = ["Batches", "PairBatches", "PeopleBatches", "ShuffledBatches", "TripletBatches"]
