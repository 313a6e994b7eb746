"""Pickled sets: read what was written, by either Python, and nothing that could run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import KFold

from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols import bin as sets

SAME = [True, False, True, False]


@pytest.fixture
def images(encoded) -> list[bytes]:
    """Eight different crops."""
    return [encoded(20 * k, seed=k) for k in range(8)]


def python2_pickle(images: list[bytes], same: list[bool]) -> bytes:
    """Protocol 2 as Python 2 wrote it: its strings are what we call bytes."""
    out = b"\x80\x02]("
    for image in images:
        out += b"T" + struct.pack("<i", len(image)) + image
    out += b"e](" + b"".join(b"\x88" if flag else b"\x89" for flag in same) + b"e\x86."
    return out


def test_round_trip(tmp_path: Path, images: list[bytes]) -> None:
    path = tmp_path / "set.bin"
    sets.write(path, images, SAME)
    protocol = sets.read(path)
    pairs = [
        protocol.photos[k]
        for i, j in zip(protocol.first, protocol.second, strict=True)
        for k in (i, j)
    ]
    assert pairs == images
    assert protocol.same.tolist() == SAME
    assert protocol.aligned
    assert protocol.labels[:2] == ("set/0", "set/1")


def test_pixels_are_kept_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    path = tmp_path / "set.bin"
    sets.write(path, list(crops), np.array([True, False]))
    read = sets.read(path)
    assert read.aligned
    assert read.same.tolist() == [True, False]
    for crop, photo in zip(crops, read.photos, strict=True):
        with Image.open(io.BytesIO(photo)) as image:
            assert np.array_equal(np.asarray(image), crop)
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((112, 112, 3)),
        np.zeros((112, 112), np.uint8),
        np.zeros((112, 112, 4), np.uint8),
        np.zeros((0, 112, 3), np.uint8),
        b"no image",
    ],
    ids=["float", "gray", "four channels", "empty", "bytes"],
)
def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, images: list[bytes], image: Any
) -> None:
    path = tmp_path / "set.bin"
    with pytest.raises(OptionError, match="image 1"):
        sets.write(path, [images[0], image], [True])
    with pytest.raises(OptionError, match="flag 0"):
        sets.write(path, images[:2], ["no"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="nowhere"):
        sets.write(tmp_path / "nowhere" / "set.bin", images[:2], [True])
    assert list(tmp_path.iterdir()) == []


def test_others_read_what_we_write(tmp_path: Path, images: list[bytes]) -> None:
    path = tmp_path / "set.bin"
    sets.write(path, images, SAME)
    with path.open("rb") as file:
        assert pickle.load(file, encoding="bytes") == (images, SAME)


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol(tmp_path: Path, images: list[bytes], protocol: int) -> None:
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps((images, SAME), protocol=protocol))
    assert sets.read(path).same.tolist() == SAME


def test_python_2(tmp_path: Path, images: list[bytes]) -> None:
    path = tmp_path / "set.bin"
    path.write_bytes(python2_pickle(images, SAME))
    protocol = sets.read(path)
    assert protocol.photos == tuple(images)
    assert protocol.same.tolist() == SAME


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("flags", ["array", "scalars"])
def test_numpy_inside(tmp_path: Path, images: list[bytes], protocol: int, flags: str) -> None:
    arrays = [np.frombuffer(image, dtype=np.uint8) for image in images]
    same: Any = np.array(SAME) if flags == "array" else [np.bool_(flag) for flag in SAME]
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps((arrays, same), protocol=protocol))
    read = sets.read(path)
    assert read.photos == tuple(images)
    assert read.same.tolist() == SAME


def test_a_repeated_image_is_one_photo(tmp_path: Path, images: list[bytes]) -> None:
    path = tmp_path / "set.bin"
    sets.write(path, [images[0], images[1], images[0], images[2]], [True, False])
    protocol = sets.read(path)
    assert len(protocol.photos) == 3
    assert protocol.first.tolist() == [0, 0]


def test_uncropped_images_are_to_be_detected(tmp_path: Path, encoded) -> None:
    path = tmp_path / "set.bin"
    sets.write(path, [encoded(50, seed=k, side=96) for k in range(4)], [True, False])
    assert not sets.read(path).aligned


@pytest.mark.parametrize("count", [10, 12, 57, 6000])
def test_folds_are_those_of_the_papers(count: int) -> None:
    label = sets.consecutive_folds(count)
    for k, (_, test) in enumerate(KFold(10, shuffle=False).split(np.zeros(count))):
        assert np.flatnonzero(label == k + 1).tolist() == test.tolist()


class Command:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_a_command_is_refused(
    tmp_path: Path, images: list[bytes], protocol: int
) -> None:
    path, trace = tmp_path / "evil.bin", tmp_path / "ran"
    path.write_bytes(pickle.dumps((images, [*SAME[:3], Command(trace)]), protocol=protocol))
    with pytest.raises(DataError, match=r"evil\.bin.*system"):
        sets.read(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("os", "system"),
        ("numpy", "load"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("visavis.evaluation.protocols.bin", "write"),
        ("codecs", "encode"),
        ("copyreg", "_reconstructor"),
    ],
)
def test_nothing_else_can_be_named(tmp_path: Path, module: str, name: str) -> None:
    path = tmp_path / "evil.bin"
    path.write_bytes(f"c{module}\n{name}\n(S'x'\ntR.".encode())
    with pytest.raises(DataError, match="run code"):
        sets.read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"c_codecs\nencode\n(Vx\nVzip\ntR.",  # a decompression bomb's beginning
        b"c_codecs\nencode\n(Vx\nVatin1\ntR.",  # one letter is gone
        b"cbuiltins\nbytes\n(I1000000000000\ntR.",  # a terabyte of zeros
        b"c_codecs\nencode\n}Vfunction\nI1\nsb.",  # to overwrite a stand-in
        b"cnumpy\nndarray\n}Vitems\nI1\nsb.",
        b"cnumpy\ndtype\n(Vb1\ntRI1\nb.",
    ],
)
def test_stand_ins_cannot_be_misused(tmp_path: Path, images: list[bytes], content: bytes) -> None:
    path = tmp_path / "evil.bin"
    path.write_bytes(content)
    with pytest.raises(DataError):
        sets.read(path)
    sets.write(path, images, SAME)
    assert sets.read(path).same.tolist() == SAME


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text", "a pickled str"),
        (([b"x"],), "a pickled tuple"),
        (([b"x"], {}), "list and dict inside"),
        (([], []), "not empty"),
        (([b"x", b"y", b"z"], [True]), "3 images for 1 pairs"),
        (([b"x", 7], [True]), "image 1 is a int"),
        (([b"x", b"y"], ["yes"]), "flag 0 is a str"),
        (([b"x", b"y"], [2]), "flag 0 is another number"),
        (([b"x", b"y"], [10**5000]), "flag 0 is another number"),
        (([b"x", b"y"], np.array([1.5])), "list and array inside"),
        (([b"x", b"y"], [True]), "image 0 is not an image"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        sets.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.bin"):
        sets.read(tmp_path / "gone.bin")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, images: list[bytes], data) -> None:
    small = [image[:200] for image in images[:4]]
    whole = pickle.dumps((small, [True, False]), protocol=data.draw(st.sampled_from([2, 4])))
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=3)):
        if damaged:
            damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.bin"
    path.write_bytes(damaged)
    with pytest.raises(DataError):
        # The images are cut short, so even an undamaged file is refused in the end.
        sets.read(path)


def test_writing_needs_two_images_a_pair(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="1 images"):
        sets.write(tmp_path / "x.bin", [b""], [True])


@pytest.mark.parametrize("state", [b"(dVfunction\nVx\ns", b"(lVx\na"])
def test_a_pickle_cannot_change_what_later_ones_call(tmp_path: Path, state: bytes) -> None:
    before = {name: stand_in.function for name, stand_in in sets._STAND_INS.items()}
    (tmp_path / "set.bin").write_bytes(b"c_codecs\nencode\n" + state + b"b.")
    with pytest.raises(DataError, match=r"set\.bin"):
        sets.read(tmp_path / "set.bin")
    assert {name: stand_in.function for name, stand_in in sets._STAND_INS.items()} == before


def test_a_large_number_in_the_pickle_takes_no_memory(tmp_path: Path, images: list[bytes]) -> None:
    """``LONG_BINPUT`` says where a value is remembered: no room is made for all before it."""
    plain = pickle.dumps((images, SAME), protocol=2)
    path = tmp_path / "set.bin"
    path.write_bytes(plain[:-1] + b"r" + struct.pack("<I", 2**24) + b".")
    tracemalloc.start()
    try:
        found = sets.read(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert found.same.tolist() == SAME
