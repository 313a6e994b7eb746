"""``visavis export``: the report, JSON, and what it says where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.exporting import models as tiny_models


@pytest.fixture
def drawn(run: Run, tmp_path: Path) -> str:
    """A registered ONNX model."""
    file = tiny_models.graph(tmp_path / "tiny.onnx")
    options = ("--mean", 127.5, "--std", 128, "--color", "bgr", "--license", "MIT")
    assert run("models", "add", "drawn", file, *options).code == 0
    return "drawn"


def test_from_a_name_to_a_name(run: Run, drawn: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = run("export", drawn, "--to", "onnx", "--out", out, "--name", "mine", "--json")
    assert made.code == 0
    assert made.json["files"] == ["model.onnx"]
    assert made.json["source"] == "drawn"
    assert made.json["comparison"] is None
    said = run("export", drawn, "--to", "openvino", "--out", out, "--name", "mine")
    assert said.code == 0
    assert (out / "report.md").read_text() in said.out
    added = run("models", "add", out / "model.xml", "--json")
    assert added.json["name"] == "mine"
    assert added.json["format"] == "openvino"
    assert run("models", "verify", "mine").code == 0
    options = ("--mean", 0)
    refused = run("models", "add", "other", out / "model.xml", *options)
    assert refused.code == 2
    assert "leave the option out" in refused.err


@pytest.mark.parametrize(("words", "said"), [
    (("--to", "onnx-int8"), "--calibrate"),
    (("--to", "tflite"), "choose one of onnx"),
    (("--to", "torchscript"), "choose a target of ONNX or OpenVINO"),
    (("--to", "onnx", "--evaluate", "nowhere.csv"), "nowhere.csv"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    run: Run, drawn: str, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    refused = run("export", drawn, *words, "--out", tmp_path / "out")
    assert refused.code == 2
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
