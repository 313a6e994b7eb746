"""How a worker of pytest-xdist died.

xdist names the test that the worker had not finished, and no more: killed for its memory, ended by
a library, or gone in a fixture's teardown after the test had passed all read the same.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_VMSTAT = Path("/proc/vmstat")
_LAST: dict[str, pytest.TestReport] = {}


def _oom_kills() -> int:
    """Processes that this system's kernel has killed for want of memory since it started."""
    if not _VMSTAT.exists():
        return 0
    words = (line.split() for line in _VMSTAT.read_text().splitlines())
    return int(dict(words).get("oom_kill", 0))


_OOM_BEFORE = _oom_kills()


def ending(process: subprocess.Popen[bytes]) -> str:
    """In words, how a process ended."""
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        return "it runs on, but does not answer"
    if code >= 0:
        return f"it ended with status {code}"
    return f"it was ended by {signal.Signals(-code).name}"


def memory() -> str:
    """In words, what may have been too much."""
    if sys.platform != "linux":
        return ""
    import resource

    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) / 1024
    return (
        f"the largest worker that ended took {largest:,.0f} MiB, {free:,.0f} MiB are free now, "
        f"the kernel killed {_oom_kills() - _OOM_BEFORE} processes for memory during the run"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    node = getattr(report, "node", None)
    if node is not None and report.when in {"setup", "call", "teardown"}:
        _LAST[node.gateway.id] = report


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport) -> None:
    gateway: Any = report.node.gateway
    process = getattr(gateway._io, "popen", None)
    last = _LAST.get(gateway.id)
    if process is None:  # a worker on another machine
        return
    if last is None or last.nodeid != crashitem:
        reached = "before the test's setup was over"
    else:
        reached = f"after the test's {last.when} had {last.outcome}"
    report.longrepr = "\n".join(
        [f"{report.longrepr}", f"{reached}: {ending(process)}", memory(),
         "A fatal signal's traceback is further up, in what was printed while tests ran."]
    )  # fmt: skip
