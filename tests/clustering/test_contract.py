"""Every algorithm against the one suite."""

from __future__ import annotations

import pytest
from tests.contracts.clusterer import THRESHOLD, ClustererContract

from visavis.clustering.agglomerative import Agglomerative
from visavis.clustering.clusterer import Clusterer
from visavis.clustering.dbscan import Dbscan


class TestDbscan(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return Dbscan(threshold=THRESHOLD)


class TestDbscanOfThree(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return Dbscan(threshold=THRESHOLD, min_faces=3)

    finds_people = False  # who has two photos is noise


class TestAverage(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return Agglomerative(threshold=THRESHOLD)
