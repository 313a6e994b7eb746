"""What lies in large pages is what it was, where it was."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from visavis.gallery.index.fast_scan import ask_for_large_pages


@pytest.mark.parametrize("size", [0, 1, mmap.PAGESIZE + 7, (9 << 20) + 3])
def test_the_memory_keeps_its_place_and_content(size: int) -> None:
    memory = np.random.default_rng(0).integers(0, 256, size + 1, np.uint8)[1:]
    before, where = memory.copy(), memory.ctypes.data
    ask_for_large_pages(memory)
    np.testing.assert_array_equal(memory, before)
    assert memory.ctypes.data == where
    memory[:] = 7
    assert np.all(memory == 7)
