"""What works without any extra, and what the rest says: exit status 2 and the extra's name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from visavis.errors import MissingExtraError, require_extra

ROOT = Path(__file__).resolve().parents[1]

_OPTIONAL = (
    "openvino", "nncf", "matplotlib", "pyarrow", "pymilvus", "milvus_lite", "pi_heif", "lz4",
    "dlib", "torch", "lightning", "kornia", "pytorch_metric_learning", "pytorch_optimizer",
    "safetensors", "tensorboard", "fastapi", "uvicorn", "python_multipart", "prometheus_client",
    "ray", "av", "paho",
)  # fmt: skip
"""Modules that only extras bring."""

_WALK = """
import contextlib, io, json, sys

optional, lines = json.load(sys.stdin)

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in optional:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

import visavis
from visavis.cli.app import run

for name in visavis.__all__:
    getattr(visavis, name)

class Text(io.TextIOWrapper):
    def __init__(self):
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def text(self):
        return self.buffer.getvalue().decode()

answers = []
for words in lines:
    out, err = Text(), Text()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(words)
        except SystemExit as end:
            code = end.code
    answers.append((code, out.text(), err.text()))

def refused(call):
    try:
        call()
    except visavis.errors.MissingExtraError as error:
        return error.remedy
    return None

import visavis.errors
photo, people = "a.png", "people"
calls = {
    "openvino": lambda: visavis.verify(photo, photo, runtime="openvino"),
    "report": lambda: visavis.evaluate.folders(people, bootstrap=0, cache=False, out="x"),
    "train": lambda: visavis.train(people, recipe="finetune-sface", out="x"),
    "milvus": lambda: visavis.Gallery("http://127.0.0.1:1"),
    "dlib": lambda: visavis.detect(photo, detector="dlib"),
}
assert visavis.evaluate.report("scores.csv", bootstrap=0)._repr_png_() is None
print(json.dumps([answers, {name: refused(call) for name, call in calls.items()}]))
"""

WORKS = (
    "verify a.png b.png --json",
    "detect a.png --json",
    "embed a.png --out a.npz",
    "enroll staff --gallery door.gallery",
    "identify b.png --gallery door.gallery --fpir 0.1 --json",
    "people list --gallery door.gallery --json",
    "cluster photos --out sorted --json",
    "calibrate people --name mine --fmr 0.1 --json",
    "calibrate --list --json",
    "models list --json",
    "evaluate folders people --bootstrap 0 --scores scores.csv --json",
    "evaluate report scores.csv --bootstrap 0 --json",
    "evaluate cluster people --no-sweep --json",
    "evaluate identify people --enroll 8 --photos 1 --fpir 0.5 --rounds 2 --json",
    "train recipes --json",
    "data pack staff faces.pack --json",
    "data show faces.pack --json",
    "keys create --scope verify --json",
    "keys list --json",
)

NEEDS = {
    "verify a.png b.png --runtime openvino": "openvino",
    "verify a.png b.png --detector mtcnn": "mtcnn",
    "verify a.png b.png --detector dlib": "dlib",
    "verify a.png photo.heic": "heif",
    "enroll staff --gallery http://127.0.0.1:1": "milvus",
    "enroll staff --gallery lite.db": "milvus",
    "embed photos --out shards": "report",
    "embed photos --out shards --ray local": "ray",
    "evaluate folders people --bootstrap 0 --out report": "report",
    "evaluate folders people --bootstrap 0 --scores scores.parquet": "report",
    "evaluate report scores.csv --bootstrap 0 --out report.html": "report",
    "evaluate report scores.parquet --bootstrap 0": "report",
    "evaluate cluster people --no-sweep --out report": "report",
    "evaluate identify people --enroll 8 --photos 1 --fpir 0.5 --out report": "report",
    "demo --out demo": "report",
    "train staff --recipe finetune-sface --out run": "train",
    "train staff --recipe finetune-sface --out run --dry-run": "train",
    "export sface --to openvino --out exported": "openvino",
    "export sface --to openvino-int8 --calibrate people --out exported": "export",
    "export sface --to torch-export --out exported": "train",
    "serve": "service",
    "watch clip.mp4 --gallery door.gallery": "watch",
    "train report run": "train",
    "train compare run": "train",
}


def _helps() -> list[str]:
    """``--help`` of every command."""
    from visavis.cli.app import app

    def walk(command: Any, path: str) -> list[str]:
        children = getattr(command, "commands", {})
        own = [f"{path} --help".strip()]
        return own + [line for k, c in children.items() for line in walk(c, f"{path} {k}".strip())]

    return walk(typer.main.get_command(app), "")


@pytest.fixture
def place(tmp_path: Path, portrait: np.ndarray) -> Path:
    """Two photos, two people, and a crowd: one face in many shapes, which will do here."""
    place = tmp_path / "base"
    rng = np.random.default_rng(0)
    head = Image.fromarray(portrait).crop((130, 20, 330, 220))
    for k in range(16):
        shape = head.resize([int(n) for n in rng.integers(100, 180, 2)])
        pixels = np.asarray(shape)[..., rng.permutation(3)]
        folder = place / "people" / f"{k:02}"
        folder.mkdir(parents=True)
        for j, light in enumerate((1.0, 0.7)):
            Image.fromarray((pixels * light).astype(np.uint8)).save(folder / f"{j}.png")
            if k < 2:
                (place / "staff" / f"{k}").mkdir(parents=True, exist_ok=True)
                (place / "staff" / f"{k}" / f"{j}.png").hardlink_to(folder / f"{j}.png")
    (place / "photos").mkdir()
    for name, pixels in (("a.png", portrait), ("b.png", portrait[:, ::-1])):
        Image.fromarray(pixels).save(place / name)
        (place / "photos" / name).hardlink_to(place / name)
    (place / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    (place / "scores.parquet").write_bytes(b"PAR1")
    return place


def test_the_base_works_and_all_else_names_its_extra(place: Path) -> None:
    """One test, since all its commands run in one process of their own."""
    lines = [*WORKS, *_helps(), *NEEDS]
    done = subprocess.run(
        [sys.executable, "-c", _WALK],
        input=json.dumps([_OPTIONAL, [line.split() for line in lines]]),
        cwd=place,
        env={**os.environ, "VISAVIS_HOME": str(place / "home"), "VISAVIS_LFW": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers, remedies = json.loads(done.stdout)
    found = dict(zip(lines, answers, strict=True))
    fine = lines[: -len(NEEDS)]
    assert {line: found[line] for line in fine if found[line][0] != 0} == {}
    for line in WORKS:
        assert "--json" not in line or json.loads(found[line][1]), line
    wanted = {line: (2, f'pip install "visavis[{extra}]"') for line, extra in NEEDS.items()}
    ends = {line: (found[line][0], found[line][2].rpartition("; ")[2].strip()) for line in NEEDS}
    assert ends == wanted
    assert remedies == {extra: f'pip install "visavis[{extra}]"' for extra in remedies}
    # What is refused is refused before the work, and leaves nothing behind.
    made = {path.name for path in place.iterdir()}
    left = {"shards", "report", "report.html", "run", "x", "lite.db", "demo", "exported"}
    assert not made & left


def test_every_module_of_an_extra_is_brought_by_it() -> None:
    """What ``require_extra`` looks for, by the distributions that pyproject.toml lists."""
    from importlib.metadata import packages_distributions

    from visavis import errors

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        extra: {re.split(r"[<>=\[]", line)[0].replace("_", "-").lower() for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    assert set(errors._EXTRAS) == set(extras) - {"all", "dev"}
    known = packages_distributions()
    for extra, modules in errors._EXTRAS.items():
        for module in known.keys() & {name.partition(".")[0] for name in modules}:
            names = {name.replace("_", "-").lower() for name in known[module]}
            # Milvus Lite comes as pymilvus's own extra.
            assert names & (extras[extra] | {"milvus-lite"}), module


def test_all_has_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    (line,) = extras["all"]
    found = re.fullmatch(r"visavis\[(.+)\]", line)
    assert found is not None
    assert set(found.group(1).split(",")) == set(extras) - {"all", "dev"}


def test_a_service_reads_what_phones_send() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert "visavis[heif]" in extras["service"]
    assert "visavis[service]" in extras["ui"]


def test_one_module_of_an_extra_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    require_extra("report", "a picture", module="matplotlib")
    with pytest.raises(MissingExtraError) as raised:
        require_extra("report", "a table")
    assert raised.value.reason == "missing-extra"
    assert "pyarrow" in raised.value.got
