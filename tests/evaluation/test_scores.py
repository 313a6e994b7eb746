"""Score files read back bit for bit, and refuse what they cannot mean."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visavis.errors import DataError
from visavis.evaluation import scores
from visavis.evaluation.scores.table import COLUMNS, CONSTANTS, About, Projection, ScoreFile, texts
from visavis.types import OperatingPoint

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
KINDS = pytest.mark.parametrize("suffix", [".csv", ".parquet"])


def example(**changes: Any) -> ScoreFile:
    """Four pairs, one of them failed."""
    about = About(
        protocol="list.csv",
        command="visavis evaluate pairs list.csv",
        created="2026-01-02T03:04:05+00:00",
        version="0.1.0",
        notes=("A note.",),
        photos=5,
        photo_failures={"no-face": 1},
        calibration="gate",
        operating_points=(
            OperatingPoint(
                "m",
                "ab",
                0.31,
                0.001,
                (0.0008, 0.0012),
                float("nan"),
                "LFW",
                1000,
                pipeline_id="s, t",
            ),
        ),
        projection=Projection(("x.jpg",), ("Ann",), (1.5,), (-2.25,), "t-SNE"),
    )
    whole = ScoreFile(
        a=texts(["x.jpg", "y,z.jpg", 'q"uo.jpg', "Ж\n.jpg"]),
        b=texts(["1.jpg", "2.jpg", "3.jpg", "4.jpg"]),
        same=np.array([True, False, True, False]),
        score=np.array([0.1 + 0.2, np.float32(0.7), np.nan, -5e-324]),
        failure=texts(["", "", "no-face (b)", ""]),
        fold=np.array([1, 1, 2, -2]),
        group=texts(["", "g;1", "g", "ü"]),
        person_a=texts(["Ann", "Ann", "Bob", "Cat"]),
        person_b=texts(["Ann", "Bob", "Bob", "Dan"]),
        llr=np.array([np.inf, -1e-300, np.nan, -np.inf]),
        model="m",
        model_sha256="ab",
        pipeline_id="s, t",
        about=about,
    )
    return dataclasses.replace(whole, **changes)


def assert_equal(a: ScoreFile, b: ScoreFile) -> None:
    for name in COLUMNS:
        x, y = getattr(a, name), getattr(b, name)
        if x is None or x.dtype == object:
            assert (x is None and y is None) or x.tolist() == y.tolist(), name
        else:
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes(), name
    for name in CONSTANTS:
        assert getattr(a, name) == getattr(b, name)
    assert a.about.to_dict() == b.about.to_dict()


@KINDS
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new folder" / f"scores{suffix}"
    scores.write(path, example())
    assert_equal(scores.read(path), example())
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


@KINDS
def test_names_of_former_versions_are_read(tmp_path: Path, suffix: str) -> None:
    """They called the pipeline id ``settings``."""
    path = tmp_path / f"scores{suffix}"
    scores.write(path, example())
    if suffix == ".csv":
        for file in (path, tmp_path / "scores.csv.meta.json"):
            text = file.read_text(encoding="utf-8")
            assert "pipeline_id" in text
            file.write_text(text.replace("pipeline_id", "settings"), encoding="utf-8")
    else:
        table = pq.read_table(path)
        names = [name.replace("pipeline_id", "settings") for name in table.column_names]
        metadata = {
            key: text.replace(b"pipeline_id", b"settings")
            for key, text in table.schema.metadata.items()
        }
        assert (names, metadata) != (table.column_names, table.schema.metadata)
        pq.write_table(table.rename_columns(names).replace_schema_metadata(metadata), path)
    assert_equal(scores.read(path), example())


@KINDS
def test_optional_columns_stay_absent(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scores{suffix}"
    bare = example(fold=None, group=None, person_a=None, person_b=None, llr=None)
    scores.write(path, bare)
    assert_equal(scores.read(path), bare)


@KINDS
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    rows=st.lists(
        st.tuples(NAMES, NAMES, st.booleans(), st.floats(-1, 1) | st.none()), min_size=1, max_size=9
    )
)
def test_any_table_round_trips(tmp_path: Path, suffix: str, rows: list[Any]) -> None:
    table = ScoreFile(
        a=texts(r[0] for r in rows),
        b=texts(r[1] for r in rows),
        same=np.array([r[2] for r in rows]),
        score=np.array([np.nan if r[3] is None else r[3] for r in rows], dtype=np.float64),
        failure=texts("why" if r[3] is None else "" for r in rows),
        about=About(protocol="p"),
    )
    path = tmp_path / f"any{suffix}"
    scores.write(path, table)
    assert_equal(scores.read(path), table)


def test_float32_scores_keep_their_value(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(50).astype(np.float32)
    table = ScoreFile(
        a=texts(map(str, range(50))),
        b=texts(map(str, range(50))),
        same=values > 0.5,
        score=values.astype(np.float64),
        failure=texts([""] * 50),
    )
    for suffix in (".csv", ".parquet"):
        scores.write(tmp_path / f"s{suffix}", table)
        again = scores.read(tmp_path / f"s{suffix}")
        assert again.score.astype(np.float32).tobytes() == values.tobytes()


def test_other_tools_read_both_kinds(tmp_path: Path) -> None:
    scores.write(tmp_path / "s.csv", example())
    scores.write(tmp_path / "s.parquet", example())
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == [
        "0.30000000000000004",
        "0.699999988079071",
        "",
        "-5e-324",
    ]
    assert rows[2]["failure"] == "no-face (b)"
    assert {row["model_sha256"] for row in rows} == {"ab"}
    table = pq.read_table(tmp_path / "s.parquet")
    assert table["score"].to_pylist() == [0.1 + 0.2, float(np.float32(0.7)), None, -5e-324]
    assert table["same"].type == pa.bool_()


def test_scores_of_another_system(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("a;b;same;score\n1.jpg;2.jpg;yes;0.5\n1.jpg;3.jpg;no;\n")
    table = scores.read(path)
    assert table.score[0] == 0.5
    assert table.failure.tolist() == ["", "not-scored"]
    assert (table.model, table.about.protocol) == ("", "theirs")
    pq.write_table(
        pa.table(
            {
                "a": ["1", "1"],
                "b": pa.array(["2", "3"]).dictionary_encode(),
                "same": [True, False],
                "score": pa.array([0.5, None], pa.float32()),
            }
        ),
        tmp_path / "theirs.parquet",
    )
    table = scores.read(tmp_path / "theirs.parquet")
    assert table.score[0] == 0.5
    assert table.failure.tolist() == ["", "not-scored"]


def test_metadata_of_a_later_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    scores.write(path, example())
    beside = tmp_path / "s.csv.meta.json"
    plain = json.loads(beside.read_text())
    beside.write_text(json.dumps({**plain, "invented_later": 1}))
    assert scores.read(path).about.to_dict() == example().about.to_dict()
    beside.unlink()
    assert scores.read(path).about == About(protocol="s")


@pytest.mark.parametrize("text", ["{", "[]", '{"notes": 1}', '{"operating_points": [{}]}'])
def test_broken_metadata_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.csv"
    scores.write(path, example())
    (tmp_path / "s.csv.meta.json").write_text(text)
    with pytest.raises(DataError, match=r"s\.csv\.meta\.json"):
        scores.read(path)


HEAD = "a,b,same,score"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,same\nx,y,1\n", "no column 'score'"),
        (f"{HEAD}\n", "a header without rows"),
        (f"{HEAD}\nx,y,1,0.5\nx,z,0,high\n", "row 3: score is 'high'"),
        (f"{HEAD}\nx,y,1,nan\n", "row 2: score is 'nan'"),
        (f"{HEAD}\nx,y,1,inf\n", "row 2: score is 'inf'"),
        (f"{HEAD}\nx,y,perhaps,0.5\n", "row 2: same is 'perhaps'"),
        (f"{HEAD},failure\nx,y,1,0.5,no-face\n", "row 2: a score and a failure"),
        (f"{HEAD},fold\nx,y,1,0.5,1.5\n", "row 2: fold is '1.5'"),
        (f"{HEAD},llr\nx,y,1,0.5,much\n", "row 2: llr is 'much'"),
        (f"{HEAD},person_a\nx,y,1,0.5,Ann\n", "people of one side only"),
        (f"{HEAD},model\nx,y,1,0.5,m\nx,z,0,0.1,n\n", "row 3: model is 'n' after 'm'"),
    ],
)
def test_csv_errors_name_row_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        scores.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": None}, "no column 'score'"),
        ({"score": ["x", "y"]}, "column 'score' holds string"),
        ({"score": [0.1, float("inf")]}, "row 2: score is inf"),
        ({"same": ["yes", "no"]}, "column 'same' holds string"),
        ({"same": [True, None]}, "1 empty cells"),
        ({"a": [1, 2]}, "column 'a' holds int64"),
        ({"b": ["x", None]}, "column 'b' has empty cells"),
        ({"failure": ["no-face", ""]}, "row 1: a score and a failure"),
        ({"model": ["m", "n"]}, "row 2: model is 'n' after 'm'"),
        ({"person_a": ["m", "n"]}, "people of one side only"),
        ({"fold": [1.5, 2.5]}, "column 'fold' holds double"),
    ],
)
def test_parquet_errors(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = tmp_path / "s.parquet"
    good: dict[str, Any] = {
        "a": ["1", "2"],
        "b": ["3", "4"],
        "same": [True, False],
        "score": [0.5, 0.1],
    }
    kept = {k: v for k, v in {**good, **columns}.items() if v is not None}
    pq.write_table(pa.table(kept), path)
    with pytest.raises(DataError, match=message) as caught:
        scores.read(path)
    assert str(path) in str(caught.value)


@KINDS
def test_files_that_are_none(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s{suffix}"
    with pytest.raises(DataError, match=str(path)):
        scores.read(path)
    path.write_bytes(b"\x00\xff\xfe garbage")
    with pytest.raises(DataError, match=str(path)):
        scores.read(path)


def test_other_extensions_are_refused(tmp_path: Path) -> None:
    for use in (scores.read, lambda path: scores.write(path, example())):
        with pytest.raises(DataError, match=r"scores\.xlsx.*\.parquet"):
            use(tmp_path / "scores.xlsx")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(DataError, match="taken"):
        scores.write(tmp_path / "taken" / "s.csv", example())


def test_a_score_and_a_failure_contradict_each_other() -> None:
    with pytest.raises(DataError, match="contradict"):
        example(failure=texts(["", "no-face (a)", "no-face (b)", ""]))
    with pytest.raises(DataError, match="fold"):
        example(fold=np.array([1]))
