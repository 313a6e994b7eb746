"""Checks that a file is a face embedder: inspects an ONNX graph, then runs the file."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from visavis.embedding.formats import open_session
from visavis.errors import ModelRefusedError, ModelUnavailableError, OptionError, VisavisError
from visavis.inference import RUNTIMES, load
from visavis.inference.folding import names_read
from visavis.reading import read_bytes
from visavis.types import Crops, Record
from visavis.weights import ModelEntry

if TYPE_CHECKING:
    import onnxruntime
    from onnx import FunctionProto, GraphProto, ModelProto, TensorProto, ValueInfoProto


_RE_EXPORT: Final = "export the network in evaluation mode with opset 17, one file, float32 input"


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Image input of a graph; ``None`` where the graph leaves a size open.

    Attributes:
        input_name: name of the image input.
        layout: ``NCHW`` or ``NHWC``; ``None`` if the shape is ambiguous.
        input_size: side of the square crop in pixels.
        batch: declared batch size.
        opset: version of the standard operators.
        graph: the file without unused inputs.
    """

    input_name: str
    layout: str | None
    input_size: int | None
    batch: int | None
    opset: int
    graph: bytes = field(repr=False)


def read_facts(data: bytes, *, source: str) -> GraphFacts:
    """Reads an ONNX file's bytes.

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
        (
            t.name
            for nodes in (model.graph, *model.functions)
            for t in _tensors(nodes)
            if t.data_location == onnx.TensorProto.EXTERNAL
        ),
        None,
    )
    if outside is not None:
        raise _refused(
            source,
            f"keeps weights such as {outside!r} in other files",
            "save it as one file: onnx.save(onnx.load(FILE), NEW_FILE)",
        )
    if any(_trains(node) for nodes in (model.graph, *model.functions) for node in nodes.node):
        raise _refused(source, "was exported in training mode", _RE_EXPORT)
    stored = {t.name for t in model.graph.initializer}
    used = set(names_read(model.graph))
    # Old exports list weights as inputs too, some under unused names.
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
            f"has an input without a color axis of 3 ({shape})",
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


def _tensors(graph: GraphProto | FunctionProto) -> Iterator[TensorProto]:
    """All stored tensors, including those in constants and subgraphs."""
    from onnx import GraphProto

    if isinstance(graph, GraphProto):  # functions store none
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
    """Whether a normalization node uses batch statistics (training mode)."""
    return node.op_type == "BatchNormalization" and any(  # type: ignore[attr-defined]
        a.name == "training_mode" and a.i
        for a in node.attribute  # type: ignore[attr-defined]
    )


def _refused(source: str, what: str, remedy: str) -> ModelRefusedError:
    return ModelRefusedError(f"{source} {what}", remedy)


_REPEATABLE: Final = 1e-5  # 1 - cosine between two runs of one crop
_DISTINCT: Final = 1e-6  # 1 - cosine between two different crops, below which they count as equal
_LIMIT: Final = 60.0  # seconds for one crop; a ResNet-100 takes some tenths of one
_FAITHFUL: Final = 1e-3  # 1 - cosine between a runtime and the unchanged file
_SHORTEST, _LONGEST = 1e-6, 1e18  # largest value whose squares can be summed in float32
_NOT_NORMAL: Final = "check --mean and --std, and the export"

_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def reference_vectors(
    facts: GraphFacts, tensor: NDArray[np.float32], *, source: str
) -> NDArray[np.float32]:
    """Returns and checks the vectors ``(2, D)`` of two different crops, from the unchanged file.

    Args:
        tensor: the input, ``(2, 3, S, S)`` or ``(2, S, S, 3)`` float32.
        source: what to call the file in errors.

    Raises:
        ModelRefusedError: it does not run, or its output is no embedding.
    """
    return _reference(_as_it_is(facts, source), tensor, source)


def _reference(run: _Run, tensor: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    first, again = run(tensor), run(tensor)
    lengths = np.linalg.norm(first.astype(np.float64), axis=1)
    if not (lengths < _LONGEST).all():
        raise ModelRefusedError(f"{source} returns values that are not finite", _NOT_NORMAL)
    if (lengths < _SHORTEST).any():
        raise ModelRefusedError(f"{source} returns zeros", _NOT_NORMAL)
    if _apart(first, again) > _REPEATABLE:
        raise ModelRefusedError(
            f"{source} gives two vectors for one crop",
            "export it in evaluation mode (model.eval()), without dropout",
        )
    if _apart(first[:1], first[1:]) < _DISTINCT:
        raise ModelRefusedError(
            f"{source} gives the same vector for unlike crops",
            "check --mean and --std, and that the output is the embedding",
        )
    return first


def _as_it_is(facts: GraphFacts, source: str) -> _Run:
    """Runs the unchanged file in ONNX Runtime, in batches of the declared size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            facts.graph,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # otherwise it prints and tries again
        )
    except _runtime_errors() as error:
        raise ModelRefusedError(
            f"{source} does not load ({_short(error)})",
            "export it with standard operators",
        ) from error
    batch = facts.batch or 1

    def run(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = []
        for crop in tensor:
            feed = {facts.input_name: np.repeat(crop[None], batch, axis=0)}
            try:
                with _ended_after(_LIMIT) as ending:
                    output = np.asarray(session.run(None, feed, ending)[0])
            except _runtime_errors() as error:
                if ending.terminate:
                    raise ModelRefusedError(
                        f"{source} does not end within {_LIMIT:g} seconds for one crop",
                        "export it without loops (Loop, Scan)",
                    ) from error
                raise ModelRefusedError(
                    f"{source} does not run ({_short(error)})", "check --input-size and the export"
                ) from error
            if output.ndim != 2 or output.shape[0] != batch or output.shape[1] < 2:
                shape = " x ".join(map(str, output.shape))
                raise ModelRefusedError(
                    f"{source} returns {shape} for {batch} crop(s)",
                    f"an embedding is {batch} x D with D of 2 or more",
                )
            if output.dtype.kind != "f":
                raise ModelRefusedError(
                    f"{source} returns {output.dtype}", "an embedding is of floating point numbers"
                )
            rows.append(output[0].astype(np.float32))
        return np.stack(rows)

    return run


@contextmanager
def _ended_after(seconds: float) -> Iterator[onnxruntime.RunOptions]:
    """Yields options of a run that ends, with an error, after some time."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4

    def end() -> None:
        options.terminate = True

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def serving(
    facts: GraphFacts, tensor: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[int | None, tuple[str, ...]]:
    """Returns the batch size and the runtimes that reproduce the reference vectors.

    A free batch size (``None``) is preferred, even if the graph declares one, unless fewer runtimes
    support it.
    """
    found: dict[int | None, tuple[str, ...]] = {}
    for batch in (None, facts.batch or 1):
        found[batch] = tuple(
            runtime
            for runtime in sorted(RUNTIMES)
            if _agrees(facts.graph, runtime, batch, tensor, reference)
        )
        if len(found[batch]) == len(RUNTIMES):
            break
    best = max(found, key=lambda batch: len(found[batch]))
    return best, found[best]


def _agrees(
    graph: bytes,
    runtime: str,
    batch: int | None,
    tensor: NDArray[np.float32],
    reference: NDArray[np.float32],
) -> bool:
    shape = ("n" if batch is None else batch, *tensor.shape[1:])
    try:
        session = load(graph, runtime=runtime, input_shape=shape)
        if batch is None:
            output = session.run(tensor)[0]
        else:
            output = np.concatenate(
                [session.run(np.repeat(crop[None], batch, axis=0))[0][:1] for crop in tensor]
            )
    except _serving_errors():
        return False
    return output.shape == reference.shape and _apart(output, reference) <= _FAITHFUL


def _apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Largest ``1 - cosine`` between corresponding rows; infinite where that is undefined."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    if not np.isfinite(lengths).all() or not lengths.all():
        return float("inf")
    return float(np.max(1 - (x * y).sum(axis=1) / lengths))


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Exceptions of ONNX Runtime and OpenVINO; ONNX Runtime's have no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    theirs = (
        state.EngineError,
        state.EPFail,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NotImplemented,
        state.RuntimeException,
    )
    return (*theirs, RuntimeError, ValueError)


def _serving_errors() -> tuple[type[Exception], ...]:
    """The same, and exceptions of folding for unknown weight formats."""
    return (*_runtime_errors(), VisavisError, LookupError)


def _short(error: Exception) -> str:
    """The runtime's message without error codes and source lines."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"^/\S+:\d+ .*?\) ", "", text)
    return text if len(text) <= 200 else text[:199] + "…"


_LARGEST_FILE: Final = 2**31 - 1  # limit of protobuf

_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class CheckedGraph(Record):
    """Result of the check.

    Attributes:
        sha256: hash of the file that was checked.
        dimension: length of the vector.
        input_size: side of the square crop in pixels.
        layout: ``NCHW`` or ``NHWC``.
        batch: batch size; ``None``: any, even if the graph declares one.
        runtimes: names of the runtimes that load the graph and agree to 1e-3 in cosine.
        opset: version of the standard operators.
    """

    sha256: str
    dimension: int
    input_size: int
    layout: str
    batch: int | None
    runtimes: tuple[str, ...]
    opset: int


def check_graph(
    path: Path,
    *,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    input_size: int | None = None,
    layout: str | None = None,
) -> CheckedGraph:
    """Checks that a file is a face embedder: one image input, one ``(N, D)`` output.

    Runs the unchanged file with ONNX Runtime on two different synthetic crops, each twice; then,
    with folded weights and a free batch dimension, each runtime that embedders use.

    Args:
        path: the ONNX file.
        mean: to be registered, see ``ModelEntry``.
        std: likewise.
        input_size: side of the crop in pixels; needed if the graph leaves it open.
        layout: ``NCHW`` or ``NHWC``; needed if the shape is ambiguous.

    Raises:
        ModelUnavailableError: the file cannot be read.
        ModelRefusedError: not such a graph; the message says why.
        OptionError: an option contradicts the graph, or is needed and missing.
    """
    source = Path(path)
    data = _read(source)
    facts = read_facts(data, source=str(source))
    size = _agree("input size", input_size, facts.input_size, source, option="--input-size")
    axes = _agree("layout", layout, facts.layout, source, option="--layout")
    crops = _unlike_crops(size)
    tensor = _tensor(crops, np.asarray(mean), np.asarray(std), axes)
    reference = reference_vectors(facts, tensor, source=str(source))
    batch, runtimes = serving(facts, tensor, reference)
    if not runtimes:
        raise ModelRefusedError(
            f"{source} runs, but not with its weights folded and its input shape set",
            "export it with a free batch dimension",
        )
    return CheckedGraph(
        sha256=hashlib.sha256(data).hexdigest(),
        dimension=reference.shape[1],
        input_size=size,
        layout=axes,
        batch=batch,
        runtimes=runtimes,
        opset=facts.opset,
    )


def check_exported(data: bytes, entry: ModelEntry, *, source: str) -> None:
    """Checks that a file of another format than ONNX is the embedder that its entry describes.

    Loads it and runs it on two different synthetic crops, each twice.

    Args:
        data: the file's bytes.
        entry: format, input size and dimension.
        source: what to call the file in errors.

    Raises:
        MissingExtraError: its runtime is not installed.
        ModelDamagedError, ModelRefusedError: it does not load or run, or is another embedder.
    """
    session = open_session(entry.format, data, threads=None, name=source)

    def run(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (output,) = session.run(tensor)
        except _runtime_errors() as error:
            raise ModelRefusedError(
                f"{source} does not run ({_short(error)})", "export the model anew"
            ) from error
        if output.shape != (len(tensor), entry.dimension) or output.dtype != np.float32:
            shape = " x ".join(map(str, output.shape))
            raise ModelRefusedError(
                f"{source} returns {shape} {output.dtype} for {len(tensor)} crops, not "
                f"{len(tensor)} x {entry.dimension} float32",
                "export the model anew",
            )
        return output

    crops = _unlike_crops(int(entry.input_size or 0))
    _reference(run, _tensor(crops, np.zeros(3), np.ones(3), "NCHW"), source)


def _read(source: Path) -> bytes:
    try:
        if source.stat().st_size > _LARGEST_FILE:
            raise ModelRefusedError(
                f"{source} is larger than 2 GiB", "give a network whose weights fit one ONNX file"
            )
        return read_bytes(source)
    except OSError as error:
        raise ModelUnavailableError(
            f"{source} cannot be read ({error.strerror})", "give the path of an .onnx file"
        ) from error


def _agree(
    what: str, asked: _Value | None, declared: _Value | None, source: Path, *, option: str
) -> _Value:
    """Returns the given or declared value; raises if they differ or both are missing."""
    value = declared if asked is None else asked
    if value is None:
        raise OptionError(f"{source} leaves its {what} open", f"give {option}")
    if declared is not None and value != declared:
        raise OptionError(
            f"{source} has {what} {declared}, not {value}", f"give {option} {declared}"
        )
    return value


def _unlike_crops(size: int) -> Crops:
    """Two unrelated crops ``(2, S, S, 3)`` with coarse and fine structure."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (2, 8, 8, 3))
    side = -(-size // 8)
    smooth = coarse.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size]
    return np.asarray(smooth + rng.integers(0, 56, (2, size, size, 3)), dtype=np.uint8)


def _tensor(
    crops: Crops, mean: NDArray[np.float64], std: NDArray[np.float64], layout: str
) -> NDArray[np.float32]:
    tensor = ((crops - mean) / std).astype(np.float32)
    return np.ascontiguousarray(tensor if layout == "NHWC" else tensor.transpose(0, 3, 1, 2))
