"""``visavis evaluate identify``: on real faces, and on what it must refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def people(orl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with four photos each, and a photo that is none."""
    root = tmp_path_factory.mktemp("people")
    for k in range(1, 13):
        (root / f"s{k}").mkdir()
        for photo in sorted((orl / f"s{k}").glob("*.pgm"))[:4]:
            shutil.copy(photo, root / f"s{k}")
    (root / "s1" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return root


@pytest.mark.orl
def test_people_are_found_and_the_report_is_written(run, people, tmp_path) -> None:
    out = tmp_path / "out"
    done = run(
        *("evaluate", "identify", people, "--enroll", 7, "--photos", 2, "--rounds", 3),
        *("--fpir", 0.2, "--json", "--out", out, "--bootstrap", 20),
    )
    assert done.code == 1  # one photo was left out, and is told
    found = done.json
    assert (found["enrolled"], found["templates"], found["non_mated"]) == (7, 2, 5)
    assert found["mated"] == 14
    assert sum(found["failures"].values()) == 1
    assert found["rank1"] > 0.9
    assert [o["fpir"] for o in found["open_set"]] == [0.2]
    assert found["stated"][0]["stated"] == 0.2
    assert found["calibration"] == "sface-lfw"
    assert json.loads((out / "identification.json").read_text())["enrolled"] == 7
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")
    plain = run("evaluate", "identify", people, "--rounds", 2, "--bootstrap", 20)
    assert "rank 1" in plain.out
    assert "FPIR stated" in plain.out
    assert "left out: 1 photos" in plain.out


@pytest.mark.orl
def test_a_list_names_who_takes_part(run, people, tmp_path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("s2\ns3\ns4\ns5\n")
    done = run("evaluate", "identify", people, "--people-list", names, "--json", "--rounds", 1)
    assert done.code == 0
    assert done.json["people"] == 4
    assert done.json["protocol"] == "names"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: not a folder"),
        ([".", "--faces", "best-match"], "choose one of central"),
        ([".", "--fusion", "sum"], "weighted"),
        ([".", "--fpir", "2"], "(0, 1)"),
        ([".", "--out", "x.html"], "give a folder"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, monkeypatch, arguments, says) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("evaluate", "identify", *arguments)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""
