"""Whole processes: start Python, verify one pair of photos, end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import ProcessCost, median, run_once
from benchmarks.peers import environment
from benchmarks.photos import ROOT, Pair
from benchmarks.tables import Table, spread

_VISAVIS = "import sys, visavis; visavis.verify(*sys.argv[1:])"
_DEEPFACE = (
    "import sys; from deepface import DeepFace; "
    "DeepFace.verify(*sys.argv[1:], model_name='SFace', detector_backend='yunet')"
)


@dataclass(frozen=True, slots=True)
class WholeProcess:
    """Costs by what was run, in the order of the rounds."""

    costs: dict[str, list[ProcessCost]] = field(default_factory=dict)

    def ratios(self, over: str, under: str, what: str) -> list[float]:
        """Round by round, one row's cost divided by another's."""
        pairs = zip(self.costs[over], self.costs[under], strict=True)
        return [getattr(a, what) / getattr(b, what) for a, b in pairs]

    def import_seconds(self) -> float:
        """What ``import visavis`` adds to an empty Python."""
        pairs = zip(self.costs["import visavis"], self.costs["nothing"], strict=True)
        return median([a.wall - b.wall for a, b in pairs])

    def table(self) -> Table:
        """A row for each command."""
        table = Table(
            "Whole process, one pair of photos",
            ("Python process that runs", "wall s", "CPU s", "peak MiB"),
            note="Median (10th to 90th percentile) over interleaved rounds, a new pair each round.",
        )
        for name, costs in self.costs.items():
            table.rows.append(
                (
                    f"`{name}`",
                    spread([c.wall for c in costs]),
                    spread([c.cpu for c in costs]),
                    spread([c.peak for c in costs], digits=0),
                )
            )
        return table


def commands(pair: Pair) -> dict[str, tuple[list[str], dict[str, str], tuple[int, ...]]]:
    """Command line, environment variables and accepted exit codes by name."""
    photos = [str(pair.a), str(pair.b)]
    own, theirs = sys.executable, str(environment.PYTHON)
    script = str(Path(own).with_name("visavis"))
    return {
        "visavis.verify(a, b)": ([own, "-c", _VISAVIS, *photos], {}, (0,)),
        "visavis verify a b": ([script, "verify", *photos], {}, (0, 1, 3)),  # 3: cannot tell
        "DeepFace.verify(a, b, …)": (
            [theirs, "-c", _DEEPFACE, *photos],
            environment.variables(),
            (0,),
        ),
        "import visavis": ([own, "-c", "import visavis"], {}, (0,)),
        "from deepface import DeepFace": (
            [theirs, "-c", "from deepface import DeepFace"],
            environment.variables(),
            (0,),
        ),
        "nothing": ([own, "-c", "pass"], {}, (0,)),
    }


def measure(pairs: list[Pair], *, progress: Callable[[int, int], None]) -> WholeProcess:
    """One round a pair, after one that is not counted (caches of files and folded graphs)."""
    result = WholeProcess()
    for k, pair in enumerate([pairs[0], *pairs]):
        for name, (command, variables, accept) in commands(pair).items():
            cost = run_once(command, environment=variables, folder=ROOT, accept=accept)
            if k:
                result.costs.setdefault(name, []).append(cost)
        progress(k, len(pairs))
    return result
