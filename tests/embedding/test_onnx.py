"""The ONNX embedder on both runtimes, and both against each other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.contracts.embedder import EmbedderContract

from visavis.embedding import onnx as onnx_room
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import ModelRefusedError, OptionError, UnknownModelError
from visavis.faces import align
from visavis.faces.yunet import YuNet
from visavis.inference import RUNTIMES

CHOICES = [(runtime, flip) for runtime in RUNTIMES for flip in (False, True)]


@pytest.fixture(
    scope="module", params=CHOICES, ids=lambda c: f"{c[0]}-{'flip' if c[1] else 'plain'}"
)
def embedder(request: pytest.FixtureRequest) -> OnnxEmbedder:
    runtime, flip = request.param
    return OnnxEmbedder("sface", options=EmbedderOptions(runtime=runtime, flip=flip, threads=1))


class TestOnnxEmbedder(EmbedderContract):
    """The contract, four times."""


@pytest.fixture(scope="module")
def real_crops(portrait: np.ndarray) -> np.ndarray:
    """The portrait's face in several lights and sizes, and mirrored."""
    landmarks = YuNet(threads=1).detect(portrait)[0].landmarks
    crop = align.crop(portrait, landmarks)
    dark = (crop * 0.4).astype(np.uint8)
    shifted = align.crop(portrait, landmarks * 1.02 + 3)
    return np.stack([crop, crop[:, ::-1], dark, shifted])


def test_runtimes_agree_on_real_crops(real_crops: np.ndarray) -> None:
    first, second = (
        OnnxEmbedder("sface", options=EmbedderOptions(runtime=runtime)).embed(real_crops)
        for runtime in RUNTIMES
    )
    assert np.abs(first @ first.T - second @ second.T).max() < 1e-3
    assert (first * second).sum(axis=1).min() > 1 - 1e-3


def test_flip_averages_the_two_unit_vectors(real_crops: np.ndarray) -> None:
    plain = OnnxEmbedder("sface")
    flipped = OnnxEmbedder("sface", options=EmbedderOptions(flip=True))
    want = plain.embed(real_crops) + plain.embed(np.ascontiguousarray(real_crops[:, :, ::-1]))
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    got = flipped.embed(real_crops)
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_allclose(got[0], got[1], atol=2e-5)  # mirror images have one template


def test_magnitudes_are_the_lengths_before_scaling(real_crops: np.ndarray) -> None:
    plain = OnnxEmbedder("sface", options=EmbedderOptions(threads=1))
    vectors, magnitudes = plain.embed_with_magnitudes(real_crops)
    raw = plain._session.run(plain._tensor(real_crops))[0].reshape(len(real_crops), -1)
    assert (magnitudes.shape, magnitudes.dtype) == ((len(real_crops),), np.float32)
    np.testing.assert_allclose(magnitudes[:, None] * vectors, raw, rtol=1e-4, atol=1e-4)
    for options in (EmbedderOptions(threads=1), EmbedderOptions(flip=True, threads=1)):
        again = OnnxEmbedder("sface", options=options).embed_with_magnitudes(real_crops)[1]
        np.testing.assert_allclose(again, magnitudes, rtol=1e-4)
    none, lengths = plain.embed_with_magnitudes(real_crops[:0])
    assert (none.shape, lengths.shape) == ((0, 128), (0,))


def test_the_same_face_scores_high_and_noise_low(real_crops: np.ndarray) -> None:
    embedder = OnnxEmbedder("sface")
    noise = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3)).astype(np.uint8)
    vectors = embedder.embed(np.concatenate([real_crops, noise]))
    scores = vectors @ vectors[0]
    assert scores[:4].min() > 0.6
    assert scores[4] < 0.3


def test_unknown_models_and_detectors_are_refused() -> None:
    with pytest.raises(UnknownModelError):
        OnnxEmbedder("no-such-model")
    with pytest.raises(ModelRefusedError, match="embedder"):
        OnnxEmbedder("yunet")


def test_with_other_threads_it_is_the_same_embedder(real_crops: np.ndarray) -> None:
    embedder = OnnxEmbedder("sface")
    alone = embedder.clone(threads=1)
    assert alone is embedder.clone(threads=1)  # loaded once, however often it is asked for
    assert alone.clone(threads=1) is alone
    assert (alone.name, alone.sha256, alone.dimension) == (
        embedder.name,
        embedder.sha256,
        embedder.dimension,
    )
    np.testing.assert_allclose(alone.embed(real_crops), embedder.embed(real_crops), atol=1e-5)
    single = OnnxEmbedder("sface", options=EmbedderOptions(threads=1))
    assert single.clone(threads=1) is single


@pytest.mark.parametrize("threads", [0, -3])
def test_too_few_threads_are_refused_at_once(threads: int) -> None:
    with pytest.raises(OptionError, match=f"{threads} threads"):
        OnnxEmbedder("sface", options=EmbedderOptions(threads=threads))
    with pytest.raises(OptionError, match=f"{threads} threads"):
        OnnxEmbedder("sface").clone(threads=threads).load()


def test_it_is_loaded_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def slow_load(*args, **kwargs):
        loads.append(kwargs["threads"])
        time.sleep(0.05)
        return onnx_room_load(*args, **kwargs)

    onnx_room_load = onnx_room.load
    monkeypatch.setattr(onnx_room, "load", slow_load)
    embedder = OnnxEmbedder("sface")
    assert loads == []
    crop = np.full((1, 112, 112, 3), 127, dtype=np.uint8)
    with ThreadPoolExecutor(4) as pool:
        vectors = list(pool.map(lambda _: embedder.embed(crop), range(8)))
    assert loads == [None]
    assert all(np.array_equal(vector, vectors[0]) for vector in vectors)
