"""Whose photo is whose."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import DataError
from visavis.identification import PersonPhoto, of_folders, of_one, of_table
from visavis.identification.photos import strays


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def listed(photos: list[PersonPhoto], root: Path) -> list[tuple[str, str]]:
    return [(p.person, p.photo.relative_to(root).as_posix()) for p in photos]


def test_a_folder_a_person(tmp_path: Path) -> None:
    touch(tmp_path, "Bob/2.jpg", "Bob/1.JPG", "Ann/deep/er.png", "Ann/notes.txt", "stray.jpg")
    touch(tmp_path, ".hidden/1.jpg", "Ann/.thumbs/1.jpg", "Empty/readme.md")
    assert listed(of_folders(tmp_path), tmp_path) == [
        ("Ann", "Ann/deep/er.png"), ("Bob", "Bob/1.JPG"), ("Bob", "Bob/2.jpg"),
    ]  # fmt: skip
    assert strays(tmp_path) == [tmp_path / "stray.jpg"]


def test_one_person(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "more/b.jpg", "more/deep/c.jpg")
    found = of_one("Ann", [tmp_path / "a.jpg", tmp_path / "more"])
    assert listed(found, tmp_path) == [
        ("Ann", "a.jpg"), ("Ann", "more/b.jpg"), ("Ann", "more/deep/c.jpg"),
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["missing", "a file", "empty", "photos without folders"])
def test_no_folder_of_folders(tmp_path: Path, what: str) -> None:
    touch(tmp_path, "file", "flat/1.jpg")
    (tmp_path / "empty").mkdir()
    path = {"missing": "nowhere", "a file": "file", "photos without folders": "flat"}.get(
        what, what
    )
    with pytest.raises(DataError, match=path):
        of_folders(tmp_path / path)


def test_an_empty_folder_of_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        of_one("Ann", [tmp_path])


def test_a_table(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text(
        "\ufeffPerson,Path,attributes,floor\n"
        'Ann,a.jpg,"{""keys"": [1, 2]}",3\n'
        "Bob,/abs/b.jpg,,\n"
        "\n"
        "Ann,deep/c.jpg,,3\n",
        encoding="utf-8",
    )
    found = of_table(table)
    assert [(p.person, p.photo) for p in found] == [
        ("Ann", tmp_path / "a.jpg"), ("Ann", tmp_path / "deep/c.jpg"), ("Bob", Path("/abs/b.jpg")),
    ]  # fmt: skip
    assert [p.attributes for p in found] == [
        {"keys": [1, 2], "floor": "3"}, {"keys": [1, 2], "floor": "3"}, {},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no column person and no column path"),
        (b"name,file\nA,b.jpg\n", "no column person and no column path, but name, file"),
        (b"person,file\nA,b.jpg\n", "no column path"),
        (b"person,path\n", "without rows"),
        (b"person,path\nA,\n", "line 2: no path"),
        (b"person,path\n,b.jpg\n", "line 2: no person"),
        (b"person,path\nA,b.jpg,extra\n", "line 2: 3 cells under 2 columns"),
        (b"person,path,path\nA,b.jpg,c.jpg\n", "two columns of one name"),
        (b'person,path,attributes\nA,b.jpg,"[1]"\n', "line 2: attributes"),
        (b'person,path,attributes\nA,b.jpg,"{"\n', "line 2: attributes"),
        (b"person,path,x\nA,b.jpg,1\nA,c.jpg,2\n", "line 3: x of A is '2', and '1' on line 2"),
        ("person,path\nZoë,b.jpg\n".encode("latin-1"), "not UTF-8"),
        ("person,path\nZoe,b.jpg\n".encode("utf-16"), "not UTF-8"),
        (b'person,path\n"A,b.jpg\n', "CSV|csv|unexpected end"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path: Path, content: bytes, why: str) -> None:
    table = tmp_path / "people.csv"
    table.write_bytes(content)
    with pytest.raises(DataError, match=why) as raised:
        of_table(table)
    assert str(table) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        of_table(tmp_path / "none.csv")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, content: bytes) -> None:
    table = tmp_path_factory.getbasetemp() / "any.csv"
    table.write_bytes(b"person,path\n" + content)
    try:
        found = of_table(table)
    except DataError:
        return
    assert found
    assert all(photo.person.strip() for photo in found)
