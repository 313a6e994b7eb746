"""The whole embedder as one plain ONNX graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.errors import ExportError
from visavis.exporting.source import Source
from visavis.inference.folding import folded

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT: Final = "images"
OUTPUT: Final = "embeddings"
OPSET: Final = 17
_IR: Final = 8  # the IR version of opset 17
_SHORTEST: Final = 1e-12  # as in torch.nn.functional.normalize


def whole_graph(source: Source, *, prelu: bool) -> ModelProto:
    """Returns the model with normalization of pixels and of length inside, in opset 17.

    Batch normalization is folded into the convolutions.

    Args:
        source: the model.
        prelu: keep PReLU as one node, instead of two convolutions (see ``inference.folding``).

    Raises:
        ExportError: its graph takes a fixed number of crops, or has newer operators.
    """
    import onnx

    entry = source.entry
    size = int(entry.input_size or 0)
    if entry.batch is not None:
        raise ExportError(
            f"model {entry.name!r}, whose graph takes {entry.batch} crop(s) at a time",
            "export the network with a free batch dimension",
        )
    channels_last = entry.layout == "NHWC"
    shape = ("n", size, size, 3) if channels_last else ("n", 3, size, size)
    model = onnx.load_model_from_string(folded(source.data, input_shape=shape, prelu=prelu))
    model = _plain_opset(model, entry.name)
    _before(model, source, channels_last=channels_last)
    _after(model, int(entry.dimension or 0))
    model.producer_name = "visavis"
    return _simplified(model)


def _plain_opset(model: ModelProto, name: str) -> ModelProto:
    import onnx
    from onnx import helper, version_converter

    foreign = [o.domain for o in model.opset_import if o.domain not in {"", "ai.onnx"}]
    used = {node.domain for node in model.graph.node}
    if used & set(foreign):
        raise ExportError(
            f"model {name!r}, which uses operators of {', '.join(sorted(used & set(foreign)))}",
            "export the network with standard operators",
        )
    version = max((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), default=1)
    if version != OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except (RuntimeError, onnx.checker.ValidationError) as error:
            raise ExportError(
                f"model {name!r} of opset {version} cannot be written as opset {OPSET} "
                f"({str(error).splitlines()[0]})",
                "export the network with opset 17",
            ) from error
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = _IR
    return model


def _before(model: ModelProto, source: Source, *, channels_last: bool) -> None:
    """Puts channel order, layout and normalization of pixels before the graph."""
    from onnx import TensorProto, helper, numpy_helper

    entry, graph = source.entry, model.graph
    inner = graph.input[0].name
    steps: list[tuple[str, dict[str, object], np.ndarray | None]] = []
    if entry.color == "bgr":
        steps.append(("Gather", {"axis": 1}, np.array([2, 1, 0], np.int64)))
    mean = np.asarray(entry.mean, np.float32).reshape(1, 3, 1, 1)
    scale = 1 / np.asarray(entry.std, np.float32).reshape(1, 3, 1, 1)
    if mean.any():
        steps.append(("Sub", {}, mean))
    if (scale != 1).any():
        steps.append(("Mul", {}, scale))
    if channels_last:
        steps.append(("Transpose", {"perm": [0, 2, 3, 1]}, None))
    size = int(entry.input_size or 0)
    nodes = []
    last = INPUT
    for k, (operator, attributes, value) in enumerate(steps):
        name = inner if k == len(steps) - 1 else f"{INPUT}/{operator.lower()}"
        inputs = [last]
        if value is not None:
            graph.initializer.append(numpy_helper.from_array(value, f"{INPUT}/{operator}/value"))
            inputs.append(f"{INPUT}/{operator}/value")
        nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        last = name
    if not steps:
        _rename(model, inner, INPUT)
    rest = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *rest])
    graph.input.append(
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", 3, size, size])
    )


def _after(model: ModelProto, dimension: int) -> None:
    """Puts the division by the vector's length behind the graph."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    inner = graph.output[0].name
    if inner == OUTPUT:
        inner = f"{OUTPUT}/raw"
        _rename(model, OUTPUT, inner)
    length, bounded, shortest = f"{OUTPUT}/length", f"{OUTPUT}/bounded", f"{OUTPUT}/shortest"
    graph.initializer.append(numpy_helper.from_array(np.array([_SHORTEST], np.float32), shortest))
    graph.node.extend(
        [
            helper.make_node("ReduceL2", [inner], [length], length, axes=[1], keepdims=1),
            helper.make_node("Max", [length, shortest], [bounded], bounded),
            helper.make_node("Div", [inner, bounded], [OUTPUT], OUTPUT),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", dimension]))


def without_prelu(model: ModelProto) -> ModelProto:
    """Returns the graph with PReLU as ``relu(x) + (-slope) * relu(-x)``: each can be quantized."""
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(model)
    values = {t.name: t for t in made.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "PRelu" or node.input[1] not in values:
            nodes.append(node)
            continue
        x, slope = node.input
        y = node.output[0]
        above, turned, below, bend, minus = (
            f"{y}/{part}" for part in ("above", "turned", "below", "bend", "minus")
        )
        made.graph.initializer.append(
            numpy_helper.from_array(-numpy_helper.to_array(values[slope]), minus)
        )
        nodes += [
            helper.make_node("Relu", [x], [above], above),
            helper.make_node("Neg", [x], [turned], turned),
            helper.make_node("Relu", [turned], [below], below),
            helper.make_node("Mul", [below, minus], [bend], bend),
            helper.make_node("Add", [above, bend], [y], f"{y}/sum"),
        ]
    used = {name for node in nodes for name in node.input}
    kept = [t for t in made.graph.initializer if t.name in used]
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(kept)
    return made


def _rename(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                if name == old:
                    names[k] = new


def _simplified(model: ModelProto) -> ModelProto:
    """Lets ONNX Runtime fold constants and batch normalization: standard operators only."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "simplified.onnx")
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        simplified = onnx.load(options.optimized_model_filepath)
    kept = [o for o in simplified.opset_import if o.domain in {"", "ai.onnx"}]
    del simplified.opset_import[:]
    simplified.opset_import.extend(kept)
    del simplified.graph.value_info[:]
    for k, node in enumerate(simplified.graph.node):
        node.name = node.name or f"{node.op_type}_{k}"  # tools that quantize go by names
    onnx.checker.check_model(simplified)
    return simplified
