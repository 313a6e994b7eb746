"""``visavis evaluate`` from end to end, with a recognizer that needs no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from visavis.errors import UnknownCalibrationError
from visavis.evaluation import scores
from visavis.evaluation.protocols import bin as sets


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    recognizer: Any,
) -> Run:
    """``run("lfw", "--view", 1)``; keeps to folders of the test's own."""

    class Fake(type(recognizer)):  # type: ignore[misc]
        def __init__(self, *, calibration: str | None = None, **_: Any) -> None:
            super().__init__()
            self.asked = calibration

        @property
        def calibration(self) -> Any:
            raise UnknownCalibrationError(f"calibration {self.asked!r}", "make one")

    monkeypatch.setattr("visavis.pipeline.Recognizer", Fake)
    monkeypatch.setenv("VISAVIS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VISAVIS_LFW", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Outcome:
        from visavis.cli.app import run as run_command

        words = ["evaluate", *(str(argument) for argument in arguments)]
        monkeypatch.setattr("sys.argv", ["visavis", *words])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command(words)
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, out.decode(), err.decode())

    return call


def test_lfw_and_its_pairs_give_one_answer(run: Run, tiny_lfw: Path, tmp_path: Path) -> None:
    written = tmp_path / "view1.csv"
    first = run(
        "lfw", "--view", 1, "--root", tiny_lfw, "--write-pairs", written, "--json",
        "--bootstrap", 30,
    )  # fmt: skip
    photos = tiny_lfw / "lfw-deepfunneled"
    second = run("pairs", written, "--root", photos, "--json", "--bootstrap", 30)
    assert (first.code, second.code) == (0, 0)
    one, two = json.loads(first.out), json.loads(second.out)
    assert one["about"].pop("command") == (
        f"visavis evaluate lfw --view 1 --root {tiny_lfw} --write-pairs {written} --json "
        "--bootstrap 30"
    )
    for answer in (one, two):
        del answer["about"], answer["protocol"]
    assert one == two
    assert {
        "accuracy",
        "accuracy_se",
        "auc",
        "eer",
        "fnmr_at_fmr",
        "pairs",
        "failures",
    } <= one.keys()


def test_out_holds_report_scores_and_summary(run: Run, tiny_lfw: Path, tmp_path: Path) -> None:
    out, extra = tmp_path / "new" / "out", tmp_path / "s.csv"
    outcome = run(
        "lfw", "--view", 2, "--root", tiny_lfw, "--out", out, "--scores", extra, "--bootstrap", 30,
        "--pictures",
    )  # fmt: skip
    assert outcome.code == 0
    assert "LFW View 2: 24 pairs (12 mated, 12 non-mated), 0 failed" in outcome.out
    assert f"report: {out / 'report.html'}" in outcome.out
    assert sorted(path.name for path in out.iterdir()) == [
        "report.html",
        "scores.parquet",
        "summary.json",
    ]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 48
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["folds"]) == 3
    assert scores.read(extra).score.tolist() == scores.read(out / "scores.parquet").score.tolist()


def test_a_report_is_redone_from_its_scores(run: Run, tiny_lfw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("lfw", "--root", tiny_lfw, "--out", out, "--bootstrap", 30)
    for photo in tiny_lfw.rglob("*.jpg"):
        photo.unlink()
    again = tmp_path / "again.html"
    outcome = run("report", out / "scores.parquet", "--out", again, "--bootstrap", 30)
    assert outcome.code == 0
    assert again.read_bytes() == (out / "report.html").read_bytes()
    told = run("report", out / "scores.parquet", "--bootstrap", 30, "--json")
    assert json.loads(told.out) == json.loads((out / "summary.json").read_text())


def test_failures_are_counted_and_told_by_the_exit_code(
    run: Run, tiny_lfw: Path, tmp_path: Path
) -> None:
    (tiny_lfw / "lfw-deepfunneled/Person_00/Person_00_0001.jpg").write_bytes(b"no face")
    outcome = run("lfw", "--root", tiny_lfw, "--bootstrap", 0)
    assert outcome.code == 1
    assert "2 failed" in outcome.out
    assert "failed: 2 pairs, no-face (a)" in outcome.out
    assert "failures as different" in outcome.out


def test_a_bin_set(run: Run, tmp_path: Path, encoded) -> None:
    images = []
    for k in range(20):
        images += [encoded(70, seed=2 * k), encoded(70 if k % 2 else 190, seed=2 * k + 1)]
    path = tmp_path / "agedb.bin"
    sets.write(path, images, [k % 2 == 1 for k in range(20)])
    outcome = run("bin", path, "--json", "--bootstrap", 0)
    assert outcome.code == 0
    answer = json.loads(outcome.out)
    assert (answer["accuracy"], answer["pairs"], len(answer["folds"])) == (1.0, 20, 10)
    # The second run finds the templates of the first.
    assert json.loads(run("bin", path, "--json", "--bootstrap", 0).out)["auc"] == answer["auc"]
    assert (tmp_path / "home").is_dir()


def test_nothing_is_kept_where_it_is_not_wanted(run: Run, tmp_path: Path, people: Path) -> None:
    assert run("folders", people, "--no-cache", "--bootstrap", 0, "--most", 50).code == 0
    assert not list((tmp_path / "home").rglob("*.sqlite"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lfw"], "no folder of Labeled Faces in the Wild; give --root DIR or set VISAVIS_LFW"),
        (["lfw", "--root", "{tmp}"], "no photos of Labeled Faces in the Wild"),
        (["lfw", "--root", "{lfw}", "--view", "7"], "view 7 of LFW"),
        (["lfw", "--root", "{lfw}", "--part", "all"], "--part all"),
        (["lfw", "--root", "{lfw}", "--faces", "all"], "face rule 'all'"),
        (["lfw", "--root", "{lfw}", "--calibration", "gate"], "calibration 'gate'"),
        (["lfw", "--root", "{lfw}", "--scores", "s.xlsx"], "name it .csv or .parquet"),
        (["lfw", "--root", "{lfw}", "--bootstrap", "5"], "--bootstrap 5"),
        (["lfw", "--root", "{lfw}", "--out", "{tmp}/x.html"], "give a folder"),
        (["lfw", "--root", "{lfw}", "--out", "{lfw}/pairs.txt"], "name another folder"),
        (["pairs", "{tmp}/gone.csv"], "gone.csv: cannot be read"),
        (["bin", "{tmp}/gone.bin"], "gone.bin: cannot be read"),
        (["folders", "{tmp}/gone"], "gone: not a folder"),
        (["report", "{tmp}/gone.parquet"], "gone.parquet: cannot be read"),
        (["report", "{tmp}/gone.txt"], "name it .csv or .parquet"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Run, tiny_lfw: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    filled = [a.replace("{tmp}", str(tmp_path)).replace("{lfw}", str(tiny_lfw)) for a in arguments]
    outcome = run(*filled)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.strip().count("\n") == 0
    assert "Traceback" not in outcome.err


@pytest.mark.lfw
def test_real_photos_score_as_verify_does(lfw: Path, tmp_path: Path) -> None:
    from visavis.evaluation.protocols import lfw as lists
    from visavis.evaluation.protocols import pairs
    from visavis.evaluation.verification import run as runs
    from visavis.pipeline import Recognizer

    view = lists.view(1, lfw)
    rows = ["a,b,same"]
    for k in (0, 1, 2, 500, 501, 502):
        names = view.labels[view.first[k]], view.labels[view.second[k]]
        rows.append(f"{names[0]},{names[1]},{int(view.same[k])}")
    path = tmp_path / "few.csv"
    path.write_text("\n".join(rows))
    recognizer = Recognizer(home=tmp_path / "home")
    protocol = pairs.read(path, lists.photo_folder(lfw))
    table = runs.evaluate(protocol, recognizer, workers=1).scores
    assert table.score[:3].min() > table.score[3:].max()
    for k in range(6):
        a, b = (
            recognizer.embed(protocol.photos[i], rule="central")[0].vector
            for i in (protocol.first[k], protocol.second[k])
        )
        assert table.score[k] == pytest.approx(float(a @ b), abs=1e-5)
