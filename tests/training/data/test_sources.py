"""Layouts of photos of people, and pair lists joined to people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import DataError, ImageNotFoundError, OptionError
from visavis.training.data import sources


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def listed(root: Path, **options: str) -> list[tuple[str, str]]:
    return [(p.person, p.name) for p in sources.folders(root, **options)]  # type: ignore[arg-type]


def test_a_folder_a_person(tmp_path: Path) -> None:
    touch(tmp_path, "Bo/1.jpg", "Ann/deep/2.png", "Ann/1.JPG", "Ann/notes.txt", ".x/1.jpg", "1.jpg")
    assert listed(tmp_path) == [
        ("Ann", "Ann/1.JPG"),
        ("Ann", "Ann/deep/2.png"),
        ("Bo", "Bo/1.jpg"),
    ]
    (photo, *_) = sources.folders(tmp_path)
    assert photo.read() == b"x"
    photo.path.unlink()
    with pytest.raises(ImageNotFoundError):
        photo.read()


def test_an_archive_that_unpacks_into_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "CASIA-WebFace/0000045/001.jpg", "CASIA-WebFace/0000099/001.jpg")
    assert [person for person, _ in listed(tmp_path)] == ["0000045", "0000099"]


def test_one_person_alone_is_a_person(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/1.jpg")
    assert listed(tmp_path) == [("Ann", "Ann/1.jpg")]


@pytest.mark.parametrize("above", ["", "VGG-Face2/data/"])
def test_vggface2(tmp_path: Path, above: str) -> None:
    touch(tmp_path, f"{above}train/n000002/0001_01.jpg", f"{above}test/n000001/0002_01.jpg")
    assert listed(tmp_path) == [("n000002", f"{above}train/n000002/0001_01.jpg")]
    assert listed(tmp_path, part="test") == [("n000001", f"{above}test/n000001/0002_01.jpg")]


def test_a_missing_part(tmp_path: Path) -> None:
    touch(tmp_path, "test/n000001/1.jpg")
    with pytest.raises(DataError, match="train"):
        sources.folders(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        sources.folders(tmp_path)
    with pytest.raises(DataError, match="none"):
        sources.folders(tmp_path / "none")
    with pytest.raises(OptionError, match="part"):
        sources.folders(tmp_path, part="validation")  # type: ignore[arg-type]


def joined(count: int, pairs: list[tuple[int, int, bool]], people: list[str] | None = None):
    names = [f"{k}.jpg" for k in range(count)]
    first, second, same = zip(*pairs, strict=True) if pairs else ((), (), ())
    return sources.of_pairs(
        [Path(name) for name in names], names, first=first, second=second, same=same, people=people
    )


def components(count: int, pairs: list[tuple[int, int, bool]]) -> list[int]:
    """Smallest photo that mated pairs lead to, by repeated relabelling."""
    label = list(range(count))
    for _ in range(count):
        for a, b, same in pairs:
            if same:
                label[a] = label[b] = min(label[a], label[b])
    return label


@given(st.data())
@settings(deadline=None)
def test_mated_pairs_join_photos_to_people(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    photo = st.integers(0, count - 1)
    rows = data.draw(st.lists(st.tuples(photo, photo, st.booleans()), max_size=14))
    pairs = [row for row in rows if row[0] != row[1]]
    label = components(count, pairs)
    if any(not same and label[a] == label[b] for a, b, same in pairs):
        with pytest.raises(DataError, match=r"\d\.jpg and \d+\.jpg"):
            joined(count, pairs)
        return
    photos = joined(count, pairs)
    assert [p.name for p in photos] == [f"{k}.jpg" for k in range(count)]
    assert [p.person for p in photos] == [f"{k}.jpg" for k in label]


def test_named_people_count_and_must_fit() -> None:
    pairs = [(0, 1, True), (1, 2, False)]
    assert [p.person for p in joined(4, pairs, ["a", "a", "b", "a"])] == ["a", "a", "b", "a"]
    with pytest.raises(DataError, match="own row"):
        joined(4, pairs, ["a", "b", "c", "a"])


def test_rows_of_pairs_may_be_arrays() -> None:
    photos = sources.of_pairs(
        [Path("a"), Path("b")], ["a", "b"],
        first=np.array([0]), second=np.array([1]), same=np.array([True]),
    )  # fmt: skip
    assert {photo.person for photo in photos} == {"a"}
