"""What every ``Clusterer`` must do. Subclass ``ClustererContract`` and give ``clusterer``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from visavis.clustering.clusterer import Clusterer, Constraints
from visavis.errors import ConstraintError, OptionError

THRESHOLD = 0.4
"""Make the clusterer for this score: in ``people`` mated scores are near 0.7, others near 0."""

QUICK = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def people(sizes, *, seed=0, dimension=128, spread=0.65, shuffle=True):
    """Unit vectors of some people and who each is: within a person scores are 1 / (1 + spread^2).

    Across people they scatter around 0 with a deviation of 1 / sqrt(dimension).
    """
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((len(sizes), dimension))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    who = np.repeat(np.arange(len(sizes)), sizes)
    noise = rng.standard_normal((len(who), dimension)) * (spread / np.sqrt(dimension))
    rows = centers[who] + noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = rng.permutation(len(who)) if shuffle else np.arange(len(who))
    return rows[order].astype(np.float32), who[order]


def first_appearance(labels):
    seen: dict[int, int] = {}
    return [seen.setdefault(label, len(seen)) for label in np.asarray(labels).tolist()]


def same_partition(a, b) -> bool:
    return first_appearance(a) == first_appearance(b)


def require_held(labels, constraints: Constraints) -> None:
    """Check every link and photo one by one."""
    labels = np.asarray(labels).tolist()
    must = [tuple(pair) for pair in np.asarray(constraints.must).tolist()]
    for a, b in must:
        assert labels[a] == labels[b], f"must-link {a}-{b}"
    for a, b in np.asarray(constraints.cannot).tolist():
        assert labels[a] != labels[b], f"cannot-link {a}-{b}"
    if constraints.photos is None:
        return
    # Faces of one photo may share a cluster only if must-links inside the photo join them.
    photos = np.asarray(constraints.photos).tolist()
    joined = {k: {k} for k in range(len(photos))}
    for a, b in must:
        if photos[a] == photos[b]:
            whole = joined[a] | joined[b]
            for k in whole:
                joined[k] = whole
    for a in range(len(photos)):
        for b in range(a):
            if photos[a] == photos[b] >= 0 and b not in joined[a]:
                assert labels[a] != labels[b], f"faces {b} and {a} of photo {photos[a]}"


@st.composite
def constrained(draw, *, most=24):
    """Vectors with constraints that do not contradict each other, right or wrong ones alike."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    vectors, _ = people(sizes, seed=draw(st.integers(0, 999)), dimension=24, spread=1.1)
    vectors = vectors[:most]
    n = len(vectors)
    # Links follow an imagined assignment, so that they agree with each other.
    imagined = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    pairs = draw(st.lists(pair, max_size=12))
    must = [(a, b) for a, b in pairs if imagined[a] == imagined[b]]
    cannot = [(a, b) for a, b in pairs if imagined[a] != imagined[b]]
    photos = [-1] * n
    taken: set[tuple[int, int]] = set()
    for k, photo in enumerate(draw(st.lists(st.integers(-1, 5), min_size=n, max_size=n))):
        if (photo, imagined[k]) not in taken:
            photos[k] = photo
            taken.add((photo, imagined[k]))
    quality_score = draw(
        st.none() | st.lists(st.sampled_from([0.05, 0.9, 1.0]), min_size=n, max_size=n)
    )
    return (
        vectors,
        None if quality_score is None else np.array(quality_score),
        Constraints(
            photos=np.array(photos, dtype=np.int64),
            must=np.array(must, dtype=np.int64).reshape(-1, 2),
            cannot=np.array(cannot, dtype=np.int64).reshape(-1, 2),
        ),
    )


class ClustererContract:
    """Give a fixture ``clusterer`` made for ``THRESHOLD``, of default options otherwise.

    ``finds_people = False``: the algorithm may err on people who are far apart from each other.
    """

    finds_people = True

    def test_is_a_clusterer(self, clusterer: Clusterer) -> None:
        assert isinstance(clusterer, Clusterer)
        assert clusterer.name

    def test_finds_people_who_differ(self, clusterer: Clusterer) -> None:
        vectors, who = people([12, 1, 7, 3, 1, 2, 20, 5, 1, 9])
        labels = clusterer.cluster(vectors)
        if self.finds_people:
            assert same_partition(labels, who)

    def test_labels_are_numbered_by_first_appearance(self, clusterer: Clusterer) -> None:
        vectors, _ = people([5, 4, 3, 1, 1], seed=3)
        labels = clusterer.cluster(vectors)
        assert labels.shape == (14,)
        assert labels.dtype == np.int64
        assert labels.tolist() == first_appearance(labels)

    def test_none_one_and_two(self, clusterer: Clusterer) -> None:
        vectors, _ = people([2], shuffle=False)
        assert clusterer.cluster(vectors[:0]).shape == (0,)
        assert clusterer.cluster(vectors[:1]).tolist() == [0]
        for first, second in ((0, 0), (0, 1)):
            labels = clusterer.cluster(vectors[[first, second]])
            assert labels.tolist() in ([0, 0], [0, 1])
        apart = Constraints(photos=np.array([4, 4]))
        assert clusterer.cluster(vectors, constraints=apart).tolist() == [0, 1]
        linked = Constraints(must=np.array([[1, 0]]))
        opposite = np.stack([vectors[0], -vectors[0]])
        assert clusterer.cluster(opposite, constraints=linked).tolist() == [0, 0]

    def test_none_with_all_that_can_be_given(self, clusterer: Clusterer) -> None:
        labels = clusterer.cluster(
            np.zeros((0, 8), dtype=np.float32),
            quality_score=np.zeros(0),
            constraints=Constraints(photos=np.zeros(0, dtype=np.int64)),
        )
        assert labels.tolist() == []

    def test_identical_faces_are_one_person(self, clusterer: Clusterer) -> None:
        vectors, _ = people([1, 1], shuffle=False)
        labels = clusterer.cluster(np.repeat(vectors, [30, 40], axis=0))
        assert len(set(labels[:30].tolist())) == len(set(labels[30:].tolist())) == 1
        if self.finds_people:
            assert labels.tolist() == [0] * 30 + [1] * 40

    def test_identical_faces_of_one_photo_are_not(self, clusterer: Clusterer) -> None:
        vectors, _ = people([1])
        crowd = np.repeat(vectors, 25, axis=0)
        labels = clusterer.cluster(
            crowd, constraints=Constraints(photos=np.zeros(25, dtype=np.int64))
        )
        assert labels.tolist() == list(range(25))

    def test_the_same_again(self, clusterer: Clusterer) -> None:
        vectors, _ = people([6] * 8, spread=1.2, seed=5)
        photos = Constraints(photos=np.arange(48) % 30)
        once = clusterer.cluster(vectors, constraints=photos)
        np.testing.assert_array_equal(once, clusterer.cluster(vectors, constraints=photos))

    def test_inputs_are_not_changed(self, clusterer: Clusterer) -> None:
        vectors, _ = people([6] * 4)
        before = vectors.copy()
        vectors.flags.writeable = False
        quality_score = np.linspace(0, 1, 24)
        quality_score.flags.writeable = False
        links = np.array([[0, 1], [2, 3]])
        links.flags.writeable = False
        clusterer.cluster(vectors, quality_score=quality_score, constraints=Constraints(must=links))
        np.testing.assert_array_equal(vectors, before)
        assert links.tolist() == [[0, 1], [2, 3]]

    def test_rows_may_be_a_view(self, clusterer: Clusterer) -> None:
        vectors, _ = people([6] * 4)
        wide = np.concatenate([vectors, vectors], axis=1)[::-1, :128]
        assert same_partition(clusterer.cluster(wide)[::-1], clusterer.cluster(vectors))

    @QUICK
    @given(seed=st.integers(0, 99), spread=st.sampled_from([0.65, 1.0, 1.4]))
    def test_the_order_of_faces_does_not_matter(
        self, clusterer: Clusterer, seed: int, spread: float
    ) -> None:
        vectors, _ = people([5, 3, 1, 4, 6, 1, 2], seed=seed, spread=spread)
        rng = np.random.default_rng(seed)
        n = len(vectors)
        quality_score = rng.choice([0.05, 1.0], n, p=[0.2, 0.8])
        photos = rng.integers(0, 2 * n, n)
        must, cannot = np.array([[0, 5], [5, 9]]), np.array([[0, 3], [9, 4]])
        photos[[0, 5, 9]] = -1
        want = clusterer.cluster(
            vectors,
            quality_score=quality_score,
            constraints=Constraints(photos=photos, must=must, cannot=cannot),
        )
        order = rng.permutation(n)
        place = np.argsort(order)
        got = clusterer.cluster(
            vectors[order],
            quality_score=quality_score[order],
            constraints=Constraints(photos=photos[order], must=place[must], cannot=place[cannot]),
        )
        assert same_partition(got[place], want)

    @QUICK
    @given(constrained())
    def test_constraints_always_hold(self, clusterer: Clusterer, case) -> None:
        vectors, quality_score, constraints = case
        labels = clusterer.cluster(vectors, quality_score=quality_score, constraints=constraints)
        assert labels.tolist() == first_appearance(labels)
        require_held(labels, constraints)

    def test_constraints_hold_against_all_evidence(self, clusterer: Clusterer) -> None:
        # Two copies of everybody in each photo, and links between people who are nothing alike.
        vectors, who = people([6] * 6, shuffle=False)
        photos = np.arange(36) % 3 + 3 * who
        must = np.array([[0, 6], [12, 18], [18, 24]])
        constraints = Constraints(photos=photos, must=must, cannot=np.array([[1, 2], [0, 30]]))
        require_held(clusterer.cluster(vectors, constraints=constraints), constraints)

    def test_a_long_chain_of_links(self, clusterer: Clusterer) -> None:
        vectors, _ = people([1] * 200, dimension=16)
        chain = np.stack([np.arange(199), np.arange(1, 200)], axis=1)
        labels = clusterer.cluster(vectors, constraints=Constraints(must=chain))
        assert labels.tolist() == [0] * 200

    def test_a_link_inside_a_photo_beats_the_photo(self, clusterer: Clusterer) -> None:
        vectors, _ = people([2, 1], shuffle=False)
        mirror = Constraints(photos=np.array([0, 0, 0]), must=np.array([[0, 1]]))
        assert clusterer.cluster(vectors, constraints=mirror).tolist() == [0, 0, 1]

    def test_faces_of_no_photo_are_not_in_one_photo(self, clusterer: Clusterer) -> None:
        vectors, _ = people([4], shuffle=False)
        free = Constraints(photos=np.full(4, -1))
        np.testing.assert_array_equal(
            clusterer.cluster(vectors, constraints=free), clusterer.cluster(vectors)
        )

    @pytest.mark.parametrize(
        ("constraints", "named"),
        [
            (Constraints(must=np.array([[0, 1], [1, 2]]), cannot=np.array([[2, 0]])), "0.*2|2.*0"),
            (Constraints(cannot=np.array([[1, 1]])), "face 1"),
            (
                Constraints(photos=np.array([7, 1, 7, 2]), must=np.array([[0, 1], [1, 2]])),
                "0 and 2",
            ),
            (Constraints(must=np.array([[0, 4]])), "face 4"),
            (Constraints(cannot=np.array([[-1, 2]])), "face -1"),
        ],
    )
    def test_contradictions_are_refused(
        self, clusterer: Clusterer, constraints: Constraints, named: str
    ) -> None:
        vectors, _ = people([4])
        with pytest.raises(ConstraintError, match=named):
            clusterer.cluster(vectors, constraints=constraints)

    @pytest.mark.parametrize(
        "make",
        [
            lambda v: {"vectors": v[0]},
            lambda v: {"vectors": v[None]},
            lambda v: {"vectors": v * 2},
            lambda v: {"vectors": np.where(np.arange(4)[:, None] == 2, np.nan, v)},
            lambda v: {"vectors": np.zeros_like(v)},
            lambda v: {"vectors": v.astype(np.int64)},
            lambda v: {"vectors": v, "quality_score": np.ones(3)},
            lambda v: {"vectors": v, "quality_score": np.full(4, np.nan)},
            lambda v: {"vectors": v, "quality_score": np.full(4, 1.5)},
            lambda v: {"vectors": v, "constraints": Constraints(photos=np.zeros(3, np.int64))},
            lambda v: {"vectors": v, "constraints": Constraints(photos=np.zeros(4))},
            lambda v: {"vectors": v, "constraints": Constraints(must=np.array([0, 1]))},
            lambda v: {"vectors": v, "constraints": Constraints(cannot=np.array([[0.0, 1.0]]))},
        ],
    )
    def test_other_inputs_are_refused(self, clusterer: Clusterer, make) -> None:
        given_ = make(people([4])[0])
        with pytest.raises(OptionError):
            clusterer.cluster(given_.pop("vectors"), **given_)

    @QUICK
    @given(seed=st.integers(0, 99), share=st.floats(0.05, 0.6))
    def test_poor_faces_change_nothing_for_good_ones(
        self, clusterer: Clusterer, seed: int, share: float
    ) -> None:
        vectors, _ = people([8, 6, 4, 1, 1, 3], seed=seed)
        good = np.random.default_rng(seed).random(len(vectors)) >= share
        assume(good.any())
        labels = clusterer.cluster(vectors, quality_score=np.where(good, 1.0, 0.0))
        assert same_partition(labels[good], clusterer.cluster(vectors[good]))

    def test_a_poor_face_between_two_people_joins_at_most_one(self, clusterer: Clusterer) -> None:
        vectors, who = people([10, 10], shuffle=False)
        middle = vectors.sum(axis=0, keepdims=True)
        middle /= np.linalg.norm(middle)
        bridges = np.repeat(middle, 5, axis=0).astype(np.float32)
        labels = clusterer.cluster(
            np.concatenate([vectors, bridges]), quality_score=np.repeat([1.0, 0.05], [20, 5])
        )
        if self.finds_people:
            assert same_partition(labels[:20], who)
        assert len(set(labels[20:].tolist())) == 1

    def test_poor_faces_join_their_person(self, clusterer: Clusterer) -> None:
        vectors, who = people([10, 10, 10])
        quality_score = np.where(np.arange(30) % 5 == 0, 0.05, 1.0)
        labels = clusterer.cluster(vectors, quality_score=quality_score)
        if self.finds_people:
            assert same_partition(labels, who)

    def test_poor_faces_of_one_photo_are_two_people(self, clusterer: Clusterer) -> None:
        vectors, _ = people([8], shuffle=False)
        quality_score = np.array([1.0] * 6 + [0.05] * 2)
        photos = np.array([-1] * 6 + [3, 3])
        labels = clusterer.cluster(
            vectors, quality_score=quality_score, constraints=Constraints(photos=photos)
        )
        assert labels[6] != labels[7]

    def test_none_is_good(self, clusterer: Clusterer) -> None:
        vectors, who = people([6, 6, 1])
        labels = clusterer.cluster(vectors, quality_score=np.zeros(13))
        assert labels.tolist() == first_appearance(labels)
        if self.finds_people:
            # Nobody mixed; whether poor faces alone are put together is the algorithm's choice.
            for label in set(labels.tolist()):
                assert len(set(who[labels == label].tolist())) == 1
