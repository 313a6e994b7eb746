"""Reading runs, and pictures at the edges of what there can be to draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from visavis.errors import DataError, OptionError
from visavis.training.report import comparing, pictures, write
from visavis.training.report.reading import RunFolder, ValidationEmbeddings, read_run

COLUMNS = "step,epoch,seconds,loss,active,mated,non_mated,rank,validation_auc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    recipe = {"name": "r", "backbone": "b", "epochs": 2, "dimension": 8, "loss": {"kind": "k"}}
    (path / "run.json").write_text(json.dumps({"recipe": recipe, "data": "f"}))
    return path


def log(folder: Path, *rows: str) -> None:
    (folder / "history.csv").write_text("\n".join([COLUMNS, *rows]))


def run_of(**columns: list[float]) -> RunFolder:
    count = max(len(values) for values in columns.values())
    history = [
        {"step": k + 1.0, "epoch": (k + 1) / 10, **{n: v[k] for n, v in columns.items()}}
        for k in range(count)
    ]
    return RunFolder(Path("r"), {"epochs": 3, "dimension": 8}, history, None, None, None)


def people(count: int, photos: int, *, spread: float) -> ValidationEmbeddings:
    rng = np.random.default_rng(0)
    middle = np.repeat(rng.normal(size=(count, 16)), photos, axis=0)
    vectors = middle + spread * rng.normal(size=middle.shape)
    labels = np.repeat(np.arange(count), photos)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return ValidationEmbeddings(
        unit.astype(np.float32), labels, np.array([f"P_{k}" for k in labels])
    )


def test_empty_cells_and_a_half_written_row_are_left_out(folder: Path) -> None:
    log(folder, "1,0.1,2,3.5,,0.5,0.1,4,", "2,0.2,4,3.0,,,,5,0.75", "3,0.3")
    run = read_run(folder)
    assert len(run.history) == 2
    x, y = run.series("loss")
    assert (x.tolist(), y.tolist()) == ([0.1, 0.2], [3.5, 3.0])
    assert run.series("active")[0].size == 0
    assert run.series("validation_auc")[1].tolist() == [0.75]


def test_numbers_that_are_not_finite_are_not_drawn() -> None:
    run = run_of(loss=[2.0, float("inf"), float("nan"), 1.0])
    assert run.series("loss")[1].tolist() == [2.0, 1.0]
    assert pictures.loss(run) is not None
    assert pictures.loss(run_of(loss=[float("nan")])) is None


def test_damage_is_named(folder: Path) -> None:
    log(folder, "1,0.1,2,much,,,,,")
    with pytest.raises(DataError, match=r"history\.csv"):
        read_run(folder)
    (folder / "history.csv").unlink()
    with pytest.raises(DataError, match=str(folder)):
        write(folder, folder / "report")
    (folder / "run.json").write_text("[]")
    with pytest.raises(DataError, match=r"run\.json"):
        read_run(folder)
    (folder / "run.json").write_text('{"recipe": 1}')
    with pytest.raises(DataError, match=r"\$\.recipe"):
        read_run(folder)
    with pytest.raises(DataError, match="nowhere"):
        read_run(folder / "nowhere")


def test_damaged_embeddings_are_named(folder: Path) -> None:
    log(folder, "1,0.1,2,3.5,,0.5,0.1,4,")
    (folder / "model").mkdir()
    for name in ("model.json", "metrics.json"):
        (folder / "model" / name).write_text("{}")
    assert read_run(folder).validated is None, "a run that was passed on without them"
    (folder / "validation.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"validation\.npz"):
        read_run(folder)


def test_smoothing_is_a_weighted_mean() -> None:
    values = np.random.default_rng(0).random(200)
    found = pictures.smooth(values)
    keep = 1 - 1 / 5
    for k in (0, 1, 7, 199):
        weights = keep ** np.arange(k, -1, -1)
        assert found[k] == pytest.approx((weights * values[: k + 1]).sum() / weights.sum())


@pytest.mark.parametrize("spread", [0.0, 0.3, 30.0])
def test_perfect_and_hopeless_models_are_drawn(spread: float) -> None:
    validated = people(6, 3, spread=spread)
    mated, non_mated = pictures.split_scores(validated)
    assert (len(mated), len(non_mated)) == (6 * 3, 18 * 17 // 2 - 6 * 3)
    for picture in (
        pictures.roc(mated, non_mated),
        pictures.histogram(mated, non_mated, {"FMR 0.1": 0.4}),
    ):
        assert picture.png.startswith(b"\x89PNG")
        assert picture.svg.startswith("<svg role")
        assert picture.svg.rstrip().endswith("</svg>")


def test_people_in_the_plane() -> None:
    picture = pictures.projection(people(20, 3, spread=0.2))
    assert picture is not None
    assert "the 16 validation people with most photos" in picture.caption
    assert ">P 0<" in picture.svg
    assert pictures.projection(people(3, 2, spread=0.2)) is None, "too few to lay out"
    assert pictures.projection(people(20, 1, spread=0.2)) is None, "nobody has two photos"


def test_pictures_are_the_same_every_time() -> None:
    run = run_of(loss=[3.0, 2.0, 1.0], active=[0.5, 0.4, 0.3])
    for draw in (pictures.loss, pictures.active):
        first, second = draw(run), draw(run)
        assert first is not None
        assert second is not None
        assert first.svg == second.svg


def test_runs_are_compared_by_what_tells_them_apart(tmp_path: Path) -> None:
    folders = []
    for k, miner in enumerate(("semihard", "hard")):
        path = tmp_path / f"run{k}"
        path.mkdir()
        recipe = {"name": "t", "epochs": 2, "dimension": 8, "loss": {"miner": miner, "margin": 0.2}}
        (path / "run.json").write_text(json.dumps({"recipe": recipe, "data": "f"}))
        log(path, "1,0.5,1,3.5,0.9,0.5,0.1,4,0.7", "2,1,2,3.0,0.8,0.6,0.1,5,0.75")
        folders.append(path)
    runs = [read_run(path) for path in folders]
    assert comparing.labels(runs) == ["miner semihard (run0)", "miner hard (run1)"]
    assert comparing.labels([runs[0], runs[0]]) == ["(run0)", "(run0)"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps({"recipe": {"name": "u", "epochs": 2}, "data": "f"}))
    assert comparing.labels([runs[0], read_run(other)]) == ["t (run0)", "u (other)"]
    svg, png = comparing.compare(folders, tmp_path / "out")
    text = svg.read_text()
    assert "miner semihard" in text
    assert "miner hard" in text
    assert "validation AUC" in text
    assert png.read_bytes().startswith(b"\x89PNG")
    x, gap = comparing._series(runs[0], "gap")
    assert x.tolist() == [0.5, 1.0]
    assert gap == pytest.approx([0.4, 0.5])


def test_one_run_is_not_compared(folder: Path) -> None:
    log(folder, "1,0.5,1,3.5,0.9,0.5,0.1,4,0.7")
    with pytest.raises(OptionError, match="2 to 8"):
        comparing.compare([folder], folder)


def test_a_run_without_a_log_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="logged"):
        comparing.compare([folder, folder], tmp_path / "out")
