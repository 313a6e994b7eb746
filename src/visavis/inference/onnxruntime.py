"""ONNX Runtime on the CPU: the default, fastest to start and equal to the fastest once warm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class OnnxRuntimeSession:
    """A graph loaded by ONNX Runtime, all graph optimizations on."""

    runtime = "onnxruntime"

    def __init__(self, graph: bytes, *, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors raise; anything printed would spoil --json
        if threads is not None:
            options.intra_op_num_threads = threads
        # Idle threads that spin would take the cores from the other session (detector, embedder).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        self._input = self._session.get_inputs()[0].name
        self._output_names = tuple(o.name for o in self._session.get_outputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        return self._output_names

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        return list(self._session.run(None, {self._input: tensor}))
