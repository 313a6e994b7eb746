"""The demo needs no photos of its user."""

from __future__ import annotations

import numpy as np

import visavis
from visavis.cli.demo import portrait


def test_the_portrait_comes_with_the_package() -> None:
    import skimage.data

    found = portrait()
    original = skimage.data.astronaut()
    assert found.shape == original.shape
    assert np.abs(found.astype(int) - original).mean() < 3  # as a JPEG
    assert len(visavis.detect(found)) == 1
