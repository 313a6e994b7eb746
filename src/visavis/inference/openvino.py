"""OpenVINO on the CPU: optional; computes in bfloat16 where the processor has it."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import ModelUnavailableError

_LOCK: Final = threading.Lock()
_CORE: list[Any] = []
_PROCESS: list[int] = []


def core() -> Any:
    """Returns the one OpenVINO core, shared by all sessions and never released.

    On loading, a core's CPU plugin installs a signal stack for the calling thread, and restores the
    previous one when the core is released. If two cores are released in creation order, the second
    restores the first one's freed stack: the next handled signal (Ctrl-C, SIGCHLD, an alarm) then
    kills the process silently.

    Raises:
        ModelUnavailableError: this process was forked from one that used OpenVINO: any call would
            wait for threads that are not there.
    """
    import openvino

    _require_same_process()
    with _LOCK:
        if not _CORE:
            _CORE.append(openvino.Core())
            _PROCESS.append(os.getpid())
        return _CORE[0]


def _require_same_process() -> None:
    if _PROCESS and os.getpid() != _PROCESS[0]:
        raise ModelUnavailableError(
            "OpenVINO does not work in a process forked after it was used",
            "start processes with spawn: multiprocessing.get_context('spawn'); or choose the "
            "runtime 'onnxruntime'",
        )


def capabilities() -> tuple[str, ...]:
    """Returns the number formats in which this processor computes, such as ``FP32``, ``BF16``."""
    return tuple(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


class OpenVinoSession:
    """A graph compiled by OpenVINO for the CPU.

    Requests float32 explicitly unless told otherwise: on processors with native bfloat16 OpenVINO
    would use that, and a threshold measured on one machine would not hold on another. What a graph
    computes in 8 bits stays so.

    Args:
        graph: bytes of an ONNX file, or of OpenVINO's XML file and of its weights.
        threads: CPU threads per call; ``None``: one per core. With fewer threads than cores, two
            calls run at the same time, such as those of a verification's two photos.
        bf16: compute in bfloat16, on a processor that has it.
    """

    runtime = "openvino"

    def __init__(
        self,
        graph: bytes | tuple[bytes, bytes],
        *,
        threads: int | None = None,
        bf16: bool = False,
    ) -> None:
        known = core()
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            # No more: parallel workers have sessions of their own, each with all its threads.
            streams = 2 if 2 * threads <= (os.cpu_count() or 1) else 1
            options["NUM_STREAMS"] = str(streams)
            options["INFERENCE_NUM_THREADS"] = threads * streams
        model = known.read_model(*graph) if isinstance(graph, tuple) else known.read_model(graph)
        # Compiling adds further names to the ports.
        self._options = options
        self._output_names = tuple(str(port.get_any_name()) for port in model.outputs)
        self._model = known.compile_model(model, "CPU", options)
        self._local = threading.local()

    @property
    def output_names(self) -> tuple[str, ...]:
        return self._output_names

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        _require_same_process()
        # An infer request serves one call at a time, so each thread has its own.
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._model.create_infer_request()
        results = request.infer({0: tensor}, share_inputs=True, share_outputs=False)
        return [results[k] for k in range(len(self._output_names))]
