"""Pairs to look at: ranked by the calibration's rates, and never those known to be two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.albums import collection as toy

from visavis.albums.fixing import Fixer
from visavis.albums.sheet import render
from visavis.albums.sorting import remember_faces, sort_faces
from visavis.albums.view import album_of
from visavis.clustering.thresholds import FmrCurve

CURVE = FmrCurve((0.1, 0.3, 0.5, 0.7), (1e-1, 1e-2, 1e-3, 1e-4))
"""At the threshold of 0.5 a share of 0.001; ten times as many at 0.3."""


def along(score: float, axis: int) -> np.ndarray:
    """A template that scores ``score`` with the first axis."""
    vector = np.zeros(8, dtype=np.float32)
    vector[0], vector[axis] = score, np.sqrt(1 - score**2)
    return vector


def test_pairs_reach_down_to_ten_times_the_strangers(tmp_path: Path) -> None:
    vectors = [along(1, 1), along(0.45, 2), along(0.35, 3), along(0.25, 4)]
    photos = {str(k): [toy.found_face(v)] for k, v in enumerate(vectors)}
    with toy.new_store(tmp_path) as store:
        with store.changing():
            seen = remember_faces(store, toy.found(photos))
            sort_faces(
                store, seen, toy.at_score(0.5), settings=toy.SETTINGS,
                threshold=lambda clusters: 0.5, curve=CURVE,
            )  # fmt: skip
        vectors_of = {face: one.vector for face, one in seen.faces.items()}
        album = album_of(store, vectors_of)
        assert [(pair.a, pair.b) for pair in album.likely_same] == [(1, 2), (1, 3)]
        assert [pair.score for pair in album.likely_same] == pytest.approx([0.45, 0.35])
        assert [pair.fmr for pair in album.likely_same] == pytest.approx([10**-2.75, 10**-2.25])
        page = render(album, {}, out=tmp_path)
        assert "1 in 560" in page
        assert "Most of these pairs are two people" in page
        with store.changing():
            fixer = Fixer(store)
            fixer.name(1, "Anna")
        with store.changing():
            Fixer(store).name(2, "Bea")
        album = album_of(store, vectors_of)
        assert [(pair.a, pair.b) for pair in album.likely_same] == [(1, 3)]
        without = replace(album, likely_same=(replace(album.likely_same[0], fmr=np.nan),))
        assert "1 in" not in render(without, {}, out=tmp_path)
