"""A pack gives back what was put in, and says so when it cannot."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import DataError, OptionError
from visavis.training.data.pack import (
    START,
    Pack,
    SkippedPhoto,
    finish,
    open_pack,
    read_index,
    write_pack,
)


def some_crops(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def small(path: Path, seed: int = 0) -> Pack:
    return write_pack(
        path,
        some_crops(5, seed=seed),
        [0, 0, 1, 1, 1],
        ["Ann", "Bo"],
        [f"photo_{k}.jpg" for k in range(5)],
        size=8,
        scale=0.85,
        origin="a test",
        left_out=[SkippedPhoto("Bo/empty.jpg", "no-face", "nobody there")],
    )


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    size=st.integers(1, 6),
    scale=st.floats(0.3, 2),
    odd=st.text(st.characters(codec="utf-8"), max_size=5) | st.just("\udcff"),
)
@settings(deadline=None, max_examples=60)
def test_round_trip(labels: list[int], size: int, scale: float, odd: str) -> None:
    known = sorted(set(labels))
    rows = [known.index(label) for label in labels]
    people = [f"{odd}{k}" for k in range(len(known))]
    names = [f"{people[row]}/{k}{odd}" for k, row in enumerate(rows)]
    crops = some_crops(len(rows), size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pack"
        write_pack(path, crops, rows, people, names, size=size, scale=scale, origin=odd)
        pack = open_pack(path)
        pack.verify()
        assert (pack.size, pack.scale, pack.origin) == (size, scale, odd)
        assert pack.people == tuple(people)
        assert pack.crops.shape == crops.shape
        # Sorted by person, stable within one, every crop still with its name and person.
        assert pack.labels.tolist() == sorted(rows)
        expected = [
            n for p in range(len(known)) for n, r in zip(names, rows, strict=True) if r == p
        ]
        assert pack.names == tuple(expected)
        for crop, label, name in zip(pack.crops, pack.labels, pack.names, strict=True):
            k = names.index(name)
            assert label == rows[k]
            assert np.array_equal(crop, crops[k])
        pack.close()


def test_what_a_pack_carries(tmp_path: Path) -> None:
    pack = small(tmp_path / "a.pack")
    assert len(pack) == 5
    assert isinstance(pack.crops, np.memmap)
    assert not pack.crops.flags.writeable
    assert pack.left_out == (SkippedPhoto("Bo/empty.jpg", "no-face", "nobody there"),)
    assert pack.sources == ("",) * 5
    again = pickle.loads(pickle.dumps(pack))
    assert again.fingerprint == pack.fingerprint
    assert isinstance(again.crops, np.memmap)
    assert len(pickle.dumps(pack)) < 500
    pack.close()
    assert len(pack.crops) == 0


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    first = small(tmp_path / "a.pack")
    assert small(tmp_path / "b.pack").fingerprint == first.fingerprint
    assert small(tmp_path / "c.pack", seed=1).fingerprint != first.fingerprint


def test_another_pack_in_its_place_is_seen_by_workers(tmp_path: Path) -> None:
    wire = pickle.dumps(small(tmp_path / "a.pack"))
    small(tmp_path / "a.pack", seed=1)
    with pytest.raises(DataError):
        pickle.loads(wire)


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=80)
def test_a_flipped_bit_anywhere_that_counts_is_an_error(at: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pack"
        small(path)
        data = bytearray(path.read_bytes())
        # Header, crops or index; between header and crops lies a page of zeros that nobody reads.
        places = [*range(68), *range(START, len(data))]
        data[places[int(at * len(places))]] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"x\.pack"):
            open_pack(path).verify()


@given(keep=st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=60)
def test_a_cut_off_file_is_an_error(keep: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pack"
        small(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data))])
        with pytest.raises(DataError, match=r"x\.pack"):
            open_pack(path)


def test_verify_names_the_damaged_crop(tmp_path: Path) -> None:
    path = tmp_path / "x.pack"
    small(path).close()
    with path.open("r+b") as file:
        file.seek(START + 3 * 8 * 8 * 3 + 7)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 16]))
    pack = open_pack(path)
    with pytest.raises(DataError, match=r"crop of photo_3\.jpg"):
        pack.verify()


def test_digests_are_halved_sha256(tmp_path: Path) -> None:
    pack = small(tmp_path / "a.pack")
    expected = hashlib.sha256(np.array(pack.crops[2]).tobytes()).hexdigest()[:32]
    assert pack.digests[2] == expected


def test_a_longer_file_and_other_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.pack"
    small(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=str(path)):
        open_pack(path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"photo\.jpg"):
        open_pack(tmp_path / "photo.jpg")
    with pytest.raises(DataError, match=r"none\.pack"):
        open_pack(tmp_path / "none.pack")
    with pytest.raises(DataError, match=str(tmp_path)):
        open_pack(tmp_path)


@pytest.mark.parametrize(
    ("labels", "people", "names", "match"),
    [
        ([0, 1], ["a"], ["x", "y"], "labels of 2 people"),
        ([0, 0], ["a", "b"], ["x", "y"], "labels of 1 people"),
        ([0, 0], ["a"], ["x", "x"], "names that repeat"),
        ([0, 1], ["a", "a"], ["x", "y"], "people that repeat"),
        ([0], ["a"], ["x", "y"], "2 crops, 1 labels"),
        ([0.0, 1.0], ["a", "b"], ["x", "y"], "labels of shape"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, labels: list[int], people: list[str], names: list[str], match: str
) -> None:
    with pytest.raises(OptionError, match=match):
        write_pack(tmp_path / "x", some_crops(2), labels, people, names, size=8, scale=1, origin="")
    assert not (tmp_path / "x").exists()


def test_crops_of_another_size_are_refused_and_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\(9, 9, 3\)"):
        write_pack(tmp_path / "x", some_crops(1), [0], ["a"], ["b"], size=9, scale=1, origin="")
    with pytest.raises(OptionError, match="crops"):
        write_pack(tmp_path / "x", [], [], [], [], size=9, scale=1, origin="")
    with pytest.raises(DataError, match="no/x"):
        write_pack(
            tmp_path / "no" / "x", some_crops(1), [0], ["a"], ["b"], size=8, scale=1, origin=""
        )
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_other_types_is_refused_by_its_field(tmp_path: Path) -> None:
    """Its hash fits, so another program wrote it."""
    path = tmp_path / "odd.pack"
    crop = np.zeros((1, 8, 8, 3), np.uint8)
    write_pack(path, crop, [0], ["A"], ["A/1"], size=8, scale=1.0, origin="black")
    with path.open("r+b") as file:
        finish(file, dataclasses.replace(read_index(path), labels=["first"]))  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"odd\.pack.*\$\.labels"):
        open_pack(path)
