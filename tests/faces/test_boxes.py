"""Suppression against the textbook loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.faces.detecting import suppress

box = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 30), st.integers(0, 30)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
rows = st.lists(st.tuples(box, st.integers(0, 5)), max_size=25)


def textbook(boxes, scores, overlap, of_smaller) -> list[int]:
    kept: list[int] = []
    for k in sorted(range(len(scores)), key=lambda k: (-scores[k], k)):
        a = boxes[k]
        for j in kept:
            b = boxes[j]
            width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
            height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
            areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
            whole = min(areas) if of_smaller else sum(areas) - width * height
            if width * height > overlap * whole:
                break
        else:
            kept.append(k)
    return kept


@given(rows, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans())
def test_equals_the_textbook_loop(rows, overlap, of_smaller) -> None:
    boxes = np.array([b for b, _ in rows], dtype=float).reshape(-1, 4)
    scores = np.array([s for _, s in rows], dtype=float)
    got = suppress(boxes, scores, overlap=overlap, of_smaller=of_smaller)
    assert got.tolist() == textbook(boxes.tolist(), scores.tolist(), overlap, of_smaller)


@pytest.mark.parametrize(("of_smaller", "kept"), [(False, [0, 1]), (True, [0])])
def test_a_small_box_inside_a_large_one(of_smaller: bool, kept: list[int]) -> None:
    boxes = np.array([[0, 0, 100, 100], [40, 40, 60, 60.0]])
    got = suppress(boxes, np.array([0.9, 0.8]), overlap=0.7, of_smaller=of_smaller)
    assert got.tolist() == kept
