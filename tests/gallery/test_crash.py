"""A few rounds of ``benchmarks.gallery_crash``; the whole of it is run by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.gallery_crash_look import apply, assert_allowed, must_be_gone
from benchmarks.gallery_crash_work import vector

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("rounds", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_at_random_moments_nothing_is_lost_or_half_there(rounds: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gallery_crash", "--rounds", str(rounds), "--quiet"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        f"plain: killed and found whole {rounds} times",
        f"encrypted: killed and found whole {rounds} times",
    ]


ADD = {"op": "add", "faces": [["A", "s1"], ["B", "s2"]]}


def test_the_driver_would_notice() -> None:
    """What the driver must call wrong, it does."""
    sure = {"A": {1: "s0"}}
    apply(sure, ADD, [2, 3])
    assert sure == {"A": {1: "s0", 2: "s1"}, "B": {3: "s2"}}
    assert_allowed({"A": {1: "s0"}}, [ADD], {"A": {1: "s0"}})
    assert_allowed({"A": {1: "s0"}}, [ADD], {"A": {1: "s0", 5: "s1"}, "B": {6: "s2"}})
    for wrong in (
        {"A": {1: "s0", 5: "s1"}},  # half there
        {"A": {1: "s0", 5: "s1"}, "B": {}},
        {"A": {}},  # lost
        {"A": {1: "s0"}, "C": {}},  # from nowhere
    ):
        with pytest.raises(AssertionError):
            assert_allowed({"A": {1: "s0"}}, [ADD], wrong)
    remove = {"op": "remove_faces", "person": "A", "faces": [1, 2]}
    with pytest.raises(AssertionError):
        assert_allowed({"A": {1: "s0", 2: "s1"}}, [remove], {"A": {1: "s0"}})


def test_the_driver_finds_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"xxx" + vector("s1").tobytes()[32:64] + b"yyy")
    must_be_gone(tmp_path, ["s2", "Worker 1"], "now")
    with pytest.raises(AssertionError):
        must_be_gone(tmp_path, ["s1"], "now")
