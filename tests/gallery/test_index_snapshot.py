"""Snapshots: what was written comes back, or an error does."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError, GalleryKeyError
from visavis.gallery.index import snapshot
from visavis.gallery.index.template_index import IndexOptions, TemplateIndex

OPTIONS = IndexOptions(exact_up_to=50)


def units(count: int, dimension: int = 8) -> NDArray[np.float32]:
    out = np.random.default_rng(0).standard_normal((count, dimension)).astype(np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


class Cipher:
    def __init__(self) -> None:
        self.aead = AESGCM(bytes(32))

    def encrypt(self, body: bytes) -> bytes:
        assert len(body) <= snapshot.CHUNK + 100
        nonce = os.urandom(12)
        return nonce + self.aead.encrypt(nonce, body, None)

    def decrypt(self, sealed: bytes) -> bytes:
        try:
            return self.aead.decrypt(sealed[:12], sealed[12:], None)
        except InvalidTag as error:
            raise GalleryDamagedError("a chunk", "make it again") from error


def index(count: int = 400) -> TemplateIndex:
    out = TemplateIndex(8, options=OPTIONS)
    out.add(np.arange(count) * 3, units(count))
    return out


@pytest.mark.parametrize("sealed", [False, True])
def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path, sealed: bool) -> None:
    cipher, path = Cipher(), tmp_path / "index"
    cipher, decrypt = (cipher.encrypt, cipher.decrypt) if sealed else (None, None)
    index().save(path, state=1, cipher=cipher)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = {*range(120), *range(len(whole) - 60, len(whole)), *rng.integers(0, len(whole), 400)}
    for at in sorted(int(place) for place in places):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises((GalleryDamagedError, GalleryKeyError)):
            TemplateIndex.load(path, options=OPTIONS, decrypt=decrypt)
    for length in (0, 3, 16, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(GalleryDamagedError):
            TemplateIndex.load(path, options=OPTIONS, decrypt=decrypt)
    path.write_bytes(whole + b"x")
    with pytest.raises(GalleryDamagedError):
        TemplateIndex.load(path, options=OPTIONS, decrypt=decrypt)
    path.write_bytes(whole)
    again = TemplateIndex.load(path, options=OPTIONS, decrypt=decrypt)
    np.testing.assert_array_equal(again.vectors(again.ids()), units(400))


def test_sealed_files_hold_no_template_and_need_the_key(tmp_path: Path) -> None:
    cipher, made = Cipher(), index()
    made.save(tmp_path / "sealed", state=1, cipher=cipher.encrypt)
    made.save(tmp_path / "plain", state=1)
    rows = [row.tobytes() for row in made.vectors(made.ids())]
    sealed, plain = ((tmp_path / name).read_bytes() for name in ("sealed", "plain"))
    assert all(row in plain for row in rows)
    assert not any(row[:8] in sealed for row in rows)
    with pytest.raises(GalleryKeyError, match="is encrypted"):
        TemplateIndex.load(tmp_path / "sealed", options=OPTIONS)
    with pytest.raises(GalleryKeyError, match="is not encrypted"):
        TemplateIndex.load(tmp_path / "plain", options=OPTIONS, decrypt=cipher.decrypt)


def test_chunks_of_another_snapshot_are_noticed(tmp_path: Path) -> None:
    cipher, files = Cipher(), []
    for state in (1, 2):
        index().save(tmp_path / "index", state=state, cipher=cipher.encrypt)
        data, at, parts = (tmp_path / "index").read_bytes(), 16, []
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "little")
            parts.append(data[at:end])
            at = end
        files.append((data[:16], parts))
    (magic, mine), (_, theirs) = files
    assert len(mine) == len(theirs) > 4
    for at in range(len(mine)):
        mixed = [*mine[:at], theirs[at], *mine[at + 1 :]]
        (tmp_path / "index").write_bytes(magic + b"".join(mixed))
        with pytest.raises(GalleryDamagedError):
            TemplateIndex.load(tmp_path / "index", options=OPTIONS, decrypt=cipher.decrypt)


def test_a_removed_template_is_in_no_later_snapshot(tmp_path: Path) -> None:
    made = index()
    rows = made.vectors([0, 300, 399 * 3])
    made.remove([0, 300, 399 * 3])
    made.save(tmp_path / "index", state=1)
    data = (tmp_path / "index").read_bytes()
    assert not any(row.tobytes() in data for row in rows)
    assert made.vectors([3])[0].tobytes() in data


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path) -> None:
    path, made = tmp_path / "index", index()
    made.save(path, state=1)
    before = path.read_bytes()

    def broken(body: bytes) -> bytes:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made.save(path, state=2, cipher=broken)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["index"]
    assert made.state == 1


def test_another_version_and_an_empty_index(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with path.open("wb") as file:
        snapshot.Writer(file, {"dimension": 8}, cipher=None).end()
    with pytest.raises(GalleryDamagedError, match="version"):
        TemplateIndex.load(path, options=OPTIONS)
    TemplateIndex(8, options=OPTIONS).save(path, state=9)
    again = TemplateIndex.load(path, options=OPTIONS)
    assert (len(again), again.state, again.dimension) == (0, 9, 8)
    with pytest.raises(FileNotFoundError):
        TemplateIndex.load(tmp_path / "none", options=OPTIONS)


def test_chunks_of_any_size_come_back() -> None:
    parts = [b"", b"a", bytes(100_000), os.urandom(5)]
    file = io.BytesIO()
    writer = snapshot.Writer(file, {"x": [1]}, cipher=None)
    for part in parts:
        writer.write(part)
    writer.end()
    file.seek(0)
    reader = snapshot.Reader(file, path=Path("it"), decrypt=None)
    assert reader.header["x"] == [1]
    assert [bytes(reader.read()) for _ in parts] == parts
    reader.end()


def test_a_snapshot_of_coded_templates_is_made_again(tmp_path: Path) -> None:
    # Former versions could keep templates in fewer bytes.
    path = tmp_path / "index"
    header = {"dimension": 8, "count": 0, "state": 1, "codec": "SQ8", "owners": True, "scan": None}
    with path.open("wb") as file:
        writer = snapshot.Writer(file, header, cipher=None)
        writer.write(b"")
        writer.end()
    with pytest.raises(GalleryDamagedError, match="made again from the table"):
        TemplateIndex.load(path, options=OPTIONS)
