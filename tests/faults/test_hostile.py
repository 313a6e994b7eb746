"""Hostile input: what is large, twisted or not a number is refused or done in bounded work."""

from __future__ import annotations

import io
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from visavis.albums import folders
from visavis.clustering.constraints import Constraints
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.merging import Merging
from visavis.clustering.thresholds import FmrCurve
from visavis.errors import DataError, OptionError
from visavis.evaluation import scores
from visavis.evaluation.tables import read_table
from visavis.gallery.names import usable_name
from visavis.training.data import rec

CURVE = FmrCurve((0.3, 0.35, 0.4), (1e-2, 1e-3, 1e-4), typical=0.0)


def test_identical_templates_are_not_merged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    measure = Merging.measure

    def counting(self: Merging, a: np.ndarray, b: np.ndarray) -> object:
        measured.append(len(a))
        return measure(self, a, b)

    monkeypatch.setattr(Merging, "measure", counting)
    rows = np.zeros((3000, 8), np.float32)
    rows[:, 0] = 1
    rows[1500:, :2] = 0, 1
    labels = GraphLinkage(CURVE).cluster(rows)
    assert Counter(labels.tolist()) == {0: 1500, 1: 1500}
    assert sum(measured) < 3000


def test_identical_templates_stay_apart_where_they_must() -> None:
    rows = np.zeros((40, 8), np.float32)
    rows[:, 0] = 1
    apart = Constraints(cannot=np.array([[3, 30]]))
    labels = GraphLinkage(CURVE).cluster(rows, constraints=apart)
    assert labels[3] != labels[30]
    assert len(set(labels.tolist())) == 2


def test_photos_of_one_base_name_are_named_in_one_look_each() -> None:
    looked = 0

    class Looked(dict[str, int]):
        def __contains__(self, name: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(name)

    taken = Looked()
    names = [folders._free("IMG.jpg", taken) for _ in range(2000)]
    assert names[:3] == ["IMG.jpg", "IMG (2).jpg", "IMG (3).jpg"]
    assert len(set(names)) == 2000
    assert looked < 3 * 2000
    assert folders._free("img (2).JPG", taken) == "img (2) (2).JPG"


def test_a_header_of_many_columns_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    columns = [f"c{k}" for k in range(20_000)]
    path.write_text(",".join(["a", *columns]) + "\n")
    assert len(read_table(path, required={"a": "one"}).columns) == 20_001
    with pytest.raises(DataError, match="no column 'b'") as told:
        read_table(path, required={"b": "another"})
    assert len(str(told.value)) < 1000
    path.write_text(",".join(["a", *columns, "c7"]) + "\n")
    with pytest.raises(DataError, match="'c7' occurs twice"):
        read_table(path, required={"a": "one"})


@pytest.mark.parametrize("score", ["1e308", "-1e308", "1e400", "inf", "nan"])
def test_scores_beyond_any_measure_are_refused(tmp_path: Path, score: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"a,b,same,score\nx,y,1,0.5\nx,z,0,{score}\n")
    with pytest.raises(DataError, match="row 3"):
        scores.read(path)


@pytest.mark.parametrize("label", [float("nan"), float("inf"), -1.0, 1e30])
@pytest.mark.parametrize("flag", [0, 2])
def test_labels_that_are_no_numbers_of_people(tmp_path: Path, label: float, flag: int) -> None:
    labels = struct.pack("<2f", label, 9) if flag else b""
    record = struct.pack("<IfQQ", flag, label, 0, 0) + labels + b"image"
    padded = record + bytes(-len(record) % 4)
    (tmp_path / "train.rec").write_bytes(struct.pack("<II", 0xCED7230A, len(record)) + padded)
    with pytest.raises(DataError, match="label"):
        rec.read(tmp_path / "train.rec")


@pytest.mark.parametrize("line", ["9" * 5000 + "\t0", "0\t" + "9" * 5000, "²\t0"])
def test_keys_of_thousands_of_digits(tmp_path: Path, line: str) -> None:
    (tmp_path / "train.rec").write_bytes(bytes(64))
    (tmp_path / "train.idx").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(DataError):
        rec.read(tmp_path / "train.rec")


@pytest.mark.parametrize(
    "name", ["A\u200bB", "\ufeffAB", "A\u00adB", "A\u2060B", "A\u200eB", "A\U000e0041", "A\x1b[31m"]
)
def test_names_with_invisible_characters_are_refused(name: str) -> None:
    with pytest.raises(OptionError):
        usable_name(name)


@pytest.mark.parametrize("name", ["می‌خواهم", "क्‍ष", "O'Brien, Zoë", ":x:", "[b]"])
def test_names_of_people_are_accepted(name: str) -> None:
    assert usable_name(name) == name


@pytest.mark.parametrize("in_table", [False, True])
def test_no_name_steers_the_terminal(in_table: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from visavis.cli.output import _Console

    out = io.StringIO()
    console = _Console(file=out, width=200)
    name = "A\x1b]0;title\x07\x9b31m\u200b\u202eB :x: 你好\u00a0Zoë"
    if in_table:
        table = Table()
        table.add_column("person :x:")
        table.add_row(Text(name))
        console.print(table)
    else:
        console.print(name, markup=False)
    shown = out.getvalue()
    assert not set(shown) & set("\x1b\x07\x9b\u200b\u202e")
    assert r"\x1b]0;title" in shown
    assert "B :x: 你好\u00a0Zoë" in shown
