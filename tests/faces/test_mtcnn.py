"""MTCNN's parts: the weight reader, the graphs against plain numpy, tiles, options."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from visavis.errors import MissingExtraError, ModelDamagedError, OptionError
from visavis.faces import mtcnn as room
from visavis.faces.mtcnn import Mtcnn, MtcnnOptions
from visavis.faces.mtcnn_graphs import build, read_arrays
from visavis.inference import load
from visavis.weights import WeightStore

frame = pytest.importorskip("lz4.frame")
joblib = pytest.importorskip("joblib")


@pytest.fixture(scope="module")
def detector() -> Mtcnn:
    return Mtcnn(threads=1)


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_nothing_but_the_registered_bytes_is_unpickled(tmp_path: Path) -> None:
    store, sprung = WeightStore(tmp_path), tmp_path / "sprung"
    trap = frame.compress(pickle.dumps([Trap(sprung)]))
    joblib.load(io.BytesIO(trap))
    assert sprung.exists()
    sprung.unlink()
    whole = WeightStore().read("mtcnn-pnet")
    for data in (trap, whole[:1000], b""):
        cached = store._cached(store.entry("mtcnn-pnet"))
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(data)
        with pytest.raises(ModelDamagedError):
            read_arrays("mtcnn-pnet", store)
    assert not sprung.exists()


def test_missing_lz4_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lz4.frame", None)
    with pytest.raises(MissingExtraError, match=r"visavis\[mtcnn\]"):
        read_arrays("mtcnn-pnet", WeightStore())


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Keras: (rows, columns, in) with a (rows, columns, in, out) kernel, no padding."""
    windows = sliding_window_view(x, weight.shape[:2], axis=(0, 1))  # rows, columns, in, kr, kc
    return np.einsum("abikl,klio->abo", windows, weight) + bias


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * slope.reshape(-1))


def pool(x: np.ndarray, window: int, *, partial: bool) -> np.ndarray:
    """Keras: stride 2; "same" keeps a partial last window, "valid" drops it."""
    rows, columns = (-(-side // 2) if partial else (side - window) // 2 + 1 for side in x.shape[:2])
    result = np.empty((rows, columns, x.shape[2]))
    for r in range(rows):
        for c in range(columns):
            result[r, c] = x[2 * r : 2 * r + window, 2 * c : 2 * c + window].max((0, 1))
    return result


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def keras(network: str, picture: np.ndarray) -> list[np.ndarray]:
    """The network as its Keras source defines it, one picture, in float64."""
    w = iter(a.astype(float) for a in joblib.load(WeightStore().path(f"mtcnn-{network}")))
    x = (picture.astype(float) - 127.5) / 128
    x = prelu(conv(x, next(w), next(w)), next(w))
    x = pool(x, 2 if network == "pnet" else 3, partial=True)
    x = prelu(conv(x, next(w), next(w)), next(w))
    if network != "pnet":
        x = pool(x, 3, partial=False)
    x = prelu(conv(x, next(w), next(w)), next(w))
    if network == "pnet":
        return [conv(x, next(w), next(w)), softmax(conv(x, next(w), next(w)))]
    if network == "onet":
        x = pool(x, 2, partial=True)
        x = prelu(conv(x, next(w), next(w)), next(w))
    flat = x.transpose(1, 0, 2).reshape(-1)  # Permute((2, 1, 3)), Flatten
    flat = prelu(flat @ next(w) + next(w), next(w))
    heads = [flat @ next(w) + next(w) for _ in range(2 if network == "rnet" else 3)]
    return [*heads[:-1], softmax(heads[-1])]


@pytest.mark.parametrize(("network", "shape"), [
    ("pnet", (12, 12)), ("pnet", (31, 44)), ("rnet", (24, 24)), ("onet", (48, 48)),
])  # fmt: skip
def test_the_graphs_compute_what_keras_would(
    network: str, shape: tuple[int, int], portrait: np.ndarray
) -> None:
    graph = build(network, read_arrays(f"mtcnn-{network}", WeightStore()))
    session = load(graph, runtime="onnxruntime", threads=1)
    pictures = [portrait[90 : 90 + shape[0], 190 : 190 + shape[1]],
                np.random.default_rng(0).integers(0, 256, (*shape, 3))]  # fmt: skip
    tensor = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32)
    outputs = session.run(np.ascontiguousarray(tensor))
    names = ("offsets", "landmarks", "probability")
    assert session.output_names == tuple(n for n in names if n != "landmarks" or network == "onet")
    for k, picture in enumerate(pictures):
        for got, wanted in zip(outputs, keras(network, picture), strict=True):
            np.testing.assert_allclose(np.moveaxis(got[k], 0, -1), wanted, atol=2e-5)


def test_arrays_of_another_network_are_refused() -> None:
    arrays = read_arrays("mtcnn-rnet", WeightStore())
    for network in ("pnet", "onet"):
        with pytest.raises(ModelDamagedError, match=network):
            build(network, arrays)
    with pytest.raises(ModelDamagedError):
        build("rnet", arrays[:-1])
    with pytest.raises(ModelDamagedError):
        build("rnet", [*arrays, arrays[0]])


def test_tiles_give_what_one_piece_gives(
    detector: Mtcnn, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = portrait[3:300, 5:420]
    whole = detector.detect(photo)
    monkeypatch.setattr(room, "_TILE", 37)
    tiled = detector.detect(photo)
    assert len(whole) == len(tiled) > 0
    for a, b in zip(whole, tiled, strict=True):
        np.testing.assert_allclose(a.box, b.box, atol=0.01)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.01)


def test_runtimes_agree(portrait: np.ndarray, detector: Mtcnn) -> None:
    other = Mtcnn(runtime="openvino", threads=1).detect(portrait)
    first = detector.detect(portrait)
    assert len(first) == len(other)
    for a, b in zip(first, other, strict=True):
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.05)


def test_min_face_is_kept_to(portrait: np.ndarray) -> None:
    assert Mtcnn(options=MtcnnOptions(min_face=100), threads=1).detect(portrait)
    assert not Mtcnn(options=MtcnnOptions(min_face=250), threads=1).detect(portrait)


def test_max_side_searches_smaller_but_answers_in_photo_pixels(
    portrait: np.ndarray, detector: Mtcnn
) -> None:
    options = MtcnnOptions(max_side=200)
    got = Mtcnn(options=options, threads=1).detect(portrait)[0]
    np.testing.assert_allclose(got.landmarks, detector.detect(portrait)[0].landmarks, atol=4)


_SIDES = st.integers(1, 65_535)
_OPTIONS = st.builds(
    MtcnnOptions,
    min_face=st.floats(8, 1e6),
    scale_factor=st.floats(0.3, 0.95, exclude_min=True, exclude_max=True),
    max_side=st.none() | st.integers(24, 100_000),
)


@given(_SIDES, _SIDES, _OPTIONS)
def test_sizes_are_few_and_show_every_face(width: int, height: int, options: MtcnnOptions) -> None:
    sizes = room._sizes(width, height, options)
    # Between the largest and the smallest size, the short side shrinks to six pixels.
    longest = max(width, height)
    shrink = 1 if options.max_side is None else min(options.max_side / longest, 1)
    most = min(width, height) * shrink * 12 / options.min_face
    assert len(sizes) <= max(1 + np.log(most / 6) / -np.log(options.scale_factor) + 1e-6, 0)
    for k, size in enumerate(sizes):
        scale = shrink * 12 / options.min_face * options.scale_factor**k
        assert size == pytest.approx((width * scale, height * scale), abs=0.51, rel=1e-9)
    # Each face up to twice the short side fills a window at one of the sizes, or nearly.
    smallest, largest = options.min_face / shrink, 2 * min(width, height)
    for face in np.geomspace(smallest, largest, 7) if smallest <= largest else ():
        seen = [face * shrink * 12 / options.min_face * options.scale_factor**k
                for k in range(len(sizes))]  # fmt: skip
        assert any(12 * (1 - 1e-6) <= side <= 12 / options.scale_factor for side in seen)


@pytest.mark.parametrize("side", [337, 409, 590, 1021])
def test_sizes_are_those_of_the_paper(side: int) -> None:
    """Sizes at the default options, by a loop that multiplies."""
    scale, expected = 12 / 20, []
    for _ in range(100):
        if side * scale >= 6:
            expected.append((round(side * scale), round(2 * side * scale)))
        scale *= 0.709
    assert room._sizes(side, 2 * side, MtcnnOptions()) == expected


def test_strips_have_no_faces(detector: Mtcnn) -> None:
    for shape in ((1, 5000, 3), (20, 40_000, 3), (40_000, 20, 3)):
        assert detector.detect(np.full(shape, 90, np.uint8)) == []


def test_every_option_is_in_the_name() -> None:
    names = {
        Mtcnn(options=options, threads=1).name
        for options in (
            MtcnnOptions(),
            MtcnnOptions(min_face=30),
            MtcnnOptions(scale_factor=0.8),
            MtcnnOptions(thresholds=(0.6, 0.7, 0.9)),
            MtcnnOptions(max_side=2000),
        )
    }
    assert len(names) == 5
    assert "mtcnn-1.0.0/min20" in names


@pytest.mark.parametrize(
    "options",
    [
        {"min_face": 4},
        {"min_face": float("nan")},
        {"min_face": float("inf")},
        {"scale_factor": 1.0},
        {"scale_factor": 0.1},
        {"thresholds": (0.6, 0.7)},
        {"thresholds": (0.6, 0.7, 1.2)},
        {"max_side": 5},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        MtcnnOptions(**options)  # type: ignore[arg-type]
