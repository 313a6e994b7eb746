"""One runtime in a fresh process: start, load, first calls, memory. Run by ``runtimes``."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks.measuring import own_peak
from visavis.inference.openvino import OpenVinoSession
from visavis.inference.session import OnnxRuntimeSession

_CLASSES: Final[dict[str, type[OnnxRuntimeSession | OpenVinoSession]]] = {
    "onnxruntime": OnnxRuntimeSession,
    "openvino": OpenVinoSession,
}


def main(runtime: str, graph: str, shape: str) -> None:
    """Print the costs in seconds and MiB as JSON.

    Args:
        runtime: ``onnxruntime`` or ``openvino``.
        graph: a graph's file.
        shape: the input's, such as ``1,3,112,112``.
    """
    import numpy as np

    data = Path(graph).read_bytes()
    tensor = np.zeros([int(n) for n in shape.split(",")], dtype=np.float32)
    before = own_peak()
    marks = [time.perf_counter()]
    import_module(runtime)
    marks.append(time.perf_counter())
    session = _CLASSES[runtime](data)
    marks.append(time.perf_counter())
    for _ in range(2):
        session.run(tensor)
        marks.append(time.perf_counter())
    steps = dict(zip(("import", "load", "first", "second"), _differences(marks), strict=True))
    peak = own_peak()
    print(json.dumps({**steps, "peak": peak, "added": peak - before}))


def _differences(marks: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(marks)]


if __name__ == "__main__":
    main(*sys.argv[1:])
