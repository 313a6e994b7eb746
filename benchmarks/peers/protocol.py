"""A process that is kept alive and given pairs of photos, one JSON line each.

Only the standard library: it runs in every package's own environment. The worker answers each line
``["a.jpg", "b.jpg"]`` with ``{"seconds": ..., "cpu": ..., "peak": ..., "answer": {...}}``; its
clock runs from before the call to after it, so that pipes and JSON are not counted.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

Verify = Callable[[str, str], dict[str, Any]]


def serve(start: Callable[[], Verify], *, refusals: tuple[type[Exception], ...]) -> None:
    """Answer pairs until standard input ends.

    Args:
        start: imports the package and returns what verifies two paths.
        refusals: what the package raises for a photo without a face.
    """
    # Whatever the package prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    began = time.perf_counter()
    verify = start()
    _send(answers, {"seconds": time.perf_counter() - began})
    for line in sys.stdin:
        a, b = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            answer = verify(a, b)
        except refusals as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _send(answers, {"seconds": wall, "cpu": cpu, "peak": peak, "answer": answer})


def _send(stream: Any, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()
