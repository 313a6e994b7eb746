"""What every ``Embedder`` must do. Subclass it and give the fixture ``embedder``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from visavis.errors import OptionError
from visavis.types import Embedder


class EmbedderContract:
    """Give a fixture ``embedder`` in a subclass."""

    @pytest.fixture
    def crops(self, embedder: Embedder) -> np.ndarray:
        size = embedder.input_size
        return np.random.default_rng(0).integers(0, 256, (5, size, size, 3)).astype(np.uint8)

    def test_declares_itself(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)
        assert embedder.name
        assert len(embedder.sha256) == 64
        assert embedder.dimension > 1
        assert embedder.input_size >= 8

    def test_unit_float32_rows(self, embedder: Embedder, crops: np.ndarray) -> None:
        vectors = embedder.embed(crops)
        assert vectors.shape == (5, embedder.dimension)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_a_batch_equals_one_at_a_time(self, embedder: Embedder, crops: np.ndarray) -> None:
        many = np.concatenate([crops] * 8)  # more than one internal batch
        together = embedder.embed(many)
        for k in (0, 4, 33, 39):
            np.testing.assert_allclose(together[k], embedder.embed(many[k : k + 1])[0], atol=2e-5)

    def test_no_crops_give_no_rows(self, embedder: Embedder, crops: np.ndarray) -> None:
        assert embedder.embed(crops[:0]).shape == (0, embedder.dimension)

    def test_the_same_again(self, embedder: Embedder, crops: np.ndarray) -> None:
        np.testing.assert_array_equal(embedder.embed(crops), embedder.embed(crops))

    def test_inputs_are_not_changed_and_may_be_views(
        self, embedder: Embedder, crops: np.ndarray
    ) -> None:
        before = crops.copy()
        mirrored = crops[:, :, ::-1]
        got = embedder.embed(mirrored)
        np.testing.assert_array_equal(crops, before)
        np.testing.assert_allclose(got, embedder.embed(mirrored.copy()), atol=1e-6)
        crops.flags.writeable = False
        embedder.embed(crops)

    def test_results_are_the_callers(self, embedder: Embedder, crops: np.ndarray) -> None:
        first = embedder.embed(crops)
        kept = first.copy()
        embedder.embed(255 - crops)
        np.testing.assert_array_equal(first, kept)

    def test_threads_do_not_mix(self, embedder: Embedder, crops: np.ndarray) -> None:
        want = [embedder.embed(crops[k : k + 1]) for k in range(5)]
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda k: embedder.embed(crops[k % 5 : k % 5 + 1]), range(20)))
        for k, vectors in enumerate(got):
            np.testing.assert_allclose(vectors, want[k % 5], atol=2e-5)

    @pytest.mark.parametrize("make", [
        lambda c: c.astype(np.float32),
        lambda c: c[:, :-1],
        lambda c: c[0],
        lambda c: c[..., :1],
        lambda c: c.transpose(0, 3, 1, 2),
    ])  # fmt: skip
    def test_other_shapes_and_types_are_refused(
        self, embedder: Embedder, crops: np.ndarray, make
    ) -> None:
        with pytest.raises(OptionError, match="uint8"):
            embedder.embed(make(crops))
