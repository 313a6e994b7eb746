"""The input check: what passes is contiguous, and copied only where it must be."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.errors import OptionError
from visavis.faces.detecting import check_photo


def test_a_plain_photo_passes_as_it_is() -> None:
    photo = np.zeros((4, 5, 3), dtype=np.uint8)
    assert check_photo(photo) is photo


def test_a_view_becomes_contiguous() -> None:
    photo = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[:, ::-1]
    checked = check_photo(photo)
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, photo)


@pytest.mark.parametrize("photo", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3)), "a.jpg"])
def test_anything_else_is_refused_with_the_remedy(photo: object) -> None:
    with pytest.raises(OptionError, match=r"visavis\.images"):
        check_photo(photo)
