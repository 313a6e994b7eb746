"""Run a graph on synthetic crops: as it is, and as we serve it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.embedding.graph_facts import GraphFacts
from visavis.errors import ModelRefusedError, VisavisError
from visavis.inference import RUNTIMES, load

_REPEATABLE: Final = 1e-5  # 1 - cosine between two runs of one crop
_DISTINCT: Final = 1e-6  # 1 - cosine between two unlike crops, below which they count as equal
_FAITHFUL: Final = 1e-3  # 1 - cosine between a runtime as we use it and the file as it is
_SHORTEST, _LONGEST = 1e-6, 1e18  # whose squares float32 can still add up
_NOT_NORMAL: Final = "check --mean and --std, and the export"

_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def reference_vectors(
    facts: GraphFacts, tensor: NDArray[np.float32], *, source: str
) -> NDArray[np.float32]:
    """The vectors ``(2, D)`` of two unlike crops from the file as it is, judged.

    Args:
        tensor: the crops as the graph wants them, ``(2, 3, S, S)`` or ``(2, S, S, 3)`` float32.
        source: what to call the file in errors.

    Raises:
        ModelRefusedError: it does not run, or what it puts out is no embedding.
    """
    run = _as_it_is(facts, source)
    first, again = run(tensor), run(tensor)
    lengths = np.linalg.norm(first.astype(np.float64), axis=1)
    if not (lengths < _LONGEST).all():
        raise ModelRefusedError(f"{source} puts out values that are not finite", _NOT_NORMAL)
    if (lengths < _SHORTEST).any():
        raise ModelRefusedError(f"{source} puts out zeros", _NOT_NORMAL)
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
    """The file in ONNX Runtime, crop by crop, in batches of the declared size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            facts.graph,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print and try the same again
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
                output = np.asarray(session.run(None, feed)[0])
            except _runtime_errors() as error:
                raise ModelRefusedError(
                    f"{source} does not run ({_short(error)})", "check --input-size and the export"
                ) from error
            if output.ndim != 2 or output.shape[0] != batch or output.shape[1] < 2:
                shape = " x ".join(map(str, output.shape))
                raise ModelRefusedError(
                    f"{source} puts out {shape} for {batch} crop(s)",
                    f"an embedding is {batch} x D with D of 2 or more",
                )
            if output.dtype.kind != "f":
                raise ModelRefusedError(
                    f"{source} puts out {output.dtype}", "an embedding is of floating point numbers"
                )
            rows.append(output[0].astype(np.float32))
        return np.stack(rows)

    return run


def serving(
    facts: GraphFacts, tensor: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[int | None, tuple[str, ...]]:
    """The batch size and the runtimes with which the graph gives the reference's vectors.

    A free batch size (``None``) is preferred, even for a graph that declares a fixed one, unless
    fewer runtimes then serve it.
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
    """Everything ONNX Runtime and OpenVINO raise; ONNX Runtime's have no common base."""
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
    """The same, and what folding raises on weights packed in a way it does not know."""
    return (*_runtime_errors(), VisavisError, LookupError)


def _short(error: Exception) -> str:
    """The runtime's reason without its error codes and source lines."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"^/\S+:\d+ .*?\) ", "", text)
    return text if len(text) <= 200 else text[:199] + "…"
