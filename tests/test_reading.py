"""Readers of files neither wait for a pipe nor read a device without end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from visavis import reading
from visavis.errors import VisavisError

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(params=["pipe", "folder", "device", "missing"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "odd.csv"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    return path


def _table(path: Path) -> object:
    from visavis.evaluation.tables import read_table

    return read_table(path, required={})


def _people(path: Path) -> object:
    from visavis.identification import of_table

    return of_table(path)


def _bin(path: Path) -> object:
    from visavis.evaluation.protocols import bin as bin_set

    return bin_set.read(path)


def _pack(path: Path) -> object:
    from visavis.training.data.pack import read_index

    return read_index(path)


def _records(path: Path) -> object:
    from visavis.training.data import rec

    return rec.read(path)


def _scores(path: Path) -> object:
    from visavis.evaluation.scores.parquet import read

    return read(path)


def _list(path: Path) -> object:
    from visavis.api.people_photos import names_in

    return names_in(path)


def _graph(path: Path) -> object:
    from visavis.embedding.check import check_graph

    return check_graph(path)


@pytest.mark.parametrize("read", [_table, _people, _bin, _pack, _records, _scores, _list, _graph])
def test_readers_refuse_what_is_no_file(read: Callable[[Path], object], odd: Path) -> None:
    with pytest.raises(VisavisError, match="odd"):
        read(odd)


def test_what_is_no_file_is_named(odd: Path) -> None:
    with pytest.raises(OSError, match="odd") as caught:
        reading.open_regular(odd)
    assert caught.value.filename in {odd, str(odd)}


def test_a_pipe_that_is_handed_over_is_read(tmp_path: Path) -> None:
    """``visavis evaluate pairs <(grep ... pairs.csv)``, and ``/dev/stdin``."""
    script = (
        "from pathlib import Path\n"
        "from visavis.reading import read_text\n"
        "print(read_text(Path('/dev/stdin')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="\ufeffa,b".encode(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == b"a,b\n"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa,b\r\n")
    assert reading.read_text(tmp_path / "x") == "a,b\r\n"
