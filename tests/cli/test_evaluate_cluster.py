"""``visavis evaluate cluster`` from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score


@pytest.fixture
def staff(tmp_path: Path, portrait: np.ndarray) -> Path:
    """One person twice, and a wall."""
    root = tmp_path / "staff"
    (root / "Eileen").mkdir(parents=True)
    (root / "Wall").mkdir()
    Image.fromarray(portrait).save(root / "Eileen" / "1.png")
    Image.fromarray((portrait[:, ::-1] * 0.7).astype(np.uint8)).save(root / "Eileen" / "2.jpg")
    Image.new("RGB", (300, 200), "white").save(root / "Wall" / "1.png")
    return root


def test_a_folder_a_person(run, staff: Path, tmp_path: Path) -> None:
    found = run("evaluate", "cluster", staff, "--out", tmp_path / "out")
    assert found.code == 1  # the wall
    assert "2 faces of 1 people, 1 photos failed" in found.out
    assert "failed: 1 photos, no-face" in found.out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "report.html", "summary.json", "clusters.csv",
    }  # fmt: skip
    again = run("evaluate", "cluster", staff, "--json", "--no-sweep")
    assert again.json["failures"] == {"no-face": 1}
    (row,) = again.json["rows"]
    assert row["default"]
    assert row["scores"]["clusters"] == 1
    assert "photos" not in again.err


def test_labels_of_another_system(run, tmp_path: Path) -> None:
    (tmp_path / "found.csv").write_text(
        "photo,person,cluster\n1,Eva,a\n2,Eva,a\n3,Max,a\n4,Max,b\n"
    )
    found = run("evaluate", "cluster", "--found", tmp_path / "found.csv", "--json")
    assert found.code == 0
    (row,) = found.json["rows"]
    assert row["scores"]["ari"] == pytest.approx(adjusted_rand_score([0, 0, 1, 1], [0, 0, 0, 1]))
    table = run("evaluate", "cluster", "--found", tmp_path / "found.csv")
    assert "as given" in table.out
    assert f"{row['scores']['pairwise']['f1']:.4f}" in table.out


def test_what_cluster_wrote(run, staff: Path, tmp_path: Path) -> None:
    """The folder of people is the labels of its own clusters."""
    assert run("cluster", staff, "--out", tmp_path / "sorted").code == 0
    own = tmp_path / "sorted" / "clusters.csv"
    found = run("evaluate", "cluster", "--found", own, "--labels", staff, "--json")
    assert found.code == 1, found.err
    assert found.json["failures"] == {"no-face": 1}
    (row,) = found.json["rows"]
    assert (row["scores"]["faces"], row["scores"]["clusters"]) == (2, 1)
    alone = run("evaluate", "cluster", "--found", own)
    assert alone.code == 2
    assert "--labels" in alone.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "no photos"),
        (("DIR", "--found", "x.csv"), "both DIR and --found"),
        (("DIR", "--labels", "x.csv"), "--labels x.csv without --found"),
        (("DIR", "--false-merge", "2"), "--false-merge 2"),
        (("DIR", "--out", "x.html"), "give a folder"),
        (("nowhere",), "nowhere: not a folder"),
        (("--found", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_input_is_one_line(run, staff: Path, arguments, named: str) -> None:
    given = [staff if a == "DIR" else a for a in arguments]
    found = run("evaluate", "cluster", *given)
    assert found.code == 2
    assert found.out == ""
    assert len(found.err.strip().splitlines()) == 1
    assert named in found.err


@pytest.mark.orl
@pytest.mark.slow
def test_people_never_seen(run, orl: Path, tmp_path: Path) -> None:
    found = run("evaluate", "cluster", orl, "--json", "--no-sweep", "--out", tmp_path / "out").json
    row, plain = found["rows"]
    assert (row["default"], row["plain"], plain["plain"]) == (True, False, True)
    assert found["faces"] == 400
    assert found["people"] == 40
    assert row["scores"]["bcubed"]["f1"] > 0.99
    assert row["scores"]["pairwise"]["f1"] > 0.99
