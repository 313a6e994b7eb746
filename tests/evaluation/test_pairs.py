"""Pair lists as people write them, and as they should not."""

from __future__ import annotations

from pathlib import Path

import pytest

from visavis.errors import DataError
from visavis.evaluation.protocols import lfw, pairs

A, B, C = (f"Person_00/Person_00_{k:04d}.jpg" for k in (1, 2, 3))
D = "Person_01/Person_01_0001.jpg"
GOOD = f"a,b,same\n{A},{B},1\n{A},{D},0\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_plain_list(tmp_path: Path, people: Path) -> None:
    protocol = pairs.read(write(tmp_path, GOOD), people)
    assert protocol.labels == (A, B, D)
    assert protocol.photos == tuple(people / label for label in (A, B, D))
    assert protocol.first.tolist() == [0, 0]
    assert protocol.second.tolist() == [1, 2]
    assert protocol.same.tolist() == [True, False]
    assert (protocol.fold, protocol.group, protocol.people, protocol.notes) == (None,) * 3 + ((),)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("a,b,same", " A , B ,SAME"),
        GOOD.replace(A, f'"{A}"'),
        GOOD + "\n,,\n",
        GOOD.replace(",1\n", ",Yes\n").replace(",0\n", ",no\n"),
        GOOD.replace(",1\n", ",TRUE\n").replace(",0\n", ", false \n"),
        GOOD.rstrip("\n"),
    ],
)
def test_what_spreadsheets_write_is_the_same_list(tmp_path: Path, people: Path, text: str) -> None:
    protocol = pairs.read(write(tmp_path, text), people)
    assert protocol.labels == (A, B, D)
    assert protocol.same.tolist() == [True, False]


def test_all_columns(tmp_path: Path, people: Path) -> None:
    text = (
        "same,group,b,extra,a,fold,person_a,person_b\n"
        f"1,Müller & Söhne,{B},x,{A},3,Ann,Ann\n"
        f'0,"gate, north",{D},y,{A},-1,Ann,Bob\n'
    )
    protocol = pairs.read(write(tmp_path, text), people)
    assert protocol.fold is not None
    assert protocol.fold.tolist() == [3, -1]
    assert protocol.group == ("Müller & Söhne", "gate, north")
    assert protocol.people == ("Ann", "Ann", "Bob")


def test_names_in_any_script(tmp_path: Path, people: Path, encoded) -> None:
    names = ["Žofie, „Žo“ Nováková.jpg", "小林 さくら.jpg", 'quo"te.jpg']
    for name in names:
        (people / name).write_bytes(encoded(100))
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    text = f"a,b,same\n{quoted[0]},{quoted[1]},1\n{quoted[1]},{quoted[2]},0\n"
    protocol = pairs.read(write(tmp_path, text), people)
    assert protocol.labels == tuple(names)
    assert all(path.is_file() for path in protocol.photos)  # type: ignore[union-attr]


def test_paths_start_from_the_list_where_no_root_is_given(people: Path) -> None:
    assert pairs.read(write(people, GOOD)).photos[0] == people / A


def test_a_repeated_pair_is_noted(tmp_path: Path, people: Path) -> None:
    protocol = pairs.read(write(tmp_path, GOOD + f"{B},{A},1\n{A},{B},1\n"), people)
    assert len(protocol) == 4
    assert protocol.notes == ("2 rows repeat a pair of the list.",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("a,b\n", "no column 'same'"),
        ("a,b,same,A\n", "column 'a' occurs twice"),
        ("a,b,same\n", "a header without rows"),
        (f"a,b,same\n{A},{B},1\n", "1 pairs, all mated"),
        (f"a,b,same\n{A},{B},0\n", "1 pairs, all non-mated"),
        (f"a,b,same\n{A},{B},1\n{A},{D},maybe\n", "row 3: same is 'maybe'.*write 1"),
        (f"a,b,same\n{A},{B}\n", "row 2: 2 cells under 3 columns"),
        (f"a,b,same\n{A},{B},1,2\n", "row 2: 4 cells under 3 columns"),
        (f"a,b,same\n{A},,1\n", "row 2: column b is empty"),
        (f"a,b,same\n{A},{A},1\n", "row 2: .* is compared with itself"),
        (f"a,b,same\n{A},x\0y,1\n", "row 2: .*NUL"),
        (f"a,b,same\n{A},{B},1\n{B},{A},0\n", "row 3: .* are the same and different"),
        (f"a,b,same,fold\n{A},{B},1,one\n", "row 2: fold is 'one'"),
        (f"a,b,same,fold\n{A},{B},1,{10**30}\n", "row 2: fold is"),
        (f'a,b,same\n"{A},{B},1\n', "row 2: "),
        (f"a,b,same,person_a\n{A},{B},1,Ann\n", "person_a without person_b"),
        (f"a,b,same,person_a,person_b\n{A},{B},1,Ann,Bob\n", "row 2: same contradicts"),
        (f"a,b,same,person_a,person_b\n{A},{B},1,,\n", "row 2: a person has no name"),
        (
            f"a,b,same,person_a,person_b\n{A},{B},1,Ann,Ann\n{A},{D},0,Eve,Bob\n",
            "row 3: .* is Eve, but Ann above",
        ),
        ("a,b,same\nnone.jpg,nowhere.jpg,1\nnone.jpg,x.jpg,0\n", "none of its 3 photos.*--root"),
        (GOOD.encode() + b"\xff\xfe", "byte .* is not UTF-8"),
    ],
)
def test_errors_name_the_row_and_the_remedy(
    tmp_path: Path, people: Path, text: str | bytes, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        pairs.read(path, people)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv"):
        pairs.read(tmp_path / "gone.csv")


@pytest.mark.parametrize("view", [1, 2])
def test_a_written_list_reads_back(tmp_path: Path, tiny_lfw: Path, view: int) -> None:
    protocol = lfw.view(view, tiny_lfw)
    path = tmp_path / "view.csv"
    pairs.write(path, protocol)
    again = pairs.read(path, tiny_lfw / "lfw-deepfunneled")
    for name in ("photos", "labels", "group", "people"):
        assert getattr(again, name) == getattr(protocol, name)
    for name in ("first", "second", "same"):
        assert getattr(again, name).tolist() == getattr(protocol, name).tolist()
    if protocol.fold is None:
        assert again.fold is None
    else:
        assert again.fold is not None
        assert again.fold.tolist() == protocol.fold.tolist()
