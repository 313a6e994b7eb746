"""The same network in the forms that the benchmarks compare."""

from __future__ import annotations

from visavis.inference.folding import Shape, folded

_KEPT = "PReluKept"


def as_published(model: bytes, *, input_shape: Shape | None = None) -> bytes:
    """A block-quantized graph without its false weight inputs, its operators untouched.

    ONNX Runtime refuses SFace's published ``int8bq`` file for those inputs only. Dimensions are
    freed as ``input_shape`` says, so that the graph takes what the other forms take.
    """
    import onnx

    proto = onnx.load_model_from_string(model)
    read = {name for node in proto.graph.node for name in node.input}
    read -= {tensor.name for tensor in proto.graph.initializer}
    inputs = [i for i in proto.graph.input if i.name in read]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    if input_shape is not None:
        dims = proto.graph.input[0].type.tensor_type.shape.dim
        for dim, size in zip(dims, input_shape, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
        del proto.graph.value_info[:]
        for output in proto.graph.output:
            for k, dim in enumerate(output.type.tensor_type.shape.dim):
                dim.dim_param = f"{output.name}_{k}"
    return bytes(proto.SerializeToString())


def unpacked(model: bytes, *, input_shape: Shape | None = None) -> bytes:
    """Weights folded to float32, every operator kept: the structure of the published float file.

    visavis's own folding also rewrites PReLU; the operator is hidden from it by a name that it
    does not know.
    """
    return _renamed(
        folded(_renamed(model, "PRelu", _KEPT), input_shape=input_shape), _KEPT, "PRelu"
    )


def _renamed(model: bytes, old: str, new: str) -> bytes:
    import onnx

    proto = onnx.load_model_from_string(model)
    for node in proto.graph.node:
        if node.op_type == old:
            node.op_type = new
    return bytes(proto.SerializeToString(deterministic=True))
