"""The lists of Labeled Faces in the Wild, in its layouts, well and badly formed."""

from __future__ import annotations

from pathlib import Path

import pytest

from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols import lfw as protocol


def test_view_1_keeps_listed_order(tiny_lfw: Path) -> None:
    view = protocol.view(1, tiny_lfw)
    assert (len(view), int(view.same.sum()), view.fold) == (24, 12, None)
    first, second = view.labels[view.first[0]], view.labels[view.second[0]]
    assert (first, second) == (
        "Person_00/Person_00_0001.jpg",
        "Person_00/Person_00_0002.jpg",
    )
    assert view.labels[view.second[23]] == "Person_05/Person_05_0001.jpg"
    assert view.photos[0] == tiny_lfw / "lfw-deepfunneled" / view.labels[0]
    assert len(set(view.labels)) == len(view.labels)
    assert view.people is not None
    same = [view.people[i] == view.people[j] for i, j in zip(view.first, view.second, strict=True)]
    assert same == view.same.tolist()


def test_view_1_train(tiny_lfw: Path) -> None:
    assert protocol.view(1, tiny_lfw, part="train").same.tolist() == [True, True, False, False]


def test_view_2_has_folds(tiny_lfw: Path) -> None:
    view = protocol.view(2, tiny_lfw)
    assert view.fold is not None
    assert view.fold.tolist() == [1] * 8 + [2] * 8 + [3] * 8
    assert view.same.tolist() == ([True] * 4 + [False] * 4) * 3


def test_people(tiny_lfw: Path) -> None:
    train = protocol.people(tiny_lfw, "train")
    assert list(train) == ["Person_00", "Person_01"]
    assert [p.name for p in train["Person_01"]] == [f"Person_01_{k:04d}.jpg" for k in (1, 2, 3)]
    assert all(path.is_file() for own in train.values() for path in own)
    assert len(protocol.people(tiny_lfw, "test")["Person_02"]) == 2


@pytest.mark.parametrize(
    "layout", ["lfw", "lfw_funneled", "lfw-deepfunneled/lfw-deepfunneled", "."]
)
def test_layouts(tiny_lfw: Path, layout: str) -> None:
    photos = tiny_lfw / "lfw-deepfunneled"
    if layout == ".":
        for folder in list(photos.iterdir()):
            folder.rename(tiny_lfw / folder.name)
        photos.rmdir()
    else:
        moved = photos.rename(tiny_lfw / "moved")
        (tiny_lfw / layout).parent.mkdir(exist_ok=True)
        moved.rename(tiny_lfw / layout)
    assert all(path.is_file() for path in protocol.view(1, tiny_lfw).photos)


def test_a_folder_that_is_not_lfw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--root or VISAVIS_LFW"):
        protocol.view(1, tmp_path)


def test_a_missing_list_is_named(tiny_lfw: Path) -> None:
    (tiny_lfw / "pairs.txt").unlink()
    with pytest.raises(DataError, match=r"pairs\.txt"):
        protocol.view(2, tiny_lfw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("x\n", "line 1: 'x'"),
        ("1\nPerson_00\t1\t2\n", "1 pairs where the first line announces 2"),
        ("1\nPerson_00\t1\tx\nPerson_00\t1\tPerson_01\t1\n", "line 2.*name number number"),
        ("1\nPerson_00\t1\t2\nPerson_00\t1\t2\n", "line 3.*name number name number"),
        ("1\nPerson_77\t1\t2\nPerson_78\t1\tPerson_79\t2\n", "none of its 4 photos exists"),
    ],
)
def test_broken_lists_are_refused(tiny_lfw: Path, text: str, message: str) -> None:
    (tiny_lfw / "pairsDevTest.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        protocol.view(1, tiny_lfw)


@pytest.mark.parametrize("text", ["", "2\nPerson_00\t3\n", "1\nPerson_00\n", "1\nPerson_00\tx\n"])
def test_broken_lists_of_people_are_refused(tiny_lfw: Path, text: str) -> None:
    (tiny_lfw / "peopleDevTest.txt").write_text(text)
    with pytest.raises(DataError, match=r"peopleDevTest\.txt"):
        protocol.people(tiny_lfw, "test")


def test_other_views_and_parts_are_refused(tiny_lfw: Path) -> None:
    with pytest.raises(OptionError, match="view 3"):
        protocol.view(3, tiny_lfw)
    with pytest.raises(OptionError, match="'train'"):
        protocol.view(2, tiny_lfw, part="train")
    with pytest.raises(OptionError, match="'all'"):
        protocol.people(tiny_lfw, "all")  # type: ignore[arg-type]


@pytest.mark.lfw
def test_the_real_lists(lfw: Path) -> None:
    one, train, two = (
        protocol.view(1, lfw),
        protocol.view(1, lfw, part="train"),
        protocol.view(2, lfw),
    )
    assert [len(v) for v in (one, train, two)] == [1000, 2200, 6000]
    assert [int(v.same.sum()) for v in (one, train, two)] == [500, 1100, 3000]
    assert two.fold is not None
    assert two.fold.tolist() == [k for k in range(1, 11) for _ in range(600)]
    # In View 2 nobody is in two folds.
    assert two.people is not None
    folds_of: dict[str, set[int]] = {}
    for i, j, fold in zip(two.first, two.second, two.fold, strict=True):
        folds_of.setdefault(two.people[i], set()).add(int(fold))
        folds_of.setdefault(two.people[j], set()).add(int(fold))
    assert all(len(folds) == 1 for folds in folds_of.values())
    people = protocol.people(lfw, "train"), protocol.people(lfw, "test")
    assert [len(p) for p in people] == [4038, 1711]
    assert not set(people[0]) & set(people[1])
