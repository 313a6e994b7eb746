"""A bounded part of the attack; ``python -m tests.faults.full_disk`` is the large one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.faults import full_disk


def test_a_disk_that_fills_up_at_random_points() -> None:
    found = full_disk.attack(21, seed=4)
    if found is None:
        pytest.skip("mounting a small file system is not permitted")
    assert not [what for _, _, wrong in found.values() for what in wrong]
    assert sum(failed for _, failed, _ in found.values()) >= 5


def test_no_room_for_shared_memory_is_called_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    from visavis.gallery.sqlite.database import translated

    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert "does not read or write" in str(translated(tmp_path, error))
    usage = shutil.disk_usage(tmp_path)._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "disk is full" in str(translated(tmp_path, error))
