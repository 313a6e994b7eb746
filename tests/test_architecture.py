"""Who may import whom (``[tool.importlinter]``), and what must never be loaded."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_imports_go_down_and_in_no_circle() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_contributors_table_has_these_layers() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = re.findall(
        r"^\| (\d) \| ((?:`\w+`(?:, )?)+) \|",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.M,
    )
    told = {int(layer): set(re.findall(r"`(\w+)`", rooms)) for layer, rooms in rows}
    assert told == {k: set(rooms.split(" | ")) for k, rooms in enumerate(reversed(layers))}


def fresh(code: str) -> str:
    """Output of a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    loaded = fresh("import visavis, sys; print(' '.join(sys.modules))").split()
    heavy = {"numpy", "cv2", "onnx", "openvino", "onnxruntime", "torch", "sklearn", "matplotlib"}
    assert not heavy & set(loaded)


def test_verifying_loads_neither_torch_nor_plots_nor_learning() -> None:
    loaded = fresh(
        "import visavis, sys, skimage.data\n"
        "photo = skimage.data.astronaut()\n"
        "before = set(sys.modules)\n"
        "assert visavis.verify(photo, photo).same\n"
        "print(' '.join(set(sys.modules) - before))"
    ).split()
    heavy = {"torch", "lightning", "sklearn", "scipy", "matplotlib", "pandas", "openvino"}
    assert not heavy & set(loaded)
    assert "onnxruntime" in loaded
