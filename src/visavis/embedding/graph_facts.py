"""What an ONNX file says of its input and output, read without running it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from visavis.errors import ModelRefusedError
from visavis.inference.folding import names_read

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

_RE_EXPORT: Final = "export the network in evaluation mode with opset 17, one file, float32 input"


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """The one image input of a graph; ``None`` where the graph leaves a size open.

    Attributes:
        input_name: of the image input.
        layout: ``NCHW`` or ``NHWC``; ``None`` where the shape does not tell.
        input_size: side of the square crop in pixels.
        batch: crops the graph declares to take at once.
        opset: version of the standard operators.
        graph: the file without the inputs that are no inputs.
    """

    input_name: str
    layout: str | None
    input_size: int | None
    batch: int | None
    opset: int
    graph: bytes = field(repr=False)


def read_facts(data: bytes, *, source: str) -> GraphFacts:
    """Read an ONNX file's bytes.

    Args:
        source: what to call the file in errors.

    Raises:
        ModelRefusedError: no ONNX graph, too new, weights in other files, exported for training, or
            anything but one image input and one output.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise _refused(
            source, "is no ONNX file, or is truncated", "give an intact .onnx file"
        ) from (error)
    if not model.graph.node:
        raise _refused(source, "holds no ONNX graph", "give an intact .onnx file")
    opset = _check_versions(model, source)
    outside = next(
        (t.name for t in _tensors(model.graph) if t.data_location == onnx.TensorProto.EXTERNAL),
        None,
    )
    if outside is not None:
        raise _refused(
            source,
            f"keeps weights such as {outside!r} in other files",
            "save it as one file: onnx.save(onnx.load(FILE), NEW_FILE)",
        )
    if any(_trains(node) for node in model.graph.node):
        raise _refused(source, "was exported in training mode", _RE_EXPORT)
    stored = {t.name for t in model.graph.initializer}
    used = set(names_read(model.graph))
    # Old exports list weights as inputs too, some of them under names that no node reads.
    inputs = [i for i in model.graph.input if i.name in used - stored]
    if len(inputs) != 1:
        names = _names(inputs)
        raise _refused(
            source, f"has {len(inputs)} inputs ({names})", "export it with one image input"
        )
    if len(model.graph.output) != 1:
        names = _names(model.graph.output)
        raise _refused(
            source,
            f"has {len(model.graph.output)} outputs ({names})",
            "export it with the embedding as the one output",
        )
    image = inputs[0]
    del model.graph.input[:]
    model.graph.input.append(image)
    return _read_input(image, model.SerializeToString(), opset, source)


def _check_versions(model: ModelProto, source: str) -> int:
    import onnx

    opset = max((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), default=1)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest or model.ir_version > onnx.IR_VERSION:
        raise _refused(
            source,
            f"is of opset {opset}, IR version {model.ir_version}; read here are up to opset "
            f"{newest}, IR version {onnx.IR_VERSION}",
            _RE_EXPORT,
        )
    return int(opset)


def _read_input(image: ValueInfoProto, graph: bytes, opset: int, source: str) -> GraphFacts:
    import onnx

    if not image.type.HasField("tensor_type"):
        raise _refused(source, f"has an input {image.name!r} that is no tensor", _RE_EXPORT)
    tensor = image.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kinds = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
        kind = kinds.get(tensor.elem_type, f"type {tensor.elem_type}")
        raise _refused(source, f"takes {kind}, not float32", _RE_EXPORT)
    sizes = [d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim]
    shape = " x ".join("?" if n is None else str(n) for n in sizes)
    if len(sizes) != 4:
        raise _refused(
            source,
            f"has an input of {len(sizes)} dimensions ({shape})",
            "an image input is N x 3 x S x S or N x S x S x 3",
        )
    first, last = sizes[1] == 3, sizes[3] == 3
    layout = None if first == last else ("NCHW" if first else "NHWC")
    if layout is None and None not in {sizes[1], sizes[3]} and not first:
        raise _refused(
            source,
            f"has an input without a colour axis of 3 ({shape})",
            "an image input is N x 3 x S x S or N x S x S x 3",
        )
    sides = {"NCHW": sizes[2:], "NHWC": sizes[1:3], None: [sizes[2]]}[layout]
    fixed = {n for n in sides if n is not None}
    if len(fixed) > 1:
        raise _refused(
            source, f"takes crops that are not square ({shape})", "only square crops are supported"
        )
    return GraphFacts(
        input_name=image.name,
        layout=layout,
        input_size=fixed.pop() if fixed else None,
        batch=sizes[0],
        opset=opset,
        graph=graph,
    )


def _names(values: Sequence[ValueInfoProto]) -> str:
    names = [repr(value.name) for value in values]
    return ", ".join(names[:4] + ["..."] * (len(names) > 4)) or "none"


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every stored tensor, also inside constants and subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for subgraph in attribute.graphs:
                yield from _tensors(subgraph)


def _trains(node: object) -> bool:
    """Whether a normalization node takes its statistics from the batch at hand."""
    return node.op_type == "BatchNormalization" and any(  # type: ignore[attr-defined]
        a.name == "training_mode" and a.i
        for a in node.attribute  # type: ignore[attr-defined]
    )


def _refused(source: str, what: str, remedy: str) -> ModelRefusedError:
    return ModelRefusedError(f"{source} {what}", remedy)
