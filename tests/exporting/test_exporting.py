"""Every target: it embeds as its source does, travels alone, and is refused where it does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.contracts.embedder import EmbedderContract
from tests.exporting import models as tiny_models

import visavis as vv
from visavis.api.export import exporting, measuring
from visavis.api.export.records import Comparison, Exported, Parity, Rates
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import (
    DataError,
    ExportError,
    MissingExtraError,
    ModelDamagedError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    OptionError,
)
from visavis.evaluation.protocols import Protocol
from visavis.exporting import TARGETS, targets
from visavis.faces import align
from visavis.weights import WeightStore, exported

CLOSE = {32: 1e-6, 16: 1e-4, 8: 0.1}
"""``1 - cosine`` to the source by bits of a weight; noise is outside the ranges of 8 bits."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run's folder."""
    return tiny_models.directory(tmp_path_factory.mktemp("run") / "model").parent


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Photos for calibration."""
    return tiny_models.photos(tmp_path_factory.mktemp("faces"), portrait, 6)


@pytest.fixture(scope="module", params=TARGETS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run: Path, faces: Path
) -> Exported:
    """The run in each format."""
    out = tmp_path_factory.mktemp("out") / request.param
    return vv.export(run, to=request.param, out=out, calibrate=faces, cache=False)


@pytest.fixture(scope="module")
def embedder(made: Any, tmp_path_factory: pytest.TempPathFactory) -> OnnxEmbedder:
    """What ``models add`` makes of it."""
    home = tmp_path_factory.mktemp("home")
    entry = vv.models.add(made.path, home=home)
    return OnnxEmbedder(entry.name, store=WeightStore(home), options=EmbedderOptions(threads=1))


class TestExported(EmbedderContract):
    """The contract, for each target."""

    def test_a_batch_equals_one_at_a_time(
        self, embedder: OnnxEmbedder, crops: np.ndarray, made: Any
    ) -> None:
        if made.target.endswith("fp16"):  # sums in FP16 depend on the batch
            many = np.concatenate([crops] * 8)
            np.testing.assert_allclose(embedder.embed(many)[:5], embedder.embed(crops), atol=5e-3)
        else:
            super().test_a_batch_equals_one_at_a_time(embedder, crops)


def test_it_embeds_as_its_source(made: Any, embedder: OnnxEmbedder, run: Path, home: Path) -> None:
    vv.models.add(run, home=home)
    source = OnnxEmbedder("tiny", store=WeightStore(home))
    crops = np.random.default_rng(3).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
    apart = 1 - (source.embed(crops) * embedder.embed(crops)).sum(1)
    assert apart.max() < CLOSE[TARGETS[made.target].bits]
    assert made.parity.mean < CLOSE[TARGETS[made.target].bits]
    assert [one.batch for one in made.latency] == [1, 16]


def test_model_json_says_all_that_its_use_needs(made: Any, embedder: OnnxEmbedder) -> None:
    said = json.loads((made.path / "model.json").read_bytes())
    files = b"".join((made.path / name).read_bytes() for name in said["files"])
    assert said["sha256"] == embedder.sha256 == made.sha256
    assert said["size"] == len(files) == made.size
    assert said["input"]["size"] == 16
    assert said["output"] == {
        "dimension": 8, "name": "embeddings", "unit_length": True, "dtype": "float32",
    }  # fmt: skip
    np.testing.assert_allclose(
        said["alignment"]["positions"], align.positions(size=16, scale=0.9), atol=1e-4
    )
    assert said["terms"]["license"] == "LicenseRef-Test"
    assert said["origin"]["calibration_crops"] == (6 if TARGETS[made.target].quantized else 0)
    again = exported.read_description((made.path / "model.json").read_bytes(), source="x")
    assert json.loads(again.to_json()) == said


def test_damaged_files_are_refused(made: Any, tmp_path: Path, home: Path) -> None:
    import shutil

    for name in made.files:
        copy = tmp_path / f"flipped-{name}"
        shutil.copytree(made.path, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(ModelDamagedError, match="damaged or another file"):
            vv.models.add(copy, home=home)
        (copy / name).unlink()
        with pytest.raises(ModelUnavailableError, match="cannot be read"):
            vv.models.add(copy, home=home)
    # The hash is right, the content is none.
    copy = tmp_path / "nonsense"
    shutil.copytree(made.path, copy)
    described = exported.read_description((copy / "model.json").read_bytes(), source="x")
    content = dict.fromkeys(made.files, b"nonsense")
    for name, data in content.items():
        (copy / name).write_bytes(data)
    import hashlib

    described.sha256 = hashlib.sha256(b"".join(content.values())).hexdigest()
    described.size = len(b"".join(content.values()))
    (copy / "model.json").write_bytes(described.to_json())
    with pytest.raises(ModelError):
        vv.models.add(copy, home=home)
    assert all(entry.builtin for entry in vv.models.list(home=home))


@pytest.mark.parametrize("change", [
    lambda d: d.pop("sha256"),
    lambda d: d.update(format="pickle"),
    lambda d: d.update(files=["../model.onnx"]),
    lambda d: d.update(surprise=1),
    lambda d: d["input"].update(color="BGR"),
    lambda d: d["output"].update(dimension=0),
    lambda d: d.update(name="Not A Name"),
])  # fmt: skip
def test_a_changed_description_is_refused(
    change: Any, run: Path, tmp_path: Path, home: Path
) -> None:
    made = vv.export(run, to="onnx", out=tmp_path / "out")
    said = json.loads((made.path / "model.json").read_bytes())
    change(said)
    (made.path / "model.json").write_text(json.dumps(said))
    with pytest.raises(ModelError, match=r"model\.json"):
        vv.models.add(made.path, home=home)


@pytest.fixture
def registered(tmp_path: Path, home: Path) -> Iterator[Any]:
    """Adds the drawn graph with any settings."""

    def add(*, layout: str = "NCHW", **settings: Any) -> str:
        file = tiny_models.graph(tmp_path / "tiny.onnx", layout=layout)
        given = {"mean": 0.0, "std": 1.0, "color": "rgb", "license": "MIT", **settings}
        vv.models.add("drawn", file, home=home, **given)
        return "drawn"

    return add  # type: ignore[return-value]


@pytest.mark.parametrize("settings", [
    {},
    {"mean": (120.0, 110.0, 100.0), "std": (60.0, 50.0, 40.0), "color": "bgr"},
    {"layout": "NHWC", "mean": 127.5, "std": 128.0},
])  # fmt: skip
def test_pixels_go_in_and_unit_vectors_come_out(
    settings: dict[str, Any], registered: Any, tmp_path: Path, home: Path
) -> None:
    name = registered(**settings)
    made = vv.export(name, to="onnx", out=tmp_path / "out", home=home)
    # As another program would: plain RGB pixels, any number, nothing of visavis.
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    crops = np.random.default_rng(4).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    got = session.run(None, {"images": crops.transpose(0, 3, 1, 2).astype(np.float32)})[0]
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    want = OnnxEmbedder(name, store=WeightStore(home)).embed(crops)
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert made.size == (tmp_path / "out" / "model.onnx").stat().st_size


def test_plain_operators_of_opset_17(registered: Any, tmp_path: Path, home: Path) -> None:
    import onnx

    vv.export(registered(), to="onnx", out=tmp_path / "out", home=home)
    model = onnx.load(tmp_path / "out" / "model.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_eight_bits_stay_eight_bits_where_they_run(
    registered: Any, faces: Path, tmp_path: Path, home: Path
) -> None:
    import onnx

    from visavis.inference.folding import folded

    name = registered()
    vv.export(name, to="onnx-int8", out=tmp_path / "out", calibrate=faces, home=home, cache=False)
    model = onnx.load_model_from_string(folded(tmp_path / "out" / "model.onnx"))
    sizes = {tuple(t.dims): t.data_type for t in model.graph.initializer}
    assert sizes[6, 3, 3, 3] == sizes[6 * 64, 8] == onnx.TensorProto.INT8
    assert "PRelu" not in {node.op_type for node in model.graph.node}


def test_torch_needs_a_known_network(registered: Any, tmp_path: Path, home: Path) -> None:
    with pytest.raises(ExportError, match="folder of the training run"):
        vv.export(registered(), to="torch-export", out=tmp_path / "out", home=home)
    assert not (tmp_path / "out").exists()


def test_a_broken_export_is_refused_unless_forced(
    run: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: Any, folder: Path, crops: Any) -> None:
        tiny_models.graph(folder / "model.onnx", seed=2)

    monkeypatch.setitem(targets._WRITERS, "onnx", broken)
    with pytest.raises(ExportError, match="templates differ"):
        vv.export(run, to="onnx", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    made = vv.export(run, to="onnx", out=tmp_path / "out", force=True)
    assert "templates differ" in made.refused
    assert json.loads((made.path / "model.json").read_bytes())["refused"] == made.refused
    assert made.refused in (made.path / "report.md").read_text()


def rates(accuracy: float) -> Rates:
    return Rates(accuracy, (accuracy - 0.01, accuracy + 0.01), {}, {})


@pytest.mark.parametrize(("target", "mean", "largest", "accuracies", "said"), [
    ("onnx", 1e-7, 1e-6, (0.990, 0.990), ""),
    ("onnx", 1e-7, 1e-6, (0.990, 0.9881), ""),
    ("onnx", 1e-7, 1e-6, (0.990, 0.9879), "accuracy falls from 99.00 to 98.79 %"),
    ("onnx", 1e-7, 1e-3, (0.990, 0.990), "differ by up to 0.001"),
    ("onnx", 1e-4, 1e-4, (0.990, 0.990), "on average"),
    ("onnx", 1e-7, float("nan"), None, "differ by up to nan"),
    ("onnx-fp16", 1e-5, 5e-4, None, ""),
    ("onnx-int8", 0.1, 0.5, (0.990, 0.989), ""),
    ("onnx-int8", 0.1, 0.5, None, "on average"),
    ("onnx-int8", 0.1, 0.5, (float("nan"), float("nan")), "on average"),
])  # fmt: skip
def test_what_is_refused(
    target: str,
    mean: float,
    largest: float,
    accuracies: tuple[float, float] | None,
    said: str,
) -> None:
    comparison = None
    if accuracies is not None:
        comparison = Comparison("a list", 1000, 500, rates(accuracies[0]), rates(accuracies[1]))
    made = Exported(
        path=Path("out"), name="x", target=target, files=("model.onnx",), sha256="", size=1,
        float32_size=1, source="y", source_sha256="", calibration_crops=0,
        parity=Parity(mean, largest, 10, "crops"), latency=(), comparison=comparison, points=(),
        notes=(), refused="",
    )  # fmt: skip
    reason = exporting._refusal(TARGETS[target], made, 0.002)
    assert said in reason
    assert bool(reason) == bool(said)


def test_what_does_not_go_together(run: Path, faces: Path, tmp_path: Path, home: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OptionError, match="choose one of onnx"):
        vv.export(run, to="pickle", out=out)
    with pytest.raises(OptionError, match="--calibrate DIR"):
        vv.export(run, to="onnx-int8", out=out)
    with pytest.raises(OptionError, match="max_drop"):
        vv.export(run, to="onnx", out=out, max_drop=-1)
    with pytest.raises(ModelRefusedError, match="choose an embedder"):
        vv.export("yunet", to="onnx", out=out, home=home)
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    with pytest.raises(OptionError, match="other files than an export"):
        vv.export(run, to="onnx", out=out)
    assert (out / "letter.txt").read_text() == "mine"
    with pytest.raises(OptionError, match="trained model"):
        vv.export(run, to="onnx", out=run / "model")
    (out / "letter.txt").unlink()
    vv.export(run, to="onnx", out=out)
    vv.export(run, to="openvino", out=out)  # in place of the earlier one
    assert not (out / "model.onnx").exists()
    with pytest.raises(ModelRefusedError, match="itself an export"):
        vv.export(out, to="onnx", out=tmp_path / "again")


def test_people_of_the_test_do_not_calibrate(
    run: Path, portrait: np.ndarray, tmp_path: Path
) -> None:
    people = tiny_models.photos(tmp_path / "people", portrait, 3, people=2)
    with pytest.raises(DataError, match="none of other people"):
        vv.export(
            run, to="onnx-int8", out=tmp_path / "out", calibrate=people, evaluate=people,
            cache=False,
        )  # fmt: skip
    # The same photos under other names.
    other = tmp_path / "other" / "unknown"
    other.mkdir(parents=True)
    for k, photo in enumerate(sorted(people.glob("*/*.png"))):
        (other / f"{k}.png").write_bytes(photo.read_bytes())
    with pytest.raises(DataError, match="none of other people"):
        vv.export(
            run, to="onnx-int8", out=tmp_path / "out", calibrate=other.parent, evaluate=people,
            cache=False,
        )  # fmt: skip


def test_operating_points_come_with_it(
    run: Path, portrait: np.ndarray, tmp_path: Path, home: Path
) -> None:
    people = tiny_models.photos(tmp_path / "people", portrait, 6, people=8)
    made = vv.export(
        run, to="onnx", out=tmp_path / "out", evaluate=people, cache=False, bootstrap=20
    )
    assert made.comparison is not None
    assert made.comparison.pairs == 48 * 47 // 2
    assert made.comparison.after.accuracy == pytest.approx(made.comparison.before.accuracy)
    assert made.points
    entry = vv.models.add(tmp_path / "out" / "model.onnx", home=home)
    point = made.points[0]
    answer = vv.verify(
        people / "00" / "0.png", people / "00" / "1.png",
        model=entry.name, home=home, fmr=point.target_fmr,
    )  # fmt: skip
    assert answer.threshold == point.threshold
    assert answer.operating_point.model_sha256 == made.sha256
    said = json.loads((tmp_path / "out" / "model.json").read_bytes())["operating_points"]
    assert [one["threshold"] for one in said] == [one.threshold for one in made.points]


@pytest.mark.parametrize(
    ("name", "data", "warned"),
    [
        ("LFW View 1 train", "3,833 people: LFW View 1, peopleDevTrain", True),
        ("LFW View 1 train", "CASIA-WebFace", False),
        ("staff", "3,833 people: LFW View 1, peopleDevTrain", False),
    ],
)
def test_points_of_people_that_the_model_has_seen_are_warned_of(
    name: str, data: str, warned: bool
) -> None:
    points = Protocol(
        name, (b"a", b"b", b"c"), ("a", "b", "c"),
        first=np.array([0, 0]), second=np.array([1, 2]), same=np.array([True, False]),
    )  # fmt: skip
    found = measuring.overlap(points, data)
    assert [data in text for text in found] == [True] * warned


def test_without_a_package_it_names_the_extra(
    run: Path, faces: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = vv.export(run, to="torchscript", out=tmp_path / "script")
    entry = vv.models.add(made.path, home=home)
    for module, target, extra in (
        ("nncf", "openvino-int8", "export"),
        ("openvino", "openvino", "openvino"),
        ("torch", "torch-export", "train"),
    ):
        with monkeypatch.context() as gone:
            gone.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtraError, match=rf"visavis\[{extra}\]"):
                vv.export(run, to=target, out=tmp_path / "out", calibrate=faces)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"visavis\[train\]"):
        OnnxEmbedder(entry.name, store=WeightStore(home))
