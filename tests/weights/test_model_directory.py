"""Model directories are read as they were written, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.weights.conftest import make_entry

from visavis.errors import ModelDamagedError, ModelError, ModelUnavailableError
from visavis.weights.model_directory import read_directory

GRAPH = b"an ONNX file, as far as this room is concerned"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model"
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(GRAPH)
    entry = make_entry("mine", GRAPH, input_size=112, dimension=128, crop_scale=0.9)
    describe(path, {"schema": 1, "model": entry.to_dict(), "recipe": "margin-small"})
    return path


def describe(folder: Path, content: object) -> None:
    (folder / "model.json").write_text(json.dumps(content))


def test_the_directory_itself_or_the_run_around_it(folder: Path) -> None:
    found = read_directory(folder)
    assert found.entry == make_entry("mine", GRAPH, input_size=112, dimension=128, crop_scale=0.9)
    assert found.graph.read_bytes() == GRAPH
    assert found.operating_points is None
    assert found.description["recipe"] == "margin-small"
    assert read_directory(folder.parent) == found
    (folder / "operating_points.json").write_text("{}")
    assert read_directory(folder).operating_points == folder / "operating_points.json"


def test_a_place_that_is_none_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelUnavailableError) as refused:
            read_directory(place)
        assert str(place) in str(refused.value)


def test_another_graph_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(GRAPH + b"!")
    with pytest.raises(ModelDamagedError, match=r"model\.onnx"):
        read_directory(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelUnavailableError, match=r"model\.onnx"):
        read_directory(folder)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"schema": 1},
        {"schema": 1, "model": 3},
        {"schema": 1, "model": {"name": "mine"}},
        {"schema": 1, "model": {**make_entry("mine", GRAPH).to_dict()}},
        {"schema": 2, "model": {**make_entry("mine", GRAPH, input_size=112).to_dict()}},
        {"schema": 1, "model": {**make_entry("mine", GRAPH).to_dict(), "color": "cmyk"}},
    ],
)
def test_a_description_that_says_something_else_is_refused(folder: Path, content: object) -> None:
    describe(folder, content)
    with pytest.raises(ModelError, match=r"model\.json"):
        read_directory(folder)


def test_text_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json"):
        read_directory(folder)
    (folder / "model.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelUnavailableError):
        read_directory(folder)
