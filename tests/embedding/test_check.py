"""Graphs that are face embedders, and the many that are not. All are built here, none is real."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, numpy_helper

from visavis.embedding.check import CheckedGraph, check_graph, read_facts
from visavis.errors import ModelRefusedError, ModelUnavailableError, OptionError, VisavisError

SIZE, DIMENSION = 16, 5
Shape = Sequence[int | str | None]
_POOLED = 12  # 3 channels of 2 x 2 means


def weights(rows: int = _POOLED, columns: int = DIMENSION) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, columns)).astype(np.float32)


def embed_nodes(image: str = "image", output: str = "vector") -> list[NodeProto]:
    """Mean over four quadrants of each channel, then a matrix."""
    return [
        helper.make_node("AveragePool", [image], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], [output]),
    ]


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    def _build(
        nodes: Sequence[NodeProto] | None = None,
        *,
        shape: Shape | None = ("n", 3, SIZE, SIZE),
        out: Shape = ("n", DIMENSION),
        stored: dict[str, np.ndarray] | None = None,
        inputs: Sequence[str] = ("image",),
        outputs: Sequence[str] = ("vector",),
        kind: int = TensorProto.FLOAT,
        opset: int = 17,
        listed_weights: bool = False,
    ) -> Path:
        stored = {"weight": weights()} if stored is None else stored
        inputs_info = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
        if listed_weights:
            inputs_info += [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
                for name, value in stored.items()
            ]
            inputs_info.append(helper.make_tensor_value_info("forgotten", TensorProto.FLOAT, [1]))
        graph = helper.make_graph(
            list(nodes) if nodes is not None else embed_nodes(),
            "graph",
            inputs_info,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, out) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in stored.items()],
        )
        opsets = [helper.make_opsetid("", opset)]
        path = tmp_path / "model.onnx"
        path.write_bytes(
            helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
        )
        return path

    return _build


def refused(path: Path, why: str, **options: object) -> str:
    with pytest.raises(ModelRefusedError, match=why) as raised:
        check_graph(path, **options)  # type: ignore[arg-type]
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_good_nchw(build) -> None:
    path = build()
    assert check_graph(path) == CheckedGraph(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        dimension=DIMENSION,
        input_size=SIZE,
        layout="NCHW",
        batch=None,
        runtimes=("onnxruntime", "openvino"),
        opset=17,
    )


def test_good_nhwc(build) -> None:
    nodes = [helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2])]
    checked = check_graph(
        build(nodes + embed_nodes("nchw"), shape=("n", SIZE, SIZE, 3)), mean=(127.5,) * 3
    )
    assert (checked.layout, checked.input_size, checked.batch) == ("NHWC", SIZE, None)


def test_weights_listed_as_inputs_are_no_inputs(build) -> None:
    assert check_graph(build(listed_weights=True)).dimension == DIMENSION


def test_a_declared_batch_of_one_can_be_freed(build) -> None:
    checked = check_graph(build(shape=(1, 3, SIZE, SIZE), out=(1, DIMENSION)))
    assert checked.batch is None


@pytest.mark.parametrize(("declared", "size"), [("n", 1), (1, 1), (4, 4)])
def test_a_batch_built_into_the_graph_stays(build, declared: int | str, size: int) -> None:
    nodes = embed_nodes()
    nodes[1] = helper.make_node("Reshape", ["pooled", "shape"], ["flat"])
    stored = {"weight": weights(), "shape": np.array([size, _POOLED])}
    path = build(nodes, shape=(declared, 3, SIZE, SIZE), out=(declared, DIMENSION), stored=stored)
    checked = check_graph(path)
    assert (checked.batch, checked.dimension) == (size, DIMENSION)


def test_an_open_size_must_be_given(build) -> None:
    path = build(shape=("n", 3, "h", "w"))
    with pytest.raises(OptionError, match="--input-size"):
        check_graph(path)
    assert check_graph(path, input_size=SIZE).input_size == SIZE
    refused(path, "does not run", input_size=SIZE * 3)


def test_options_that_contradict_the_graph(build) -> None:
    with pytest.raises(OptionError, match=r"16.*112"):
        check_graph(build(), input_size=112)
    with pytest.raises(OptionError, match=r"NCHW.*NHWC"):
        check_graph(build(), layout="NHWC")


def test_an_open_layout_must_be_given(build) -> None:
    path = build(shape=("n", "c", "h", "w"))
    with pytest.raises(OptionError, match="--layout"):
        check_graph(path, input_size=SIZE)
    assert check_graph(path, input_size=SIZE, layout="NCHW").layout == "NCHW"


def test_two_inputs(build) -> None:
    nodes = [helper.make_node("Add", ["image", "mask"], ["sum"]), *embed_nodes("sum")]
    refused(build(nodes, inputs=("image", "mask")), r"has 2 inputs \('image', 'mask'\)")


def test_an_input_that_nothing_reads_does_not_count(build) -> None:
    assert check_graph(build(inputs=("image", "phase_train"))).dimension == DIMENSION


def test_an_input_read_only_inside_a_branch_counts(build) -> None:
    branch = helper.make_graph(
        embed_nodes("image", "inner"),
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights(), "weight")],
    )
    nodes = [helper.make_node("If", ["always"], ["vector"], then_branch=branch, else_branch=branch)]
    path = build(nodes, stored={"always": np.array(True)})
    facts = read_facts(path.read_bytes(), source="model.onnx")
    assert (facts.input_name, facts.input_size) == ("image", SIZE)


def test_no_input(build) -> None:
    nodes = [helper.make_node("Identity", ["weight"], ["vector"])]
    refused(build(nodes), "has 0 inputs")


def test_two_outputs(build) -> None:
    nodes = [*embed_nodes(), helper.make_node("Neg", ["vector"], ["negative"])]
    refused(build(nodes, outputs=("vector", "negative")), "has 2 outputs")


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (("n", _POOLED), "input of 2 dimensions"),
        (("n", 3, SIZE), "input of 3 dimensions"),
        (("n", 1, SIZE, SIZE), "without a color axis of 3"),
        (("n", 3, SIZE, SIZE + 8), "not square"),
        (None, "input of 0 dimensions"),
    ],
)
def test_inputs_that_are_no_square_color_images(build, shape: Shape | None, why: str) -> None:
    refused(build(shape=shape), why)


def test_an_input_of_another_type(build) -> None:
    nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
    refused(build(nodes + embed_nodes("float"), kind=TensorProto.UINT8), "takes uint8")


@pytest.mark.parametrize(
    ("last", "shape"),
    [
        (helper.make_node("Identity", ["pooled"], ["vector"]), "1 x 3 x 2 x 2"),
        (helper.make_node("ReduceMean", ["pooled"], ["vector"], keepdims=0), " for 1 crop"),
        (helper.make_node("ReduceMean", ["flat"], ["vector"], axes=[1], keepdims=1), "1 x 1"),
    ],
)
def test_outputs_of_another_shape(build, last: NodeProto, shape: str) -> None:
    refused(build([*embed_nodes()[:2], last], out=None), shape)


def test_an_output_of_whole_numbers(build, tmp_path: Path) -> None:
    path = build(
        [*embed_nodes(output="real"), helper.make_node("Cast", ["real"], ["vector"], to=7)]
    )
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, path)
    refused(path, "returns int64")


def test_values_that_are_not_finite(build) -> None:
    stored = {"weight": np.full((_POOLED, DIMENSION), np.nan, np.float32)}
    refused(build(stored=stored), "not finite")
    nodes = [*embed_nodes(output="v"), helper.make_node("Exp", ["v"], ["vector"])]
    refused(build(nodes, stored={"weight": weights() * 1e3}), "not finite")


def test_zeros(build) -> None:
    refused(build(stored={"weight": np.zeros((_POOLED, DIMENSION), np.float32)}), "returns zeros")


def test_the_same_vector_for_every_photo(build) -> None:
    nodes = [
        *embed_nodes(output="v"),
        helper.make_node("Mul", ["v", "nought"], ["nothing"]),
        helper.make_node("Add", ["nothing", "fixed"], ["vector"]),
    ]
    stored = {"weight": weights(), "nought": np.float32([0]), "fixed": np.float32([1, 2, 3, 4, 5])}
    refused(build(nodes, stored=stored), "same vector for unlike crops")


def test_only_the_length_depends_on_the_photo(build) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "weight"], ["vector"]),
    ]
    stored = {"weight": weights(1), "one": np.array([1])}
    refused(build(nodes, stored=stored), "same vector for unlike crops")


def test_a_graph_left_in_training_mode(build) -> None:
    nodes = [
        *embed_nodes(output="v"),
        helper.make_node("Dropout", ["v", "half", "on"], ["vector"], seed=7),
    ]
    stored = {"weight": weights(), "half": np.float32(0.5), "on": np.array(True)}
    refused(build(nodes, stored=stored), "two vectors for one crop|unlike|zeros")
    names = ["gamma", "beta", "mean", "var"]
    normal = helper.make_node(
        "BatchNormalization", ["v", *names], ["vector", "m", "s"], training_mode=1
    )
    stored = {"weight": weights(), **{name: np.ones(DIMENSION, np.float32) for name in names}}
    refused(build([*embed_nodes(output="v"), normal], stored=stored), "training mode")


def test_an_opset_of_the_future(build) -> None:
    message = refused(build(opset=99), "opset 99")
    assert f"up to opset {onnx.defs.onnx_opset_version()}" in message


def test_an_operator_that_nobody_knows(build) -> None:
    nodes = embed_nodes()
    nodes[2].op_type = "FaceMagic"
    message = refused(build(nodes), "does not load")
    assert "FaceMagic" in message
    assert "ONNXRuntimeError" not in message


def test_weights_in_other_files(build, tmp_path: Path) -> None:
    path = build()
    large = onnx.load(path)
    onnx.save(large, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").exists()
    refused(path, "keeps weights such as 'weight' in other files")
    onnx.save(onnx.load(path), path)
    assert check_graph(path).dimension == DIMENSION


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" * 9, b"\x08\x07", b"PK\x03\x04" * 50]
)
def test_files_that_are_no_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.onnx"
    path.write_bytes(content)
    refused(path, "is no ONNX file|holds no ONNX graph")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(ModelUnavailableError):
            check_graph(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    graph = helper.make_graph(
        embed_nodes(),
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", DIMENSION])],
        [numpy_helper.from_array(weights(), "weight")],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_truncated_files_are_refused(
    whole: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.onnx"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 12))])
    with pytest.raises(ModelRefusedError):
        check_graph(path)


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0), bit=st.integers(0, 7))
def test_flipped_bits_give_an_answer_or_a_refusal(
    whole: bytes, position: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    flipped = bytearray(whole)
    flipped[position % len(whole)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.onnx"
    path.write_bytes(flipped)
    try:
        checked = check_graph(path)
    except VisavisError:
        return
    # What it says of the file is so, by ONNX Runtime alone.
    assert checked.sha256 == hashlib.sha256(flipped).hexdigest()
    session = onnxruntime.InferenceSession(bytes(flipped), providers=["CPUExecutionProvider"])
    side = checked.input_size
    first, second = (
        session.run(None, {session.get_inputs()[0].name: crop})[0]
        for crop in np.random.default_rng(0).normal(size=(2, 1, 3, side, side)).astype(np.float32)
    )
    assert first.shape == (1, checked.dimension)
    assert np.isfinite(first).all()
    assert not np.allclose(first, second)


def test_weights_of_local_functions_are_in_the_file(build: Callable[..., Path]) -> None:
    outside = numpy_helper.from_array(weights(), "elsewhere")
    onnx.external_data_helper.set_external_data(outside, "weights.bin")
    outside.ClearField("raw_data")
    body = [
        helper.make_node("Constant", [], ["weight"], value=outside),
        *embed_nodes("x", "y"),
    ]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Embed", ["x"], ["y"], body, opsets)
    path = build([helper.make_node("Embed", ["image"], ["vector"], domain="own")], stored={})
    model = onnx.load(path)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelRefusedError, match="weights such as 'elsewhere' in other files"):
        read_facts(path.read_bytes(), source=str(path))


def test_a_loop_that_never_ends_is_refused(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visavis.embedding.check._LIMIT", 0.3)
    flag, number = TensorProto.BOOL, TensorProto.INT64
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", number, []),
            helper.make_tensor_value_info("go", flag, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", flag, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        *embed_nodes(output="once"),
        helper.make_node("Loop", ["", "true", "once"], ["vector"], body=body),
    ]
    path = build(nodes, stored={"weight": weights(), "true": np.array(True)})
    with pytest.raises(ModelRefusedError, match="does not end within"):
        check_graph(path)


def test_the_shipped_embedder_passes() -> None:
    from visavis.weights import BUILTIN, WeightStore

    entry = BUILTIN["sface"]
    checked = check_graph(WeightStore().path("sface"), mean=entry.mean, std=entry.std)
    assert (checked.sha256, checked.dimension) == (entry.sha256, entry.dimension)
    assert (checked.input_size, checked.layout) == (entry.input_size, entry.layout)
    assert checked.runtimes == entry.runtimes
    assert checked.batch is None
