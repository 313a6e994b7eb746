"""Folding keeps every number: dequantized weights, PReLU rewritten, shapes freed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from visavis import inference
from visavis.errors import ModelRefusedError, OptionError
from visavis.inference.folding import dequantize, folded
from visavis.weights import WeightStore

RNG = np.random.default_rng(0)


def naive_dequantize(x, scale, zero, axis, block):
    out = np.zeros(x.shape, np.float32)
    for place in np.ndindex(*x.shape):
        if block:
            at = list(place)
            at[axis] //= block
            s, z = scale[tuple(at)], zero[tuple(at)]
        elif scale.ndim == 0:
            s, z = scale, zero
        else:
            s, z = scale[place[axis]], zero[place[axis]]
        out[place] = (np.float32(x[place]) - np.float32(z)) * s
    return out


@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 9),
    axis=st.integers(0, 1),
    block=st.integers(0, 4),
    seed=st.integers(0, 999),
)
def test_dequantize_equals_the_naive_loop(rows, columns, axis, block, seed) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    shape = [rows, columns]
    if block:
        shape[axis] = -(-shape[axis] // block)
    else:
        shape = [shape[axis]]
    scale = rng.random(shape).astype(np.float32)
    zero = rng.integers(-5, 5, shape).astype(np.int8)
    got = dequantize(x, scale, zero, axis=axis, block_size=block)
    np.testing.assert_allclose(got, naive_dequantize(x, scale, zero, axis, block), rtol=1e-6)


def quantized_graph() -> bytes:
    """x (1,2,4,4) -> conv with block-quantized weights listed as inputs -> PRelu -> Dropout."""
    weight = RNG.integers(-128, 128, (3, 8)).astype(np.int8)
    scale = RNG.random((3, 2)).astype(np.float32)
    zero = RNG.integers(-3, 3, (3, 2)).astype(np.int8)
    slope = np.array([-0.5, 0.25, 1.5], np.float32).reshape(3, 1, 1)
    shape = np.array([3, 2, 2, 2], np.int64)
    constants = {"w": weight, "s": scale, "z": zero, "slope": slope, "shape": shape}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"], axis=1, block_size=4),
        helper.make_node("Reshape", ["wf", "shape"], ["wr"]),
        helper.make_node("Conv", ["x", "wr"], ["c"]),
        helper.make_node("PRelu", ["c", "slope"], ["p"]),
        helper.make_node("Dropout", ["p"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])]
    inputs += [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for k, v in constants.items()
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 3, 3])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_folding_keeps_the_function_and_frees_the_batch() -> None:
    data = quantized_graph()
    graph = folded(data, input_shape=("n", 2, 4, 4))
    kinds = {node.op_type for node in onnx.load_model_from_string(graph).graph.node}
    assert not kinds & {"DequantizeLinear", "Reshape", "PRelu", "Dropout"}
    x = RNG.standard_normal((5, 2, 4, 4)).astype(np.float32)
    original = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    want = np.concatenate([original.run(None, {"x": one[None]})[0] for one in x])
    for runtime in inference.RUNTIMES:
        session = inference.load(graph, runtime=runtime, threads=1)
        assert session.output_names == ("y",)
        np.testing.assert_allclose(session.run(x)[0], want, rtol=1e-4, atol=1e-3)


def test_one_slope_for_all_channels_stays_a_prelu() -> None:
    slope = np.array([0.25], np.float32).reshape(1, 1, 1)
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["x", "slope"], ["y"])],
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 4, 4])],
        [numpy_helper.from_array(slope, "slope")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = RNG.standard_normal((3, 16, 4, 4)).astype(np.float32)
    for runtime in inference.RUNTIMES:
        session = inference.load(
            model.SerializeToString(), runtime=runtime, threads=1, input_shape=("n", 16, 4, 4)
        )
        np.testing.assert_allclose(session.run(x)[0], np.where(x < 0, x / 4, x), rtol=1e-6)


def test_the_cache_returns_the_same_bytes_and_heals_itself(tmp_path: Path) -> None:
    data = quantized_graph()
    first = folded(data, input_shape=("n", 2, 4, 4), cache=tmp_path)
    kept = next(tmp_path.glob("*.onnx"))
    assert kept.read_bytes() == first
    kept.write_bytes(first[:-7])
    assert folded(data, input_shape=("n", 2, 4, 4), cache=tmp_path) == first
    assert kept.read_bytes() == first
    assert folded(data, input_shape=("n", 2, "h", "w"), cache=tmp_path) != first


def test_a_cache_that_cannot_be_written_is_only_slower(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    data = quantized_graph()
    assert folded(data, cache=blocked / "below") == folded(data)


def test_real_models_fold_to_the_same_outputs() -> None:
    store = WeightStore()
    data = store.path("sface").read_bytes()
    x = RNG.integers(0, 256, (2, 3, 112, 112)).astype(np.float32)
    proto = onnx.load_model_from_string(data)
    read = {name for node in proto.graph.node for name in node.input}
    real = [i for i in proto.graph.input if i.name in read and i.name == "data"]
    del proto.graph.input[:]
    proto.graph.input.extend(real)
    original = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    want = np.concatenate([original.run(None, {"data": one[None]})[0] for one in x])
    for runtime in inference.RUNTIMES:
        session = inference.load(data, runtime=runtime, input_shape=("n", 3, 112, 112))
        np.testing.assert_allclose(session.run(x)[0], want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("data", [b"", b"junk" * 50, b"\x08\x01"])
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with pytest.raises(ModelRefusedError):
        folded(data)


def test_unknown_runtime_and_bad_threads_are_refused() -> None:
    with pytest.raises(OptionError, match="onnxruntime, openvino"):
        inference.load(b"", runtime="tensorrt")
    with pytest.raises(OptionError, match="threads"):
        inference.load(b"", threads=0)


def test_a_wrong_number_of_dimensions_is_refused() -> None:
    with pytest.raises(ModelRefusedError, match="4 dimensions"):
        folded(quantized_graph(), input_shape=(1, 2, 3))
