"""Every bad or odd photo has exactly its outcome, by path and by bytes."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.images.corpus import Recipe, corpus, recipes

from visavis import images
from visavis.errors import VisavisError
from visavis.images import decoding

_RECIPES = recipes()


@pytest.mark.parametrize("recipe", _RECIPES, ids=lambda recipe: recipe.name)
def test_outcome(recipe: Recipe, tmp_path: Path) -> None:
    case = recipe.cook(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if case.expect is None:
            pixels = images.decode(case.source)
            assert_pixels(pixels, case.pixels, case.tolerance)
            return
        with pytest.raises(VisavisError) as caught:
            images.decode(case.source)
    message = str(caught.value)
    assert type(caught.value) is case.expect, message
    for words in case.contains:
        assert words in message
    assert "\n" not in message
    assert message.encode("utf-8").decode().isprintable()
    assert len(message) < 600
    if recipe.file is not None:
        assert message.startswith(images.describe(case.source))


@pytest.mark.parametrize(
    "recipe", [r for r in _RECIPES if r.file is not None], ids=lambda recipe: recipe.name
)
def test_same_outcome_from_bytes(recipe: Recipe, tmp_path: Path) -> None:
    path = recipe.cook(tmp_path).source
    data = path.read_bytes()
    if recipe.expect is None:
        assert np.array_equal(images.decode(data), images.decode(path))
        return
    with pytest.raises(recipe.expect) as from_path:
        images.decode(path)
    with pytest.raises(recipe.expect) as from_bytes:
        images.decode(data, name=images.describe(path))
    assert from_bytes.value.got == from_path.value.got


@pytest.mark.parametrize(
    "recipe", [r for r in _RECIPES if r.file is not None], ids=lambda recipe: recipe.name
)
def test_the_size_is_that_of_the_pixels(recipe: Recipe, tmp_path: Path) -> None:
    data = recipe.cook(tmp_path).source.read_bytes()
    if recipe.expect is None:
        assert images.size(data) == images.decode(data).shape[1::-1]
    else:  # what only the pixels tell is not found
        with contextlib.suppress(recipe.expect):
            assert len(images.size(data)) == 2


def test_no_more_photos_are_decoded_at_once_than_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray
) -> None:
    stream = io.BytesIO()
    Image.fromarray(portrait[:8, :8]).save(stream, "PNG")
    running, most, lock = 0, 0, threading.Lock()
    load = decoding.load_pixels

    def slow(*given: object) -> object:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return load(*given)

    monkeypatch.setattr(decoding, "load_pixels", slow)
    threads = 4 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        sizes = list(pool.map(images.size, [stream.getvalue()] * threads))
    assert sizes == [(8, 8)] * threads
    assert most <= (os.cpu_count() or 1)


def test_names_are_unique_and_enough(tmp_path: Path) -> None:
    cases = corpus(tmp_path)
    assert len({case.name for case in cases}) == len(cases) >= 60


def assert_pixels(pixels: np.ndarray, expected: np.ndarray | None, tolerance: int) -> None:
    assert expected is not None
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert np.abs(pixels.astype(float) - expected).max() <= tolerance
