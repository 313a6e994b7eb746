"""Who may import whom, and what must never be loaded."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "visavis"

LAYERS = {
    "types": 0,
    "errors": 0,
    "former": 0,
    "reading": 0,
    "writing": 0,
    "images": 1,
    "metrics": 1,
    "clustering": 1,
    "decision": 1,
    "weights": 1,
    "inference": 1,
    "faces": 2,
    "embedding": 2,
    "plots": 2,
    "gallery": 2,
    "pipeline": 3,
    "training": 3,
    "export": 3,
    "evaluation": 4,
    "identification": 4,
    "albums": 4,
    "api": 5,
    "cli": 6,
    "service": 6,
}
TORCH_ROOMS = ("embedding/torch.py", "embedding/backbones/", "training/", "export/")
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Absolute names of all modules a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_room_has_a_layer() -> None:
    rooms = {room_of(file) for file in FILES} - {"__init__"}
    assert rooms <= set(LAYERS)
    assert {"images", "weights", "faces", "embedding", "decision", "pipeline"} <= rooms


def test_the_contributors_table_has_these_layers() -> None:
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ((?:`\w+`(?:, )?)+) \|", text, re.M)
    told = {room: int(layer) for layer, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}
    rooms = {room_of(file) for file in FILES} - {"__init__"}
    assert told == {room: LAYERS[room] for room in rooms}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_go_down(file: Path) -> None:
    room = room_of(file)
    if room == "__init__":
        return
    for name in imported(file):
        parts = name.split(".")
        if parts[0] != "visavis" or len(parts) == 1 or parts[1] not in LAYERS:
            continue
        other = parts[1]
        if other != room:
            assert LAYERS[other] < LAYERS[room], f"{room} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_torch_stays_where_models_are_made(file: Path) -> None:
    place = file.relative_to(SOURCE).as_posix()
    if not place.startswith(TORCH_ROOMS):
        assert not {n for n in imported(file) if n.split(".")[0] in {"torch", "lightning"}}
    assert "torchvision" not in {n.split(".")[0] for n in imported(file)}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_library_code_keeps_its_manners(file: Path) -> None:
    """No print, no environment, no exit, no assert, no broad except outside cli and service."""
    if room_of(file) in {"cli", "service"}:
        return
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"{file}:{node.lineno} asserts"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit"}, f"{file}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named = f"{node.value.id}.{node.attr}"
            assert named not in {"os.environ", "os.getenv", "sys.exit"}, f"{file}:{node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            reraises = any(isinstance(n, ast.Raise) for n in ast.walk(node))
            assert caught not in {"everything", "Exception"} or reraises, f"{file}:{node.lineno}"
            if caught == "BaseException":
                assert reraises, f"{file}:{node.lineno} swallows"


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
