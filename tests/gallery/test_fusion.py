"""Fusion against loops over people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import OptionError
from visavis.gallery.fusion import (
    FUSIONS,
    fused_scores,
    max_scores,
    mean_templates,
    simulated_non_mated,
)


def _unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@st.composite
def galleries(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    people, templates = draw(st.integers(1, 6)), draw(st.integers(0, 15))
    owners = rng.integers(0, people, templates)
    weights = rng.random(templates) * rng.integers(0, 2, templates)
    return _unit(rng, 4, 5), _unit(rng, templates, 5).reshape(-1, 5), owners, weights, people


def _naive(probe, vectors, owners, weights, person, *, fusion) -> float:
    own = [k for k in range(len(owners)) if owners[k] == person]
    if not own:
        return -1.0
    if fusion == "max":
        return max(float(probe.astype(np.float64) @ vectors[k]) for k in own)
    share = [float(weights[k]) if fusion == "weighted" else 1.0 for k in own]
    if sum(share) == 0:
        share = [1.0] * len(own)
    mean = sum(w * vectors[k].astype(np.float64) for w, k in zip(share, own, strict=True))
    return float(probe @ mean / np.linalg.norm(mean))


@given(galleries(), st.sampled_from(FUSIONS))
def test_every_fused_score_agrees_with_a_loop(gallery, fusion) -> None:
    probes, vectors, owners, weights, people = gallery
    scores = fused_scores(
        probes, vectors, owners, fusion=fusion, quality_score=weights, people=people
    )
    assert scores.shape == (4, people)
    assert scores.dtype == np.float32
    for q in range(4):
        for p in range(people):
            expected = _naive(probes[q], vectors, owners, weights, p, fusion=fusion)
            assert scores[q, p] == pytest.approx(expected, abs=1e-5)


@given(galleries(), st.sampled_from(FUSIONS), st.integers(0, 1000))
def test_the_order_of_templates_does_not_matter(gallery, fusion, seed) -> None:
    probes, vectors, owners, weights, people = gallery
    turn = np.random.default_rng(seed).permutation(len(owners))
    one = fused_scores(probes, vectors, owners, fusion=fusion, quality_score=weights, people=people)
    other = fused_scores(
        probes,
        vectors[turn],
        owners[turn],
        fusion=fusion,
        quality_score=weights[turn],
        people=people,
    )
    assert one == pytest.approx(other, abs=1e-6)


@given(galleries())
def test_means_have_unit_length_and_people_without_templates_none(gallery) -> None:
    _, vectors, owners, weights, people = gallery
    means = mean_templates(vectors, owners, weights=weights, people=people)
    length = np.linalg.norm(means, axis=1)
    held = np.isin(np.arange(people), owners)
    assert length[held] == pytest.approx(1.0, abs=1e-5)
    assert (length[~held] == 0).all()


def test_templates_that_cancel_out_leave_the_first() -> None:
    assert mean_templates([[1, 0], [-1, 0]], [0, 0]).tolist() == [[1, 0]]


def test_a_poor_template_weighs_less() -> None:
    probe, good, poor = [[1.0, 0.0]], [1.0, 0.0], [0.0, 1.0]
    even = fused_scores(probe, [good, poor], [0, 0], fusion="mean")[0, 0]
    weighed = fused_scores(probe, [good, poor], [0, 0], fusion="weighted", quality_score=[1, 0.2])
    assert even < weighed[0, 0] < 1


@pytest.mark.parametrize("fusion", FUSIONS)
def test_simulated_strangers_meet_everybody_but_themselves(fusion) -> None:
    rng = np.random.default_rng(3)
    owners = np.repeat(np.arange(30), rng.integers(1, 4, 30))
    vectors, weights = _unit(rng, len(owners), 8), rng.random(len(owners))
    found = simulated_non_mated(vectors, owners, fusion=fusion, quality_score=weights, seed=5)
    assert len(found) == 30
    for person in range(30):
        others = [p for p in range(30) if p != person]
        possible = [
            max(_naive(vectors[k], vectors, owners, weights, p, fusion=fusion) for p in others)
            for k in np.flatnonzero(owners == person)
        ]
        assert min(abs(found[person] - value) for value in possible) < 1e-5


def test_simulated_strangers_are_drawn_and_none_where_nobody_else_is() -> None:
    rng = np.random.default_rng(0)
    vectors = _unit(rng, 600, 8)
    drawn = simulated_non_mated(vectors, np.arange(600), most=50)
    assert len(drawn) == 50
    every = simulated_non_mated(vectors, np.arange(600))
    assert np.isin(drawn, every).all()
    assert len(simulated_non_mated(vectors[:3], np.zeros(3, np.int64))) == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fused_scores([[1, 0]], [[1, 0]], [0], fusion="median"), "weighted"),
        (lambda: fused_scores([[1, 0, 0]], [[1, 0]], [0], fusion="max"), "of one D"),
        (lambda: max_scores(np.ones((1, 2), np.float32), np.array([0])), "whole numbers"),
        (lambda: mean_templates([[1, 0]], [2], people=2), "from 0 to 1"),
        (lambda: mean_templates([[1, 0]], [0], weights=[-1]), "at least 0"),
        (lambda: mean_templates([[1, 0]], [0], weights=[np.nan]), "finite"),
    ],
)
def test_what_is_not_accepted_is_said(call, says) -> None:
    with pytest.raises(OptionError, match=says):
        call()
