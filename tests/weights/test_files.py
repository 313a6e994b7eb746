"""Hashes are remembered only for files that have not changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.weights import files


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "_SETTLED_NS", 0)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a" * 1000)
    time.sleep(0.02)
    return path


def test_equals_hashlib_and_reads_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = hashlib.sha256(b"a" * 1000).hexdigest()
    assert files.sha256_of(file) == expected
    reads: list[int] = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: reads.append(1) or real(*a))
    assert files.sha256_of(file) == expected
    assert not reads
    assert files.sha256_of(file, afresh=True) == expected
    assert len(reads) == 1


def test_other_content_of_the_same_size_is_noticed(file: Path) -> None:
    before = files.sha256_of(file)
    file.write_bytes(b"b" * 1000)
    assert files.sha256_of(file) == hashlib.sha256(b"b" * 1000).hexdigest() != before


def test_a_set_back_modification_time_does_not_fool_it(file: Path) -> None:
    before, stat = files.sha256_of(file), file.stat()
    time.sleep(0.02)
    file.write_bytes(b"c" * 1000)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_mtime_ns == stat.st_mtime_ns
    assert files.sha256_of(file) != before


def test_a_replaced_file_is_noticed(file: Path, tmp_path: Path) -> None:
    before = files.sha256_of(file)
    other = tmp_path / "other"
    other.write_bytes(b"d" * 1000)
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert files.sha256_of(file) != before


def test_a_file_written_this_moment_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "fresh"
    path.write_bytes(b"1")
    files.sha256_of(path)
    assert str(path) not in files._known


@given(st.binary(max_size=3000))
def test_any_content(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(content)
        assert files.sha256_of(path) == hashlib.sha256(content).hexdigest()
