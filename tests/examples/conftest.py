"""The files that the examples need, made as their page says."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """What ``prepare.py`` writes; once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "examples-models"
    with FileLock(f"{folder}.lock"):
        if not (folder / "thresholds.json").exists():
            spec = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["prepare.py", "--out", str(folder)])
                module.main()
    return folder


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, and the packages of the examples."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node.js: the examples in JavaScript are not run")
    if not (EXAMPLES / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("no node_modules: run `npm ci` in examples/")
    return found
