"""Snapshots: what was written comes back, or an error does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError
from visavis.gallery.crypto.value_cipher import AesCipher, PlainCipher, ValueCipher
from visavis.gallery.index.template_index import IndexOptions, TemplateIndex

OPTIONS = IndexOptions(exact_up_to=50)


def units(count: int, dimension: int = 8) -> NDArray[np.float32]:
    out = np.random.default_rng(0).standard_normal((count, dimension)).astype(np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


PLAIN, SEALED = PlainCipher(bytes(32)), AesCipher(bytes(32))


def index(count: int = 400) -> TemplateIndex:
    out = TemplateIndex(8, options=OPTIONS)
    out.add(np.arange(count) * 3, units(count))
    return out


@pytest.mark.parametrize("cipher", [PLAIN, SEALED], ids=["plain", "sealed"])
def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path, cipher: ValueCipher) -> None:
    path = tmp_path / "index"
    index().save(path, state=1, cipher=cipher)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = {*range(120), *range(len(whole) - 60, len(whole)), *rng.integers(0, len(whole), 400)}
    for at in sorted(int(place) for place in places):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(GalleryDamagedError):
            TemplateIndex.load(path, options=OPTIONS, cipher=cipher)
    for length in (0, 3, 16, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(GalleryDamagedError):
            TemplateIndex.load(path, options=OPTIONS, cipher=cipher)
    path.write_bytes(whole + b"x")
    with pytest.raises(GalleryDamagedError):
        TemplateIndex.load(path, options=OPTIONS, cipher=cipher)
    path.write_bytes(whole)
    again = TemplateIndex.load(path, options=OPTIONS, cipher=cipher)
    np.testing.assert_array_equal(again.vectors(again.ids()), units(400))


def test_sealed_files_hold_no_template_and_need_the_key(tmp_path: Path) -> None:
    made = index()
    made.save(tmp_path / "sealed", state=1, cipher=SEALED)
    made.save(tmp_path / "plain", state=1, cipher=PLAIN)
    rows = [row.tobytes() for row in made.vectors(made.ids())]
    sealed, plain = ((tmp_path / name).read_bytes() for name in ("sealed", "plain"))
    assert all(row in plain for row in rows)
    assert not any(row[:8] in sealed for row in rows)
    for name, cipher in (("sealed", PLAIN), ("plain", SEALED), ("sealed", AesCipher(b"x" * 32))):
        with pytest.raises(GalleryDamagedError):
            TemplateIndex.load(tmp_path / name, options=OPTIONS, cipher=cipher)


@pytest.mark.parametrize("cipher", [PLAIN, SEALED], ids=["plain", "sealed"])
def test_chunks_of_another_snapshot_or_place_are_noticed(
    tmp_path: Path, cipher: ValueCipher
) -> None:
    files = []
    for state in (1, 2):
        index().save(tmp_path / "index", state=state, cipher=cipher)
        data, at, parts = (tmp_path / "index").read_bytes(), 0, []
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "little")
            parts.append(data[at:end])
            at = end
        files.append(parts)
    mine, theirs = files
    assert len(mine) == len(theirs) > 4
    for at in range(len(mine)):
        swapped = mine.copy()
        swapped[at], swapped[at - 1] = swapped[at - 1], swapped[at]
        for mixed in ([*mine[:at], theirs[at], *mine[at + 1 :]], swapped):
            (tmp_path / "index").write_bytes(b"".join(mixed))
            with pytest.raises(GalleryDamagedError):
                TemplateIndex.load(tmp_path / "index", options=OPTIONS, cipher=cipher)
    (tmp_path / "other").write_bytes(b"".join(mine))
    with pytest.raises(GalleryDamagedError):
        TemplateIndex.load(tmp_path / "other", options=OPTIONS, cipher=cipher)


def test_a_removed_template_is_in_no_later_snapshot(tmp_path: Path) -> None:
    made = index()
    rows = made.vectors([0, 300, 399 * 3])
    made.remove([0, 300, 399 * 3])
    made.save(tmp_path / "index", state=1, cipher=PLAIN)
    data = (tmp_path / "index").read_bytes()
    assert not any(row.tobytes() in data for row in rows)
    assert made.vectors([3])[0].tobytes() in data


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path) -> None:
    path, made = tmp_path / "index", index()
    made.save(path, state=1, cipher=PLAIN)
    before = path.read_bytes()

    class Broken(PlainCipher):
        def encrypt(self, data: bytes, about: bytes, /) -> bytes:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made.save(path, state=2, cipher=Broken(bytes(32)))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["index"]
    assert made.state == 1


def test_another_version_and_an_empty_index(tmp_path: Path) -> None:
    path = tmp_path / "index"
    TemplateIndex(8, options=OPTIONS).save(path, state=9, cipher=PLAIN)
    again = TemplateIndex.load(path, options=OPTIONS, cipher=PLAIN)
    assert (len(again), again.state, again.dimension) == (0, 9, 8)
    with pytest.raises(FileNotFoundError):
        TemplateIndex.load(tmp_path / "none", options=OPTIONS, cipher=PLAIN)
    for content in (b"visavis index 1\n" + bytes(500), b"", _sealed(path, b'{"dimension": 8}')):
        path.write_bytes(content)
        with pytest.raises(GalleryDamagedError):
            TemplateIndex.load(path, options=OPTIONS, cipher=PLAIN)


def _sealed(path: Path, header: bytes) -> bytes:
    sealed = PLAIN.encrypt(header, f"index {path.name}  1".encode())
    return len(sealed).to_bytes(4, "little") + sealed
