"""In which number format a network computes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import ModelRefusedError, OptionError
from visavis.inference import PRECISIONS, check_file, load, openvino
from visavis.inference.precision import computes_in_8_bits
from visavis.pipeline import Recognizer, RecognizerOptions
from visavis.weights import WeightStore


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "capabilities", lambda: ("FP32", "INT8"))


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO takes the hint on every processor, and computes in float32 where it must."""
    monkeypatch.setattr(openvino, "capabilities", lambda: ("FP32", "BF16", "INT8"))


def hint(embedder: OnnxEmbedder) -> str:
    embedder.load()
    session = embedder._session
    assert isinstance(session, openvino.OpenVinoSession)
    return session._options["INFERENCE_PRECISION_HINT"]


def test_an_unknown_precision_names_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"'half'.*auto, float32, bf16, int8"):
        OnnxEmbedder(options=EmbedderOptions(precision="half"))


@pytest.mark.usefixtures("without_bf16")
def test_bf16_is_refused_by_a_processor_without_it_before_the_model_is_read() -> None:
    with pytest.raises(OptionError, match=r"without bfloat16.*choose auto or float32"):
        OnnxEmbedder("no-such-model", options=EmbedderOptions(precision="bf16"))
    with pytest.raises(OptionError, match="without bfloat16"):
        load(b"", runtime="openvino", bf16=True)


@pytest.mark.usefixtures("with_bf16")
def test_bf16_runs_in_openvino_whatever_the_runtime_and_is_in_the_pipeline_id() -> None:
    asked = Recognizer(options=RecognizerOptions(precision="bf16", threads=1))
    assert hint(asked.embedder) == "bf16"
    usual = Recognizer(options=RecognizerOptions(threads=1))
    # Its templates are never taken from the cache of others, nor its scores' thresholds.
    assert asked.pipeline_id == f"{usual.pipeline_id}, bf16"


@pytest.mark.parametrize(("threads", "streams"), [(None, 1), (1, 2), (2, 2), (9, 1)])
def test_calls_on_few_threads_of_openvino_run_side_by_side(
    monkeypatch: pytest.MonkeyPatch, threads: int | None, streams: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    embedder = OnnxEmbedder(options=EmbedderOptions(runtime="openvino", threads=threads))
    embedder.load()
    session = embedder._session
    assert isinstance(session, openvino.OpenVinoSession)
    assert int(session._options["NUM_STREAMS"]) == streams
    # Streams share the threads of all.
    every = None if threads is None else threads * streams
    assert session._options.get("INFERENCE_NUM_THREADS") == every


@pytest.mark.usefixtures("with_bf16")
def test_bf16_in_another_runtime_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'onnxruntime'.*choose openvino"):
        load(b"", runtime="onnxruntime", bf16=True)


@pytest.mark.usefixtures("with_bf16")
def test_bf16_of_a_file_that_openvino_does_not_run_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = replace(WeightStore().entry("sface"), format="torchscript")
    monkeypatch.setattr(WeightStore, "entry", lambda _self, _name: script)
    with pytest.raises(ModelRefusedError, match=r"torchscript form.*choose auto or float32"):
        OnnxEmbedder(options=EmbedderOptions(precision="bf16"))


@pytest.mark.usefixtures("with_bf16")
def test_auto_stays_in_float32_on_processors_with_bf16() -> None:
    embedder = OnnxEmbedder(options=EmbedderOptions(runtime="openvino", threads=1))
    assert not embedder.bf16
    assert hint(embedder) == "f32"


def test_float32_is_what_auto_takes_for_a_float_file() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    auto, float32 = (
        OnnxEmbedder(options=EmbedderOptions(precision=precision, threads=1)).embed(crops)
        for precision in ("auto", "float32")
    )
    np.testing.assert_array_equal(auto, float32)


def test_8_bits_need_a_file_made_for_them() -> None:
    # The default model's file stores its weights as integers, and computes in float32.
    with pytest.raises(ModelRefusedError, match=r"float numbers.*visavis export sface --to"):
        OnnxEmbedder(options=EmbedderOptions(precision="int8"))
    assert not computes_in_8_bits(WeightStore().read("sface"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_made_for_8_bits_is_run_as_it_is(precision: str) -> None:
    for data in (quantizing_graph(), b'<layer type="FakeQuantize" version="opset1">'):
        if precision in {"auto", "int8"}:
            check_file(precision, model="small", data=partial(bytes, data))
        else:
            with pytest.raises(ModelRefusedError, match=r"made for 8 bits.*auto or int8"):
                check_file(precision, model="small", data=partial(bytes, data))


def quantizing_graph() -> bytes:
    """A graph that rounds its input to 8 bits."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", 4]) for k in "xy"]
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(128, np.uint8), "zero"),
    ]
    graph = helper.make_graph(nodes, "small", ports[:1], ports[1:], constants)
    return bytes(helper.make_model(graph).SerializeToString())
