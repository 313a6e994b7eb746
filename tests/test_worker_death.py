"""A dead worker's report says how it died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("xdist")

TESTS = """
import os, signal
import pytest

@pytest.fixture
def deadly():
    yield
    {death}

def test_passes():
    pass

def test_it(deadly):
    pass
"""


@pytest.mark.parametrize(
    ("death", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "it was ended by SIGKILL"),
        ("os._exit(3)", "it ended with status 3"),
    ],
)
def test_how_and_when_a_worker_died(death: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "test_deadly.py").write_text(TESTS.format(death=death))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.worker_death", "-p", "no:cacheprovider"]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
    run = subprocess.run(
        [*command, "-n", "1", "--max-worker-restart=0", f"--rootdir={tmp_path}",
         "-c", str(tmp_path / "pytest.ini"), str(tmp_path)],
        check=False, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1],
        env=os.environ | alone,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"after the test's call had passed: {told}" in run.stdout
    assert "test_deadly.py::test_it'" in run.stdout
    assert "2 passed" in run.stdout
