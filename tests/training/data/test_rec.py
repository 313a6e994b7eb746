"""insightface's record files, written here by the format's description."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import DataError, ImageTruncatedError
from visavis.training.data import rec

MAGIC = struct.pack("<I", 0xCED7230A)


def record(content: bytes) -> bytes:
    """One logical record; cut at every aligned magic number inside, as MXNet's writer does."""
    pieces, start = [], 0
    for at in range(0, len(content) - 3, 4):
        if content[at : at + 4] == MAGIC:
            pieces.append(content[start:at])
            start = at + 4
    pieces.append(content[start:])
    written = b""
    for k, piece in enumerate(pieces):
        last = k == len(pieces) - 1
        flag = 0 if len(pieces) == 1 else 1 if k == 0 else 3 if last else 2
        written += MAGIC + struct.pack("<I", flag << 29 | len(piece)) + piece
        written += b"\0" * (-len(piece) % 4)
    return written


def header(label: float | list[float], key: int) -> bytes:
    if isinstance(label, list):
        return struct.pack(f"<IfQQ{len(label)}f", len(label), 0, key, 0, *label)
    return struct.pack("<IfQQ", 0, label, key, 0)


def write(
    folder: Path, images: list[tuple[int, bytes]], *, insightface: bool = True, index: bool = True
) -> None:
    contents: list[tuple[int, bytes]] = []
    first = 1 if insightface else 0
    if insightface:
        people = sorted({label for label, _ in images})
        end = len(images) + 1
        contents.append((0, header([float(end), float(end + len(people))], 0)))
    for k, (label, data) in enumerate(images):
        contents.append((first + k, header(float(label), k) + data))
    if insightface:
        for k, label in enumerate(people):
            own = [i + 1 for i, (other, _) in enumerate(images) if other == label]
            contents.append((end + k, header([float(own[0]), float(own[-1] + 1)], 0)))
    body, lines = b"", ""
    for key, content in contents:
        lines += f"{key}\t{len(body)}\n"
        body += record(content)
    (folder / "train.rec").write_bytes(body)
    if index:
        (folder / "train.idx").write_text(lines)


@given(
    images=st.lists(
        st.tuples(
            st.integers(0, 3), st.lists(st.just(MAGIC) | st.binary(max_size=9)).map(b"".join)
        ),
        min_size=1,
        max_size=6,
    ),
    insightface=st.booleans(),
    index=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_image_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    images: list[tuple[int, bytes]],
    insightface: bool,
    index: bool,
) -> None:
    folder = tmp_path_factory.mktemp("rec")
    images = sorted(images, key=lambda image: image[0])
    write(folder, images, insightface=insightface, index=index)
    photos = rec.read(folder)
    assert [(int(p.person), p.read()) for p in photos] == images
    assert len({p.name for p in photos}) == len(images)
    assert photos == rec.read(folder / "train.rec")


def test_a_file_cut_off_later_is_a_reason(tmp_path: Path) -> None:
    write(tmp_path, [(0, b"abcdefgh"), (1, b"ijkl")])
    photos = rec.read(tmp_path)
    path = tmp_path / "train.rec"
    path.write_bytes(path.read_bytes()[: photos[1].offset + 30])
    assert photos[0].read() == b"abcdefgh"
    with pytest.raises(ImageTruncatedError):
        photos[1].read()


def test_what_is_no_record_file(tmp_path: Path) -> None:
    path = tmp_path / "train.rec"
    with pytest.raises(DataError, match=str(path)):
        rec.read(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        rec.read(path)
    path.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    with pytest.raises(DataError, match="byte 0"):
        rec.read(path)
    path.write_bytes(record(header([1.0, 1.0], 0)))
    with pytest.raises(DataError, match="no images"):
        rec.read(path)
    write(tmp_path, [(0, b"a")])
    (tmp_path / "train.idx").write_text("0\t0\n1 two\n")
    with pytest.raises(DataError, match="line 2"):
        rec.read(tmp_path)
    (tmp_path / "train.idx").write_text("0\t0\n1\t99999\n")
    with pytest.raises(DataError, match="byte"):
        rec.read(tmp_path)
