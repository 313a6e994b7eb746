"""Time and memory of whole processes, and the few statistics that the tables show."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MIB = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes there, KiB elsewhere


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """What one process took, from its start to its end.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time, its threads included.
        peak: largest resident memory, MiB.
    """

    wall: float
    cpu: float
    peak: float


def mib(ru_maxrss: int) -> float:
    """``ru_maxrss`` in MiB."""
    return ru_maxrss / _MIB


def run_once(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    accept: Sequence[int] = (0,),
) -> ProcessCost:
    """Run a command with its output thrown away.

    Keep the calling process small: until it executes the command, a child counts its parent's
    memory as its own.

    Raises:
        SystemExit: the command ended with another code than those of ``accept``.
    """
    started = time.perf_counter()
    child = subprocess.Popen(
        command,
        env={**usual_environment(), **(environment or {})},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in accept:
        raise SystemExit(f"exit code {child.returncode} from: {' '.join(command)}")
    return ProcessCost(wall, usage.ru_utime + usage.ru_stime, mib(usage.ru_maxrss))


def own_peak() -> float:
    """Largest resident memory of this process so far, MiB.

    From Linux itself where there is one: ``getrusage`` also counts what the parent had when it
    started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def usual_environment() -> dict[str, str]:
    """This process's environment without what makes Python start slower, and what visavis sets.

    Other packages are measured as they are: with what they set themselves.
    """
    slowing = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPROFILEIMPORTTIME"}
    own = {"OPENBLAS_THREAD_TIMEOUT"}
    return {name: value for name, value in os.environ.items() if name not in slowing | own}


@contextmanager
def pinned(cpus: set[int] | None) -> Iterator[None]:
    """Confine processes that are started meanwhile to some processors; ``None`` for no limit."""
    if cpus is None:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def median(values: Sequence[float]) -> float:
    """Median; NaN of nothing."""
    return statistics.median(values) if values else float("nan")


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie, interpolated."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
