"""``visavis models add DIR``: a trained model is taken as it is, and decides."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.cli.conftest import Run

from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import CalibrationStore
from visavis.weights import ModelEntry

SIZE, DIMENSION = 32, 12


def graph(seed: int = 0) -> bytes:
    """Pooled colors times a fixed matrix."""
    weight = np.random.default_rng(seed).normal(size=(48, DIMENSION)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["images"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["embeddings"]),
    ]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", DIMENSION])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


def write_directory(folder: Path, *, seed: int = 0, points: bool = True) -> ModelEntry:
    """A model directory as training leaves it, its scores made up."""
    folder.mkdir(parents=True)
    data = graph(seed)
    (folder / "model.onnx").write_bytes(data)
    entry = ModelEntry(
        name="trained",
        kind="embedder",
        filename="model.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        license="LicenseRef-Test",
        use="tests",
        training_data="made up",
        input_size=SIZE,
        dimension=DIMENSION,
        crop_scale=0.9,
    )
    (folder / "model.json").write_text(json.dumps({"schema": 1, "model": entry.to_dict()}))
    if points:
        rng = np.random.default_rng(1)
        vectors = rng.normal(size=(60, DIMENSION))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made = calibrate(
            all_pairs(vectors, np.arange(60) // 3, tail=0.2),
            Provenance(
                name="trained",
                model="trained",
                model_sha256=entry.sha256,
                pipeline_id="yunet-2023mar/min20/0.8-0.1/level96+128/turn0.91-0.925, "
                f"similarity-5pt-{SIZE}*0.9, plain",
                dataset="made-up people",
                photos=60,
            ),
        )
        (folder / "operating_points.json").write_text(made.to_json())
    return entry


def test_an_added_directory_decides_at_its_own_operating_points(
    run: Run, photo: Path, tmp_path: Path, home: Path
) -> None:
    entry = write_directory(tmp_path / "run" / "model")
    added = run("models", "add", tmp_path / "run")
    assert added.code == 0, added.err
    assert "added trained: 32x32 rgb NCHW" in added.out
    calibration = CalibrationStore(home).load("trained")
    lowest = min(point.target_fmr for point in calibration.points)
    assert f"a false match rate of {lowest:g} or more" in added.out
    answer = run("verify", photo, photo, "--model", "trained", "--fmr", lowest, "--json").json
    assert answer["same"] is True
    assert answer["model_sha256"] == entry.sha256
    assert answer["operating_point"]["dataset"] == "made-up people"
    # The settings are the pipeline's own: nothing to warn of but the photo itself.
    assert not any("calibration" in warning for warning in answer["warnings"])
    refused = run("verify", photo, photo, "--model", "trained", "--fmr", "1e-6")
    assert refused.code == 2
    assert f"ask for {lowest:g} or more" in refused.err
    shown = run("models", "show", "trained", "--json").json
    assert (shown["license"], shown["use"]) == ("LicenseRef-Test", "tests")


@pytest.mark.parametrize("levelling", ["", "sface", "of-later"])
def test_a_levelling_of_a_former_version_says_nothing_any_more(
    run: Run, tmp_path: Path, levelling: str
) -> None:
    entry = write_directory(tmp_path / "model", points=False)
    told = {"schema": 1, "model": {**entry.to_dict(), "levelling": levelling}}
    (tmp_path / "model" / "model.json").write_text(json.dumps(told))
    added = run("models", "add", tmp_path / "model", "--json").json
    assert added["sha256"] == entry.sha256
    assert "levelling" not in run("models", "show", "trained", "--json").json


def test_a_name_of_ones_own(run: Run, photo: Path, tmp_path: Path, home: Path) -> None:
    write_directory(tmp_path / "model")
    described = run("models", "add", "mine", tmp_path / "model", "--json").json
    assert described["name"] == "mine"
    assert described["calibration"]["name"] == described["calibration"]["model"] == "mine"
    assert {p["model"] for p in described["calibration"]["points"]} == {"mine"}
    assert run("verify", photo, photo, "--model", "mine", "--fmr", "0.1").code == 0
    # Again changes nothing; removing takes the calibration along.
    assert run("models", "add", "mine", tmp_path / "model").code == 0
    erased = run("models", "remove", "mine", "--yes").out
    assert "erased calibration mine" in erased
    assert "mine" not in CalibrationStore(home).names()


def test_without_operating_points_it_says_what_to_do(run: Run, photo: Path, tmp_path: Path) -> None:
    write_directory(tmp_path / "model", points=False)
    added = run("models", "add", tmp_path / "model")
    assert added.code == 0
    assert "visavis calibrate DIR --model trained" in added.out
    refused = run("verify", photo, photo, "--model", "trained")
    assert refused.code == 2
    assert "visavis calibrate" in refused.err


def test_what_is_taken_is_not_written_over(run: Run, tmp_path: Path, home: Path) -> None:
    write_directory(tmp_path / "one")
    write_directory(tmp_path / "two", seed=2)
    assert run("models", "add", tmp_path / "one").code == 0
    taken = run("models", "add", tmp_path / "two")
    assert taken.code == 2
    assert "'trained' is taken" in taken.err
    before = CalibrationStore(home).load("trained").model_sha256
    assert run("models", "remove", "trained", "--yes").code == 0
    assert run("models", "add", tmp_path / "two").code == 0
    assert CalibrationStore(home).load("trained").model_sha256 != before


def test_operating_points_of_another_file_are_refused(run: Run, tmp_path: Path) -> None:
    write_directory(tmp_path / "one")
    write_directory(tmp_path / "two", seed=2)
    points = (tmp_path / "two" / "operating_points.json").read_bytes()
    (tmp_path / "one" / "operating_points.json").write_bytes(points)
    refused = run("models", "add", tmp_path / "one")
    assert refused.code == 2
    assert "another file" in refused.err
    assert "trained" not in run("models", "list").out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nowhere"], "nowhere"),
        (["{model}", "--mean", "0"], "--mean"),
        (["mine", "{model}", "--license", "MIT"], "--license"),
        (["mine", "{model}/model.onnx"], "--mean, --std, --color, --license"),
        (["{model}/model.onnx", "--mean", "0"], "--mean"),
    ],
)
def test_what_does_not_go_together(words: list[str], named: str, run: Run, tmp_path: Path) -> None:
    write_directory(tmp_path / "model")
    refused = run("models", "add", *(w.format(model=tmp_path / "model") for w in words))
    assert refused.code == 2
    assert named in refused.err
    assert "Traceback" not in refused.err


def test_torch_is_not_needed(tmp_path: Path) -> None:
    write_directory(tmp_path / "model")
    code = (
        "import os, sys\n"
        "sys.modules['torch'] = None\n"
        "from visavis.cli.app import run\n"
        "try: run(['models', 'add', sys.argv[1]])\n"
        "except SystemExit as end: sys.exit(end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model")],
        env={**os.environ, "VISAVIS_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "added trained" in done.stdout
