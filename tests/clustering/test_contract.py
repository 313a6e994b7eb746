"""Every algorithm against the one suite."""

from __future__ import annotations

import pytest
from tests.contracts.clusterer import THRESHOLD, ClustererContract

from visavis.clustering.agglomerative import Agglomerative
from visavis.clustering.chinese_whispers import ChineseWhispers
from visavis.clustering.clusterer import Clusterer
from visavis.clustering.dbscan import Dbscan
from visavis.clustering.hdbscan import Hdbscan
from visavis.clustering.kmeans import KMeans


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


class TestComplete(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return Agglomerative(threshold=THRESHOLD, linkage="complete")


class TestChineseWhispers(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return ChineseWhispers(threshold=THRESHOLD)


class TestHdbscan(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return Hdbscan(threshold=THRESHOLD, certain=0.5)


class TestHdbscanByDensityAlone(ClustererContract):
    finds_people = False  # it splits people

    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return Hdbscan(threshold=THRESHOLD)


class TestKMeans(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return KMeans(threshold=THRESHOLD)


class TestThreeMeans(ClustererContract):
    finds_people = False  # it is told that there are three

    @pytest.fixture
    def clusterer(self) -> Clusterer:
        return KMeans(k=3)
