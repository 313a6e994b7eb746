"""ONNX Runtime on the CPU: the default, fastest to start and equal to the fastest once warm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class OnnxRuntimeSession:
    """A graph loaded by ONNX Runtime, all graph optimizations on.

    Args:
        graph: the bytes of a graph, or the file of one that is optimized already.
        threads: CPU threads a call may use; all cores when ``None``.
    """

    runtime = "onnxruntime"

    def __init__(self, graph: bytes | Path, *, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors raise; anything printed would spoil --json
        if threads is not None:
            options.intra_op_num_threads = threads
        # Packing the last layer's weights for large batches costs 25 MB and 40 ms at the start, and
        # gains nothing for the few faces of a photo.
        options.add_session_config_entry("session.disable_prepacking", "1")
        if isinstance(graph, Path):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )
        self._input = self._session.get_inputs()[0].name
        self._output_names = tuple(o.name for o in self._session.get_outputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        return self._output_names

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        return list(self._session.run(None, {self._input: tensor}))
