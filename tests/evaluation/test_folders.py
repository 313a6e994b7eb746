"""Pairs among folders of people."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols import folders


def test_all_pairs(people: Path) -> None:
    protocol = folders.read(people)
    expected = set(combinations(range(36), 2))
    listed = list(zip(protocol.first.tolist(), protocol.second.tolist(), strict=True))
    assert set(listed) == expected
    assert len(listed) == len(expected)
    assert protocol.people is not None
    for (i, j), same in zip(listed, protocol.same, strict=True):
        assert same == (protocol.people[i] == protocol.people[j])
        assert protocol.labels[i].split("/")[0] == protocol.people[i]
    assert protocol.notes == ("Pairs: all 36 mated ones.", "Pairs: all 594 non-mated ones.")


def test_a_sample_has_no_pair_twice_and_follows_its_seed(people: Path) -> None:
    one, again, other = (folders.read(people, most=20, seed=s) for s in (1, 1, 2))
    pairs = [
        list(zip(p.first.tolist(), p.second.tolist(), strict=True)) for p in (one, again, other)
    ]
    assert pairs[0] == pairs[1] != pairs[2]
    assert len(set(pairs[0])) == len(pairs[0]) == 40
    assert int(one.same.sum()) == 20
    assert one.people is not None
    assert [one.people[i] == one.people[j] for i, j in pairs[0]] == one.same.tolist()
    assert "20 drawn (seed 1) of 594 non-mated" in one.notes[1]


def test_every_pair_is_drawn_equally_often() -> None:
    """Of people of all sizes; the counts of 400 draws are binomial."""
    sizes = (1, 5, 2, 1, 7)
    people = {str(k): [Path(f"{k}/{n}") for n in range(size)] for k, size in enumerate(sizes)}
    counts = {True: Counter[tuple[int, int]](), False: Counter[tuple[int, int]]()}
    for seed in range(400):
        drawn = folders.among(people, name="x", root=Path(), most=8, seed=seed)
        rows = zip(drawn.same.tolist(), drawn.first.tolist(), drawn.second.tolist(), strict=True)
        for same, i, j in rows:
            counts[same][i, j] += 1
    owner = [person for person, size in enumerate(sizes) for _ in range(size)]
    for same, found in counts.items():
        every = {(i, j) for i, j in combinations(range(16), 2) if (owner[i] == owner[j]) == same}
        assert found.keys() == every
        share = 8 / len(every)
        spread = (400 * share * (1 - share)) ** 0.5
        assert max(abs(count - 400 * share) for count in found.values()) < 5 * spread


@pytest.mark.timeout(60)
def test_one_person_with_nearly_all_photos_needs_no_luck() -> None:
    """Drawn blind, one pair in 20,000 would be of two people."""
    people = {"a": [Path(f"a/{k}") for k in range(40_000)], "b": [Path("b/0")]}
    drawn = folders.among(people, name="x", root=Path(), most=10_000)
    assert int(drawn.same.sum()) == len(drawn.same) // 2 == 10_000
    assert set(drawn.second[~drawn.same].tolist()) == {40_000}
    assert len(set(drawn.first[~drawn.same].tolist())) == 10_000


def test_what_is_not_a_photo_is_left_out(people: Path) -> None:
    (people / "Person_00" / "notes.txt").write_text("x")
    (people / "Person_00" / "._Person_00_0001.jpg").write_text("x")
    (people / "loose.jpg").write_text("x")
    (people / ".hidden").mkdir()
    (people / "Empty").mkdir()
    assert len(folders.read(people).photos) == 36


@pytest.mark.parametrize("content", [[], ["Ann/1.jpg", "Ann/2.jpg"], ["Ann/1.jpg", "Bob/1.jpg"]])
def test_too_few_people_or_photos(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=str(tmp_path)):
        folders.read(tmp_path)


def test_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        folders.read(tmp_path / "gone")


def test_no_pairs_at_all(people: Path) -> None:
    with pytest.raises(OptionError, match="0 pairs"):
        folders.read(people, most=0)
