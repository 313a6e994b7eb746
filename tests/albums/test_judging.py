"""Scores with means, recomputed face by face."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.albums import judging


def naive_mean(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = sum(w * v for w, v in zip(weights, vectors, strict=True))
    return np.asarray(total / np.linalg.norm(total))


@pytest.fixture
def faces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    clusters = rng.choice([3, 8, 9, 20, 21], 60).astype(np.int64)
    clusters[0] = 99
    return vectors, clusters, rng.uniform(0, 1, 60)


def test_scores_are_those_of_a_loop(faces: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, clusters, usable = faces
    judged = judging.judge(vectors, clusters, usable)
    weight = np.maximum(usable, 0.05)
    for k in range(60):
        own = (clusters == clusters[k]) & (np.arange(60) != k)
        scores = {
            int(c): float(naive_mean(vectors[clusters == c], weight[clusters == c]) @ vectors[k])
            for c in set(clusters.tolist()) - {int(clusters[k]), 99}
        }
        best = max(scores, key=lambda c: scores[c])
        assert judged.nearest[k] == best
        assert judged.other[k] == pytest.approx(scores[best], abs=1e-5)
        if own.any():
            expected = float(naive_mean(vectors[own], weight[own]) @ vectors[k])
            assert judged.own[k] == pytest.approx(expected, abs=1e-5)
        else:
            assert np.isnan(judged.own[k])


def test_pairs_are_those_of_a_loop(faces: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, clusters, usable = faces
    judged = judging.judge(*faces)
    weight = np.maximum(usable, 0.05)

    def score(a: int, b: int) -> float:
        """The mean score of a face of one with a face of the other."""
        ones, others = np.flatnonzero(clusters == a), np.flatnonzero(clusters == b)
        total = sum(weight[i] * weight[j] * (vectors[i] @ vectors[j]) for i in ones for j in others)
        return float(total / weight[ones].sum() / weight[others].sum())

    numbers = sorted(set(clusters.tolist()))
    scores = {(a, b): score(a, b) for a in numbers for b in numbers if a < b}
    best = sorted(scores, key=lambda pair: -scores[pair])
    found = judging.alike(judged, least=-1, most=4, apart={best[0]})
    assert [(a, b) for a, b, _ in found] == best[1:5]
    assert [s for _, _, s in found] == pytest.approx([scores[p] for p in best[1:5]], abs=1e-5)
    only = judging.alike(judged, least=-1, most=99, only=[3, 9])
    assert [(a, b) for a, b, _ in only] == [(3, 9)]
    assert judging.alike(judged, least=1.1, most=9) == []


def test_faces_without_a_template_have_no_score() -> None:
    vectors = np.array([[1, 0], [np.nan, np.nan], [0.8, 0.6], [0, 1]], dtype=np.float32)
    judged = judging.judge(vectors, np.array([1, 1, 1, 2]), np.ones(4))
    assert judged.own[0] == pytest.approx(0.8)
    assert np.isnan(judged.own[1])
    assert np.isnan(judged.other[1])


def test_doubt_is_said_in_words() -> None:
    judged = judging.FaceScores(
        np.array([1]), np.zeros((1, 1), np.float32), np.ones(1), np.array([0.3, 0.6, 0.6, np.nan]),
        np.array([0.2, 0.7, 0.1, 0.9]), np.array([4, 5, 6, 7]),
    )  # fmt: skip
    assert judged.doubt(0, 0.4) == "score 0.30 below 0.40"
    assert judged.doubt(1, 0.4) == "closer to 5 (0.70) than to its own (0.60)"
    assert judged.doubt(2, 0.4) == ""
    assert judged.doubt(3, 0.4) == ""


def test_nobody_is_judged_without_a_fuss() -> None:
    judged = judging.judge(np.zeros((0, 1), np.float32), np.zeros(0, np.int64), np.zeros(0))
    assert len(judged.clusters) == 0
    assert judging.alike(judged, least=0, most=3) == []
