"""The default clusterer: small cases by hand, plain average linkage, and the contract."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from scipy.special import ndtr
from tests.contracts.clusterer import (
    QUICK,
    THRESHOLD,
    ClustererContract,
    people,
    require_held,
    same_partition,
)

from visavis.clustering.clusterer import Constraints
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import FmrCurve
from visavis.errors import OptionError
from visavis.metrics.clustering import bcubed


def of_random_people(dimension: int = 128) -> FmrCurve:
    """What a calibration would say of strangers at random on the sphere, up to ``THRESHOLD``."""
    scores = np.linspace(0.1, THRESHOLD, 31)
    rates = ndtr(-scores * np.sqrt(dimension))
    return FmrCurve(tuple(scores.tolist()), tuple(rates.tolist()), typical=0.0)


def always(score: float) -> FmrCurve:
    """A calibration by which every rate asked for lies at one score: plain average linkage."""
    return FmrCurve((score - 0.1, score), (0.4, 0.2), typical=0.0)


def plane(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane; the score of two is the cosine of the angle between them."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


class TestContract(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> GraphLinkage:
        return GraphLinkage(of_random_people())


class TestContractWithFewNeighbors(ClustererContract):
    @pytest.fixture
    def clusterer(self) -> GraphLinkage:
        return GraphLinkage(of_random_people(), neighbors=5, exact_up_to=0)


@QUICK
@given(
    seed=st.integers(0, 9999),
    spread=st.sampled_from([0.8, 1.2, 1.6]),
    score=st.sampled_from([0.2, 0.3, 0.5]),
)
def test_at_one_score_it_is_average_linkage(seed: int, spread: float, score: float) -> None:
    vectors, _ = people([9, 5, 1, 4, 1, 1, 12, 2], seed=seed, dimension=24, spread=spread)
    tree = linkage(pdist(vectors.astype(np.float64), "cosine"), "average")
    want = fcluster(tree, 1 - score, "distance")
    got = GraphLinkage(always(score), neighbors=len(vectors)).cluster(vectors)
    assert same_partition(got, want)


def test_means_decide_not_single_pairs() -> None:
    # 0 and 40 degrees score 0.77, 40 and 80 as well; the mean of 80 with the two others is 0.47.
    far = plane(0, 40, 80)
    assert len(set(GraphLinkage(always(0.7)).cluster(far).tolist())) == 2
    assert GraphLinkage(always(0.45)).cluster(far).tolist() == [0, 0, 0]


def test_the_best_pair_goes_first() -> None:
    # 30 is nearer to 50 than to 0; together they are too far from 0 for 0.8.
    assert GraphLinkage(always(0.8)).cluster(plane(0, 30, 50)).tolist() == [0, 1, 1]


def test_a_center_of_many_faces_says_more_than_one_face() -> None:
    # Two faces need 0.5. A face of mean score 0.42 with twenty joins them: their center is shorter
    # than 1, and the cosine with it is above 0.5. A stranger as near to one face does not.
    rng = np.random.default_rng(0)
    own = rng.standard_normal((20, 256)) * 0.75 / 16
    own[:, 0] += 1
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    center = own.mean(axis=0)
    axis = center / np.linalg.norm(center)
    aside = rng.standard_normal(256)
    aside -= aside @ axis * axis
    aside /= np.linalg.norm(aside)
    cosine = 0.42 / np.linalg.norm(center)
    new = cosine * axis + np.sqrt(1 - cosine**2) * aside
    assert (own @ new).mean() == pytest.approx(0.42)
    assert cosine > 0.5
    curve = FmrCurve((0.2, 0.3, 0.5), (1e-2, 1e-4, 1e-8), typical=0.0)
    found = GraphLinkage(curve, false_merge_rate=1e-9)
    assert found.cluster(np.vstack([own, new]).astype(np.float32)).tolist() == [0] * 21
    alone = 0.42 * own[0] + np.sqrt(1 - 0.42**2) * aside
    alone /= np.linalg.norm(alone)
    assert found.cluster(np.stack([own[0], alone]).astype(np.float32)).tolist() == [0, 1]


def test_the_larger_the_collection_the_more_is_asked() -> None:
    # A pair of score 0.36 among four others is one person, among four hundred others it is not.
    rng = np.random.default_rng(1)
    pair = np.zeros((2, 512))
    pair[0, 0], pair[1, :2] = 1, (0.36, np.sqrt(1 - 0.36**2))
    others = rng.standard_normal((400, 512))
    others[:, :2] = 0
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    curve = FmrCurve((0.3, 0.35, 0.4), (1e-2, 1e-3, 1e-4), typical=0.0)
    few = np.vstack([pair, others[:4]]).astype(np.float32)
    many = np.vstack([pair, others]).astype(np.float32)
    assert GraphLinkage(curve).cluster(few).tolist() == [0, 0, 1, 2, 3, 4]
    assert GraphLinkage(curve).cluster(many).tolist() == list(range(402))


def test_a_refused_merge_goes_to_the_next_best() -> None:
    # 10 would join 0, which is in its photo; so it joins 25.
    photos = Constraints(photos=np.array([7, 7, -1]))
    faces, clusterer = plane(0, 10, 25), GraphLinkage(always(0.95))
    assert clusterer.cluster(faces).tolist() == [0, 0, 1]
    assert clusterer.cluster(faces, constraints=photos).tolist() == [0, 1, 1]


def test_a_photo_counts_for_the_whole_cluster() -> None:
    # 0 and 5 merge first; 8 is in the photo of 0, so it may not join 5 either.
    photos = Constraints(photos=np.array([3, -1, 3]))
    assert GraphLinkage(always(0.9)).cluster(plane(0, 5, 11), constraints=photos).tolist() == [
        0,
        0,
        1,
    ]


def test_must_links_are_there_from_the_start() -> None:
    # 0 and 80 by order; 20 is as near to their mean as it gets, alone it would have joined 0.
    linked = Constraints(must=np.array([[0, 1]]))
    faces = plane(0, 80, 20)
    assert GraphLinkage(always(0.9)).cluster(faces).tolist() == [0, 1, 0]
    assert GraphLinkage(always(0.9)).cluster(faces, constraints=linked).tolist() == [0, 0, 1]
    assert GraphLinkage(always(0.7)).cluster(faces, constraints=linked).tolist() == [0, 0, 0]


def test_new_faces_join_old_clusters_that_stay_as_they_are() -> None:
    vectors, who = people([8, 6, 5, 1, 1, 4], spread=0.9, seed=4)
    clusterer = GraphLinkage(of_random_people())
    old = clusterer.cluster(vectors[:20])
    chains = [np.flatnonzero(old == k) for k in range(old.max() + 1)]
    must = np.concatenate([np.stack([c[:-1], c[1:]], axis=1) for c in chains])
    new = clusterer.cluster(vectors, constraints=Constraints(must=must))
    assert same_partition(new[:20], old)
    assert same_partition(new, who)


def test_many_equal_faces_take_few_rounds() -> None:
    vectors, _ = people([1, 1], shuffle=False)
    labels = GraphLinkage(of_random_people()).cluster(np.repeat(vectors, [3000, 2000], axis=0))
    assert labels.tolist() == [0] * 3000 + [1] * 2000


@pytest.mark.parametrize("exact_up_to", [20_000, 0])
def test_a_thousand_people(exact_up_to: int) -> None:
    sizes = np.random.default_rng(0).geometric(0.4, 1000)
    vectors, who = people(sizes.tolist(), seed=2)
    photos = np.random.default_rng(1).integers(0, 2 * len(who), len(who))
    constraints = Constraints(photos=photos)
    labels = GraphLinkage(of_random_people(), exact_up_to=exact_up_to).cluster(
        vectors, constraints=constraints
    )
    require_held(labels, constraints)
    free = GraphLinkage(of_random_people(), exact_up_to=exact_up_to).cluster(vectors)
    assert bcubed(who, free).f1 > 0.99


class TestPoor:
    def test_the_better_of_two_of_one_photo_is_taken(self) -> None:
        faces = plane(0, 2, 60, 62, 8, 15)
        poor = np.array([1, 1, 1, 1, 0.1, 0.1])
        together = GraphLinkage(always(0.9)).cluster(faces, quality_score=poor)
        assert together.tolist() == [0, 0, 1, 1, 0, 0]
        apart = GraphLinkage(always(0.9)).cluster(
            faces, quality_score=poor, constraints=Constraints(photos=np.array([-1] * 4 + [2, 2]))
        )
        assert apart.tolist() == [0, 0, 1, 1, 0, 2]

    def test_who_is_refused_goes_to_the_next_best(self) -> None:
        # 20 fits 0 best, but is in its photo; 50 is near enough.
        faces = plane(0, 50, 20)
        poor = np.array([1, 1, 0.1])
        photos = Constraints(photos=np.array([5, -1, 5]))
        clusterer = GraphLinkage(always(0.85))
        assert clusterer.cluster(faces, quality_score=poor).tolist() == [0, 1, 0]
        assert clusterer.cluster(faces, quality_score=poor, constraints=photos).tolist() == [
            0,
            1,
            1,
        ]

    def test_the_bar_is_an_option(self) -> None:
        # As a good face, 12 leads 0 and 24 together; as a poor one it joins one of them.
        faces = plane(0, 24, 12)
        usable = np.array([1, 1, 0.5])
        assert GraphLinkage(always(0.93), poor=0.4).cluster(
            faces, quality_score=usable
        ).tolist() in (
            [0, 1, 0],
            [0, 1, 1],
            [0, 0, 0],
        )
        assert (
            len(set(GraphLinkage(always(0.95)).cluster(faces, quality_score=usable).tolist())) == 2
        )


@pytest.mark.parametrize(
    "options", [{"neighbors": 0}, {"false_merge_rate": 0.0}, {"false_merge_rate": 1.0}]
)
def test_other_options_are_refused(options) -> None:
    with pytest.raises(OptionError):
        GraphLinkage(always(0.5), **options)
