"""Two processes kept alive, visavis and deepface, given the same pairs in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import median, mib, pinned, quantile, usual_environment
from benchmarks.peers import environment
from benchmarks.photos import Pair
from benchmarks.tables import Table, ms

_WORKERS = Path(__file__).parent / "peers"
_WARM_UP = 4
_PAUSE = 0.15  # seconds after each call: ONNX Runtime's threads spin for some 60 ms when one ends


class Worker:
    """One package's process."""

    def __init__(self, name: str, *arguments: str) -> None:
        python = str(environment.PYTHON) if name == "deepface" else sys.executable
        self._process = subprocess.Popen(
            [python, str(_WORKERS / f"worker_{name}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**usual_environment(), **environment.variables()},
            text=True,
        )
        self.name = name
        self._receive()

    def verify(self, pair: Pair) -> dict[str, Any]:
        """The worker's answer with its own clock's reading."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(pair.a), str(pair.b)]) + "\n")
        self._process.stdin.flush()
        answer = self._receive()
        time.sleep(_PAUSE)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker for {self.name} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True, slots=True)
class Warm:
    """Answers by package, in the order of the pairs.

    Attributes:
        cores: processors each process was confined to; 0 for all.
        pairs: what was verified.
        answers: see ``peers.protocol``.
        precision: of visavis's embedder.
    """

    cores: int
    pairs: list[Pair]
    answers: dict[str, list[dict[str, Any]]]
    precision: str = "auto"

    @property
    def where(self) -> str:
        """What it ran on, and in which precision if not in the default one."""
        where = "one core" if self.cores == 1 else "all cores"
        return where if self.precision == "auto" else f"{where}, {self.precision}"

    def of(self, name: str, what: str) -> list[float]:
        """``seconds`` or ``cpu`` of the pairs that both packages answered."""
        return [row[what] for row in self._both(name)]

    def peak(self, name: str) -> float:
        """Largest resident memory of the process, MiB."""
        return mib(self.answers[name][-1]["peak"])

    def ratios(self, what: str) -> list[float]:
        """Pair by pair, deepface's cost divided by visavis's."""
        pairs = zip(self.of("deepface", what), self.of("visavis", what), strict=True)
        return [a / b for a, b in pairs]

    def right(self, name: str) -> int:
        """How many pairs were decided as the truth has it."""
        rows = zip(self.answers[name], self.pairs, strict=True)
        return sum(row["answer"].get("same") is pair.same for row, pair in rows)

    def refused(self, name: str) -> int:
        """How many pairs got no answer, for want of a face."""
        return sum("error" in row["answer"] for row in self.answers[name])

    def confined(self) -> bool:
        """Whether no package used more processors than it was given.

        ONNX Runtime gives the threads of its pool affinities of its own, which undoes it.
        """
        return not self.cores or all(
            median(self.of(name, "cpu")) <= 1.1 * self.cores * median(self.of(name, "seconds"))
            for name in self.answers
        )

    def table(self) -> Table:
        """A row for each package."""
        where = self.where
        if not self.confined():
            where += " asked for, more used"
        known = all(pair.same is not None for pair in self.pairs)
        table = Table(
            f"Warm, ms a pair, {where}",
            ("package", "median", "10 %", "90 %", "CPU ms", "peak MiB", "no face", "right"),
            note=f"{len(self.pairs)} pairs, the two packages in turns, each pair to both.",
        )
        for name in self.answers:
            seconds = self.of(name, "seconds")
            table.rows.append(
                (
                    name,
                    ms(median(seconds)),
                    ms(quantile(seconds, 0.1)),
                    ms(quantile(seconds, 0.9)),
                    ms(median(self.of(name, "cpu"))),
                    f"{self.peak(name):.0f}",
                    str(self.refused(name)),
                    f"{self.right(name)} of {len(self.pairs)}" if known else "unknown",
                )
            )
        return table

    def answered(self) -> list[Pair]:
        """The pairs that both packages answered."""
        return [pair for pair, kept in zip(self.pairs, self._kept(), strict=True) if kept]

    def _both(self, name: str) -> list[dict[str, Any]]:
        return [row for row, kept in zip(self.answers[name], self._kept(), strict=True) if kept]

    def _kept(self) -> list[bool]:
        rows = zip(*self.answers.values(), strict=True)
        return [all("error" not in row["answer"] for row in both) for both in rows]


def measure(
    pairs: list[Pair],
    *,
    cores: int,
    progress: Callable[[int, int], None],
    precision: str = "auto",
) -> Warm:
    """Verify all pairs with both packages.

    Args:
        cores: confine each process to that many processors; 0 for no limit.
        progress: called with the number of pairs done, and of all.
        precision: of visavis's embedder.
    """
    cpus = set(sorted(os.sched_getaffinity(0))[:cores]) if cores else None
    with pinned(cpus):
        workers = [Worker("visavis", precision), Worker("deepface")]
    answers: dict[str, list[dict[str, Any]]] = {worker.name: [] for worker in workers}
    for pair in pairs[:_WARM_UP]:
        for worker in workers:
            worker.verify(pair)
    for k, pair in enumerate(pairs):
        # A B, B A, A B, ...: neither is always the one that finds the photos in the cache.
        for worker in workers if k % 2 == 0 else reversed(workers):
            answers[worker.name].append(worker.verify(pair))
        progress(k + 1, len(pairs))
    for worker in workers:
        worker.close()
    return Warm(cores, pairs, answers, precision)
