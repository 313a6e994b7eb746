"""Levelling: against a row-by-row computation, and as the embedder serves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from visavis.embedding.levelling import Levelling, shipped
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import ModelRefusedError, OptionError
from visavis.pipeline import Recognizer
from visavis.pipeline.recognizer import RecognizerOptions
from visavis.weights import WeightStore
from visavis.weights.builtin import BUILTIN

SIDE = 6


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _one(row: list[float], direction: list[float], height: float, full: float) -> list[float]:
    """One template, number by number."""
    share = sum(a * b for a, b in zip(row, direction, strict=True))
    rest = [a - share * b for a, b in zip(row, direction, strict=True)]
    length = math.sqrt(sum(a * a for a in rest))
    common = 0.0 if share <= 0 else height if share >= full else height * share / full
    scale = math.sqrt(1 - common**2) / length
    return [a * scale + common * b for a, b in zip(rest, direction, strict=True)]


rows = arrays(np.float64, (5, SIDE), elements=st.floats(-3, 3)).filter(
    lambda found: bool((np.linalg.norm(found, axis=1) > 0.1).all())
)


@given(
    rows, arrays(np.float64, SIDE, elements=st.floats(-3, 3)), st.floats(0, 0.9), st.floats(0.05, 1)
)
def test_equals_the_numbers_one_by_one(
    found: np.ndarray, towards: np.ndarray, height: float, full: float
) -> None:
    if np.linalg.norm(towards) < 0.1:
        towards = np.eye(SIDE)[0]
    vectors, direction = _unit(found), _unit(towards[None])[0]
    got = Levelling(direction, height=height, full=full).apply(vectors)
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    for before, after in zip(vectors, got, strict=True):
        if abs(float(before @ direction)) > 0.999:
            continue  # hardly any rest: rounding decides its direction
        want = _one(before.tolist(), direction.tolist(), height, full)
        np.testing.assert_allclose(after, want, atol=2e-4)


def test_a_template_that_is_the_direction_itself_stays() -> None:
    direction = np.eye(SIDE, dtype=np.float32)[1]
    both = np.stack([direction, -direction])
    np.testing.assert_array_equal(Levelling(direction, height=0.4, full=0.2).apply(both), both)


def test_no_templates_give_none() -> None:
    level = Levelling(np.eye(SIDE, dtype=np.float32)[1], height=0.4, full=0.2)
    assert level.apply(np.zeros((0, SIDE), np.float32)).shape == (0, SIDE)


def test_what_ships_fits_the_models_that_ask_for_it() -> None:
    asking = [entry for entry in BUILTIN.values() if entry.levelling]
    assert {entry.name for entry in asking} == {"sface", "sface-float"}
    for entry in asking:
        level = shipped(entry.levelling)
        assert level.direction.shape == (entry.dimension,)
        assert np.linalg.norm(level.direction) == pytest.approx(1, abs=1e-6)
        assert 0 < level.full < level.height < 1


@pytest.mark.parametrize("name", ["no-such", "../data/sface", ""])
def test_what_does_not_ship_is_refused(name: str) -> None:
    with pytest.raises(ModelRefusedError, match="levelling"):
        shipped(name)


@pytest.mark.parametrize("flip", [False, True])
def test_the_embedder_levels_last_and_only_where_asked(flip: bool) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    level = OnnxEmbedder("sface", options=EmbedderOptions(flip=flip))
    plain = OnnxEmbedder("sface", options=EmbedderOptions(flip=flip, level=False))
    assert level.levelling is not None
    assert plain.levelling is None
    assert level.with_threads(1).levelling is level.levelling
    before = plain.embed(crops)
    np.testing.assert_allclose(level.embed(crops), shipped("sface").apply(before), atol=2e-6)
    assert np.abs(level.embed(crops) - before).max() > 1e-3


def test_the_settings_name_it() -> None:
    words = shipped("sface").words
    assert Recognizer().settings.endswith(f", plain {words}")
    unlevelled = Recognizer(options=RecognizerOptions(level=False))
    assert unlevelled.settings.endswith(", plain")
    flip = Recognizer(options=RecognizerOptions(flip=True))
    assert flip.settings.endswith(f", flip {words}")


def test_another_levelling_has_other_words() -> None:
    level = shipped("sface")
    turned = np.roll(level.direction, 1)
    others = [
        replace(level, direction=turned),
        replace(level, height=0.3),
        replace(level, full=0.2),
        level,
    ]
    assert len({other.words for other in others}) == 4


Add = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    return WeightStore(tmp_path)


@pytest.fixture
def add(store: WeightStore, tmp_path: Path) -> Add:
    """Registers a graph that is never read."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a graph that is never read")
    settings = {"input_size": 112, "mean": 0, "std": 1, "colour": "rgb", "licence": "MIT"}
    return lambda name, **more: store.add(name, file, **settings, **more)


@pytest.mark.parametrize(
    ("levelling", "dimension", "why"),
    [("of-later", 128, "update visavis"), ("sface", 512, "512 numbers; it is for 128")],
)
def test_a_model_that_cannot_be_levelled_is_refused(
    store: WeightStore, add: Add, levelling: str, dimension: int, why: str
) -> None:
    add("mine", dimension=dimension, levelling=levelling)
    with pytest.raises(ModelRefusedError, match=why):
        OnnxEmbedder("mine", store=store)


def test_no_file_has_two_levellings(add: Add) -> None:
    add("mine", dimension=128, levelling="sface")
    with pytest.raises(OptionError, match="levelling sface"):
        add("again", dimension=128)


@pytest.mark.parametrize("wrong", ["../sface", None, 0])
def test_what_is_no_name_is_no_levelling(wrong: object) -> None:
    with pytest.raises(OptionError, match="levelling"):
        replace(BUILTIN["sface"], levelling=wrong)
