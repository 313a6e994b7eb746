"""A few seconds of ``benchmarks.gallery_processes``; a minute of it is run by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import gallery_processes as driver


def test_two_enroll_while_four_identify() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gallery_processes", "--seconds", "3"],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["plain", "encrypted"]
    assert done.stdout.count("all right") == 2
    assert done.stderr == ""


@pytest.fixture
def history(tmp_path: Path) -> driver.History:
    """Writer 0: A comes in [1, 2], B in [3, 4], A goes in [5, 6]; writer 1: C comes in [3, 5]."""
    logs = [
        [
            {"add": "A", "seed": 1, "count": 1, "from": 1, "to": 2},
            {"add": "B", "seed": 2, "count": 2, "from": 3, "to": 4},
            {"remove": "A", "from": 5, "to": 6},
        ],
        [{"add": "C", "seed": 3, "count": 1, "from": 3, "to": 5}],
    ]
    for number, log in enumerate(logs):
        lines = "".join(json.dumps(line) + "\n" for line in log)
        (tmp_path / f"writer-{number}").write_text(lines)
    return driver.History(tmp_path)


@pytest.mark.parametrize(
    ("begun", "ended", "people", "right"),
    [
        (0.0, 0.5, "", True),
        (0.0, 0.5, "A", False),
        (0.0, 1.5, "", True),
        (0.0, 1.5, "A", True),
        (2.5, 2.7, "", False),
        (2.5, 3.5, "AB", True),
        (2.5, 3.5, "AC", True),
        (2.5, 3.5, "ABC", True),
        (2.5, 3.5, "BC", False),
        (4.5, 5.5, "AB", True),
        (4.5, 5.5, "B", True),
        (5.5, 5.6, "B", False),
        (5.5, 5.6, "ABC", True),
        (7.0, 8.0, "BC", True),
        (7.0, 8.0, "ABC", False),
        (7.0, 8.0, "B", False),
    ],
)  # fmt: skip
def test_the_driver_tells_right_from_wrong(
    history: driver.History, begun: float, ended: float, people: str, right: bool
) -> None:
    probe = driver.unit(10**9, driver.PROBES)[0].astype(np.float64)
    found = []
    for name, seed, count in (("A", 1, 1), ("B", 2, 2), ("C", 3, 1)):
        if name in people:
            score = max(float(probe @ row) for row in driver.unit(seed, count).astype(np.float64))
            found.append([name, score, count])
    found.sort(key=lambda match: -match[1])
    answer = {"probe": 0, "from": begun, "to": ended, "found": found}
    assert history.explains(answer) == right
    if found:
        wrong = [[n, s + 0.01, c] for n, s, c in found]
        assert not history.explains(answer | {"found": wrong})
