"""The default clusterer: small cases by hand, and the contract."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from tests.contracts.clusterer import THRESHOLD, ClustererContract

from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import Strangers


def of_random_people(dimension: int = 128) -> Strangers:
    """What a calibration would say of strangers at random on the sphere, up to ``THRESHOLD``."""
    scores = np.linspace(0.1, THRESHOLD, 31)
    rates = ndtr(-scores * np.sqrt(dimension))
    return Strangers(tuple(scores.tolist()), tuple(rates.tolist()), typical=0.0)


class TestContract(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> GraphLinkage:
        return GraphLinkage(of_random_people())


class TestContractWithFewNeighbours(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> GraphLinkage:
        return GraphLinkage(of_random_people(), neighbours=5, exact_up_to=0)
