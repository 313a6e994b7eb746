"""``visavis train``: from photos to a model that decides."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.cli.conftest import Run
from tests.training import tiny

from visavis.cli.train.app import take_apart
from visavis.decision.profile import Calibration
from visavis.errors import OptionError
from visavis.training.data.pack import Pack, write_pack
from visavis.training.loop import checkpoints, fitting
from visavis.training.recipes import RECIPES

FIELDS = (
    "--backbone", "tiny", "--input_size", "16", "--dimension", "8", "--batch-size=12",
    "--photos_per_person", "3", "--epochs", "2", "--threads", "1", "--loss.margin", "0.3",
    "--augment.erase", "0", "--augment.colour", "0", "--width", "1", "--precision", "32",
    "--most_photos", "none", "--compile", "false", "--workers", "0",
)  # fmt: skip


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    tiny.register()
    return tiny.make_pack(tmp_path_factory.mktemp("pack") / "p.pack", people=42, photos=4)


@pytest.fixture(scope="module")
def trained(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that went to its end; tests only read it."""
    from typer.testing import CliRunner

    from visavis.cli.app import app

    out = tmp_path_factory.mktemp("runs") / "one"
    words = ["train", "--recipe", "siamese-triplet", str(pack.path), *FIELDS, "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--name", "mine", "--license", "MIT", "--json"])
    assert done.exit_code == 0, (done.stderr, done.exception)
    (out / "answer.json").write_text(done.stdout)
    return out


def test_one_command_leaves_a_model_directory(trained: Path, pack: Pack) -> None:
    answer = json.loads((trained / "answer.json").read_text())
    assert answer["recipe"]["loss"]["margin"] == 0.3
    assert answer["recipe"]["epochs"] == 2
    assert answer["data"] == pack.fingerprint
    assert answer["model"]["path"] == str(trained / "model")
    described = json.loads((trained / "model" / "model.json").read_text())
    assert described["model"]["license"] == "MIT"
    assert described["data"]["fingerprint"] == pack.fingerprint
    # 42 people, of whom one has a single photo: 15 of them had to be kept apart.
    assert described["data"]["validation_people"] == 15
    assert any("kept" in note for note in answer["notes"])
    assert described["command"].startswith("visavis")
    assert "/" not in described["command"].split(" --name")[0].replace("runs/", "")
    made = Calibration.from_json((trained / "model" / "operating_points.json").read_text())
    assert made.pipeline_id.endswith("similarity-5pt-16*0.9, plain")


def test_the_model_is_used_as_any_other(run: Run, trained: Path, photo: Path) -> None:
    added = run("models", "add", trained)
    assert added.code == 0, added.err
    lowest = min(
        point["target_fmr"]
        for point in json.loads((trained / "model" / "operating_points.json").read_text())["points"]
    )
    answer = run("verify", photo, photo, "--model", "mine", "--fmr", lowest, "--json")
    assert answer.code == 0, answer.err
    # The calibration is of this very pipeline, detector included.
    assert not any("calibration" in warning for warning in answer.json["warnings"])


def test_a_model_no_better_than_chance_is_told(run: Run, tmp_path: Path) -> None:
    tiny.register()
    nobody = tiny.make_pack(tmp_path / "noise.pack", people=42, photos=4, noise=5000)
    out = tmp_path / "run"
    words = ("train", "--recipe", "siamese-triplet", nobody.path, *FIELDS, "--max_steps", "1")
    done = run(*words, "--out", out)
    assert done.code == 0, done.err
    metrics = json.loads((out / "model" / "metrics.json").read_text())
    assert metrics["validation"]["auc"] < 0.7
    assert "chance" in metrics["warning"]
    assert metrics["warning"] in " ".join(done.err.split())
    assert "models add" not in done.out
    card = (out / "model" / "README.md").read_text()
    assert metrics["warning"][1:] in card
    assert run("train", "report", out).code == 0
    assert "hardly better than chance" in (out / "report" / "report.html").read_text()


def test_a_good_model_is_not_warned_of(trained: Path) -> None:
    metrics = json.loads((trained / "model" / "metrics.json").read_text())
    assert metrics["validation"]["auc"] > 0.7
    assert metrics["warning"] == ""
    assert "hardly better" not in (trained / "model" / "README.md").read_text()


def test_a_run_is_resumed_or_refused(run: Run, trained: Path, pack: Pack, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(trained, out)
    words = ("train", "--recipe", "siamese-triplet", pack.path, *FIELDS, "--out", out)
    refused = run(*words, "--name", "mine")
    assert refused.code == 2
    assert "resume" in refused.err
    # Before any photo is packed: this folder would be refused, too.
    unpacked = run("train", "--recipe", "siamese-triplet", tmp_path, *FIELDS, "--out", out)
    assert unpacked.code == 2
    assert "holds a training run" in unpacked.err
    other = run(*words, "--resume", "--lr", "0.5")
    assert other.code == 2
    assert "another recipe" in other.err
    again = run(*words, "--resume", "--name", "mine", "--json")
    assert again.code == 0, again.err
    first = json.loads((trained / "answer.json").read_text())
    assert again.json["steps"] == first["steps"]
    # Nothing was left to do, so it is the same model with the same figures.
    assert again.json["model"]["figures"] == first["model"]["figures"]
    shown = run(*words, "--resume", "--name", "mine")
    assert "AUC" in shown.out
    assert f"visavis models add {out / 'model'}" in shown.out


def test_a_dry_run_trains_nothing(run: Run, pack: Pack, tmp_path: Path) -> None:
    words = ("train", "--recipe", "siamese-triplet", pack.path, *FIELDS, "--dry-run")
    planned = run(*words, "--out", tmp_path / "dry", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["plan"]["steps"] == 2 * planned.json["plan"]["steps_per_epoch"]
    assert not (tmp_path / "dry").exists()
    shown = run(*words, "--out", tmp_path / "dry").out
    assert "time" in shown
    assert "memory" in shown
    refused = run(*words, "--out", tmp_path / "dry", "--against", pack.path)
    assert refused.code == 2, refused.out
    assert not (tmp_path / "dry").exists()


def test_resuming_what_is_not_there_says_so(run: Run, pack: Pack, tmp_path: Path) -> None:
    words = ("train", "--recipe", "siamese-triplet", pack.path, *FIELDS, "--max_steps", "2")
    done = run(*words, "--out", tmp_path / "mistyped", "--resume")
    assert done.code == 0, done.err
    assert f"{tmp_path / 'mistyped'} holds no run" in done.err


@pytest.mark.parametrize("saved", [True, False])
def test_interrupted_it_says_whether_there_is_something_to_go_on_with(
    run: Run, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    def interrupted(_recipe: Any, _pack: Pack, out: Path, **_options: Any) -> None:
        begun = checkpoints.Run(out)
        begun.last.parent.mkdir(parents=True)
        if saved:
            begun.last.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "fit", interrupted)
    words = ("train", "--recipe", "siamese-triplet", pack.path, *FIELDS)
    stopped = run(*words, "--out", tmp_path / "x")
    assert stopped.code == 130
    assert ("--resume" in stopped.err) == saved
    assert ("nothing to go on with" in stopped.err) != saved


def test_people_of_a_test_protocol_are_refused(run: Run, pack: Pack, tmp_path: Path) -> None:
    protocol = write_pack(
        tmp_path / "protocol.pack",
        pack.crops[:2],
        [0, 1],
        ["P00", "somebody else"],
        ["P00/x.jpg", "else/x.jpg"],
        size=pack.size,
        scale=pack.scale,
        origin="a test",
    )
    words = ("train", "--recipe", "siamese-triplet", pack.path, *FIELDS)
    refused = run(*words, "--out", tmp_path / "out", "--against", protocol.path)
    assert refused.code == 2
    assert "P00" in refused.err
    assert not (tmp_path / "out" / "model").exists()


def test_single_photos_of_a_protocol_are_left_out(run: Run, pack: Pack, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 1200  # so many that one copy is below the share that is refused
    others = rng.integers(0, 256, (count, pack.size, pack.size, 3), dtype=np.uint8)
    others[7] = np.asarray(pack.crops[3])
    protocol = write_pack(
        tmp_path / "protocol.pack",
        others,
        np.arange(count),
        [f"other {k}" for k in range(count)],
        [f"other/{k}.jpg" for k in range(count)],
        size=pack.size,
        scale=pack.scale,
        origin="a test",
    )
    out = tmp_path / "out"
    words = ("train", "--recipe", "siamese-triplet", pack.path, *FIELDS, "--max_steps", "2")
    done = run(*words, "--out", out, "--against", protocol.path)
    assert done.code == 0, done.err
    assert pack.names[3] in done.err
    counts = json.loads((out / "model" / "model.json").read_text())["data"]
    assert counts["training_photos"] + counts["validation_photos"] == len(pack) - 1


def test_lfw_is_checked_without_being_asked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISAVIS_LFW", raising=False)
    crops = tiny.make_pack(tmp_path / "p.pack")
    lfw = write_pack(
        tmp_path / "lfw.pack",
        crops.crops,
        crops.labels,
        crops.people,
        crops.names,
        size=crops.size,
        scale=crops.scale,
        origin="LFW View 1, peopleDevTrain (a detector)",
    )
    refused = run(
        "train", "--recipe", "siamese-triplet", lfw.path, *FIELDS, "--out", tmp_path / "out"
    )
    assert refused.code == 2
    assert "--against" in refused.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--recipe", "siamese-tripled", "{pack}"), "siamese-triplet"),
        (("--recipe", "siamese-triplet", "{pack}", "--margn", "1"), "--loss.margin"),
        (("--recipe", "siamese-triplet", "{pack}", "--licens", "MIT"), "--license"),
        (("--recipe", "siamese-triplet", "{pack}", "--lr", "fast"), "--lr"),
        (("--recipe", "siamese-triplet", "{pack}", "--lr"), "--lr VALUE"),
        (("--recipe", "siamese-triplet", "{pack}", "{pack}"), "2 places"),
        (("--recipe", "siamese-triplet", "--lr", "1"), "0 places"),
        (("--recipe", "siamese-triplet", "nowhere"), "nowhere"),
        (("--recipe", "siamese-triplet", "{pack}", "--name", "sface"), "built-in"),
        (("--recipe", "siamese-triplet", "{pack}", "--name", "Mine!"), "Mine!"),
        (("--recipe", "siamese-triplet", "{pack}", "--crop_scale", "0.5"), "0.5"),
        (("--recipe", "siamese-triplet", "{pack}", "--backbone", "tinny"), "tinny"),
        (("--recipe", "siamese-triplet", "{pack}", "--part", "test"), "a pack has no parts"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    words: tuple[str, ...], named: str, run: Run, pack: Pack, tmp_path: Path
) -> None:
    refused = run("train", *(w.format(pack=pack.path) for w in words), "--out", tmp_path / "out")
    assert refused.code == 2
    assert named in refused.err
    assert "Traceback" not in refused.err


def test_a_run_that_cannot_be_written_is_refused(run: Run, pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "run"
    refused = run("train", "--recipe", "siamese-triplet", pack.path, "--out", out)
    assert refused.code == 2
    assert "can be written" in refused.err
    assert (tmp_path / "file").read_text() == "mine"


def test_fields_are_taken_apart() -> None:
    words = ["--lr", "-1", "data", "--a-b=c=d", "--x", "--y"]
    with pytest.raises(OptionError, match="--x"):
        take_apart(words)
    plain, fields = take_apart(words[:-2])
    assert (plain, fields) == (["data"], {"lr": "-1", "a_b": "c=d"})
    with pytest.raises(OptionError, match="--lr"):
        take_apart(["--lr", "1", "--lr=2"])


def test_recipes_are_listed_with_all_their_fields(run: Run) -> None:
    listed = run("train", "recipes").out
    assert all(name in listed for name in RECIPES)
    assert [one["name"] for one in run("train", "recipes", "--json").json] == list(RECIPES)
    shown = run("train", "recipes", "finetune-sface").out
    assert f"--augment.mask {RECIPES['finetune-sface'].augment.mask}" in shown
    assert "--init sface" in shown
    assert run("train", "recipes", "nothing").code == 2


def test_a_report_of_a_finished_run(run: Run, trained: Path, tmp_path: Path) -> None:
    made = run("train", "report", trained, "--out", tmp_path / "report", "--json")
    assert made.code == 0, made.err
    page = Path(made.json["page"]).read_text()
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    names = {Path(path).stem for path in made.json["pictures"]}
    assert {"loss", "validation", "scores", "active", "rank", "roc", "histogram"} <= names
    assert "projection" in names
    for path in map(Path, made.json["pictures"]):
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
    figures = json.loads((trained / "model" / "metrics.json").read_text())["validation"]
    assert f"{figures['auc']:.4f}" in page


def test_a_report_of_a_run_that_goes_on(run: Run, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(trained / "run.json", folder)
    assert run("train", "report", folder).code == 2
    rows = list(csv.reader((trained / "history.csv").open()))
    with (folder / "history.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows[:4])
    made = run("train", "report", folder)
    assert made.code == 0, made.err
    assert "not finished" in (folder / "report" / "report.html").read_text()
    assert not (folder / "report" / "roc.svg").exists()
    nothing = run("train", "report", tmp_path)
    assert nothing.code == 2
    assert "no training run" in nothing.err


@pytest.mark.parametrize("command", ["run", "recipes", "report"])
def test_every_command_has_help_and_an_example(run: Run, command: str) -> None:
    shown = " ".join(run("train", command, "--help").out.replace("│", " ").split())
    assert "Example: visavis train" in shown
    assert "--json" in shown
