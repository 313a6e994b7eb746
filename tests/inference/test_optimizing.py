"""Graphs kept as ONNX Runtime optimized them: same numbers, self-healing, never in the way."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from visavis import inference
from visavis.inference.session import optimized
from visavis.weights import WeightStore

SHAPE = ("n", 3, 112, 112)


@pytest.fixture(scope="module")
def model() -> bytes:
    return WeightStore().read("sface")


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 3, 112, 112)).astype(np.float32)


@pytest.fixture(scope="module")
def want(model: bytes, crops: np.ndarray) -> np.ndarray:
    """What the graph answers where nothing is kept."""
    return run(model, crops, None)


@pytest.fixture(scope="module")
def kept(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = optimized(model, input_shape=SHAPE, cache=tmp_path_factory.mktemp("kept"))
    assert graph is not None
    return graph.parent


def run(model: bytes, crops: np.ndarray, cache: Path | None) -> np.ndarray:
    return inference.load(model, input_shape=SHAPE, cache=cache).run(crops)[0]


def test_kept_graphs_give_the_same_numbers(model, crops, want, tmp_path: Path) -> None:
    np.testing.assert_allclose(run(model, crops, tmp_path), want, rtol=1e-4, atol=1e-4)
    (kept,) = tmp_path.glob("*.ort")
    made = kept.stat().st_mtime_ns
    np.testing.assert_allclose(run(model, crops, tmp_path), want, rtol=1e-4, atol=1e-4)
    assert list(tmp_path.glob("*.ort")) == [kept]
    assert kept.stat().st_mtime_ns == made  # used as it is


@pytest.mark.parametrize("name", ["graph.onnx", "weights.bin", "stamp"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damage_is_noticed_and_mended(  # noqa: PLR0917
    model, crops, want, kept: Path, tmp_path: Path, name, damage
) -> None:
    shutil.copytree(kept, tmp_path / kept.name)
    graph = optimized(model, input_shape=SHAPE, cache=tmp_path)
    assert graph is not None
    file = graph.parent / name
    intact = {one: (graph.parent / one).read_bytes() for one in ("graph.onnx", "weights.bin")}
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[:-3])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        file.unlink()
    np.testing.assert_allclose(run(model, crops, tmp_path), want, rtol=1e-4, atol=1e-4)
    assert {one: (graph.parent / one).read_bytes() for one in intact} == intact
    mended = file.stat().st_mtime_ns
    assert optimized(model, input_shape=SHAPE, cache=tmp_path) == graph  # as it is
    assert file.stat().st_mtime_ns == mended


def test_a_cache_that_cannot_be_written_is_only_slower(model, crops, want, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert optimized(model, input_shape=SHAPE, cache=blocked / "below") is None
    np.testing.assert_allclose(run(model, crops, blocked / "below"), want, rtol=1e-4, atol=1e-4)


def test_several_at_once_leave_one_intact_graph(model, tmp_path: Path) -> None:
    found: list[Path | None] = []

    def make() -> None:
        found.append(optimized(model, input_shape=SHAPE, cache=tmp_path))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found)
    assert optimized(model, input_shape=SHAPE, cache=tmp_path) is not None
    assert len(list(tmp_path.glob("*.ort"))) == 1


def test_a_disk_that_is_full_is_only_slower(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime says it as an error of its own, as it writes what it has optimized."""
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

    def full(*_: object) -> None:
        raise InvalidProtobuf("Protobuf serialization failed.")

    monkeypatch.setattr("visavis.inference.session._keep", full)
    assert optimized(model, input_shape=SHAPE, cache=tmp_path) is None
