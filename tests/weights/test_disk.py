"""Folders that cannot be written, full disks, and files that are whole or absent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import visavis
from visavis.errors import ModelError
from visavis.weights import WeightStore
from visavis.weights.files import replacing


@pytest.fixture
def read_only_home() -> Iterator[Path]:
    if os.name == "nt":
        pytest.skip("folder permissions work differently")
    outside = Path(tempfile.mkdtemp())
    home = outside / "home"
    (home / "models").mkdir(parents=True)
    for folder in (home / "models", home):
        folder.chmod(0o555)
    outside.chmod(0o755)
    yield home
    for folder in (home, home / "models"):
        folder.chmod(0o755)
    shutil.rmtree(outside)


@contextmanager
def nobody() -> Iterator[None]:
    """Do without root's right to write everywhere."""
    import filelock  # noqa: F401  (nobody may not be allowed to read the library)

    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as file:
        file.write(b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_carriers_serve_a_read_only_home(read_only_home: Path) -> None:
    store = WeightStore(read_only_home)
    carried = store.path("sface")
    with nobody():
        if not os.access(carried, os.R_OK, effective_ids=True):
            pytest.skip("the installed packages are root's alone")
        assert store.path("sface") == carried
        assert store.verify("sface")[0].intact
        assert store.fetch("sface") == carried
        assert store.remove("sface") == ()
        assert store.entries()


def test_a_home_that_may_not_even_be_read(read_only_home: Path) -> None:
    closed = read_only_home / "models"
    closed.chmod(0o000)
    read_only_home.chmod(0o000)
    store = WeightStore(read_only_home)
    carried = store.path("sface")
    with nobody():
        if not os.access(carried, os.R_OK, effective_ids=True):
            pytest.skip("the installed packages are root's alone")
        assert store.path("sface") == carried
        with pytest.raises(ModelError, match=str(read_only_home)):
            store.entries()


def test_a_read_only_home_is_named_when_something_must_be_written(
    register, server, read_only_home: Path
) -> None:
    register(urls=(server.url("good"),))
    store = WeightStore(read_only_home)
    with nobody(), pytest.raises(ModelError, match="Permission denied") as raised:
        store.fetch("toy")
    assert str(read_only_home) in str(raised.value)
    assert "VISAVIS_HOME" in raised.value.remedy
    assert server.requests == []


def test_adding_to_a_read_only_home(read_only_home: Path) -> None:
    store = WeightStore(read_only_home)
    file = read_only_home.parent / "m.onnx"
    file.write_bytes(b"1")
    with nobody(), pytest.raises(ModelError, match="Permission denied"):
        store.add("mine", file, input_size=112, mean=0, std=1, color="rgb", license="MIT")


def test_a_home_that_is_a_file(tmp_path: Path, register, server) -> None:
    home = tmp_path / "home"
    home.write_text("not a folder")
    register(urls=(server.url("good"),))
    store = WeightStore(home)
    assert store.copies("toy") == ()
    with pytest.raises(ModelError, match=str(home)):
        store.fetch("toy")


@pytest.mark.skipif(os.name == "nt", reason="needs resource limits")
def test_a_full_disk(home: Path, register, server) -> None:
    entry = register(urls=(server.url("good"),))
    program = f"""
import resource
from pathlib import Path
from visavis.errors import ModelDamagedError, ModelError, ModelUnavailableError
from visavis.weights import ModelEntry, WeightStore, store
store.BUILTIN = {{"toy": ModelEntry(name="toy", kind="embedder", filename="toy.onnx",
    sha256={entry.sha256!r}, size={entry.size}, license="MIT", urls=({entry.urls[0]!r},))}}
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    WeightStore(Path({str(home)!r})).fetch("toy")
except ModelError as error:
    assert not isinstance(error, (ModelDamagedError, ModelUnavailableError))
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(visavis.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert "File too large" in done.stdout, done.stderr
    assert "make room" in done.stdout
    assert not [p for p in (home / "models").iterdir() if p.suffix != ".lock"]
