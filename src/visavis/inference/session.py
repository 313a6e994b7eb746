"""The common interface of the runtimes, and the choice between them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError, require_extra
from visavis.inference.folding import Shape, folded
from visavis.inference.onnxruntime import optimized

RUNTIMES = ("onnxruntime", "openvino")


class Session(Protocol):
    """A loaded graph with one input. Thread-safe."""

    @property
    def runtime(self) -> str:
        """Name of the runtime, one of ``RUNTIMES``."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of ``run``."""
        ...

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        """Returns the outputs for one input tensor, as arrays owned by the caller."""
        ...


def check_options(runtime: str, threads: int | None) -> None:
    """Checks the options of ``load`` before anything is read.

    Raises:
        OptionError: unknown runtime or a thread count below 1.
        MissingExtraError: the runtime is not installed.
    """
    if runtime not in RUNTIMES:
        raise OptionError(f"runtime {runtime!r}", f"choose one of {', '.join(RUNTIMES)}")
    if threads is not None and threads < 1:
        raise OptionError(f"{threads} threads", "ask for 1 or more")
    if runtime == "openvino":
        require_extra("openvino", "the runtime 'openvino'")


def load(
    model: Path | bytes,
    *,
    runtime: str = "onnxruntime",
    threads: int | None = None,
    input_shape: Shape | None = None,
    cache: Path | None = None,
    sha256: str | None = None,
) -> Session:
    """Loads a graph, folded (see ``folding``), into a runtime.

    Args:
        model: an ONNX file or its bytes.
        runtime: ``onnxruntime`` (the default; docs/concepts/runtimes.md says why) or ``openvino``.
        threads: CPU threads per call; ``None``: one per core.
        input_shape: new shape of the input, names for free dimensions: ``("n", 3, 112, 112)``.
        cache: folder for folded graphs, by hash; ``None``: fold in memory each time.
        sha256: hash of the model if known.

    Raises:
        OptionError: unknown runtime or a thread count below 1.
        MissingExtraError: the runtime is not installed.
    """
    check_options(runtime, threads)
    if runtime == "openvino":
        from visavis.inference.openvino import OpenVinoSession

        return OpenVinoSession(folded(model, input_shape=input_shape, cache=cache), threads=threads)
    from visavis.inference.onnxruntime import OnnxRuntimeSession

    data = model if isinstance(model, bytes) else model.read_bytes()
    kept = None
    if cache is not None:
        kept = optimized(data, input_shape=input_shape, cache=cache, sha256=sha256)
    graph = kept or folded(data, input_shape=input_shape)
    return OnnxRuntimeSession(graph, threads=threads)
