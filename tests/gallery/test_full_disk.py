"""A disk that fills up at any moment: what an error says is so, and nothing is lost."""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visavis.errors import ErasureIncompleteError, GalleryError, GalleryKeyError
from visavis.gallery import transfer
from visavis.gallery.crypto.key import Key
from visavis.gallery.sqlite.database import _SETTINGS
from visavis.gallery.sqlite.store import SqliteGallery

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import EAGER, KEY, MODEL, OTHER, VECTORS, everything, new

NOTHING = "nothing of this write was kept"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the power here."""
    settings = [text.replace("synchronous = FULL", "synchronous = OFF") for text in _SETTINGS]
    assert settings != list(_SETTINGS)
    monkeypatch.setattr("visavis.gallery.sqlite.database._SETTINGS", tuple(settings))


class FillingDisk(sqlite3.Connection):
    """Raises SQLITE_FULL at one of the statements that write, before or after it takes effect."""

    left: int | None = None
    late = False
    """A write that took effect and was reported as failed, as by an fsync."""

    def _guard(self, sql: str, run: Callable[[], Any]) -> Any:
        writes = sql.startswith(("COMMIT", "VACUUM", "PRAGMA wal_checkpoint"))
        if not FillingDisk.late:  # else the others are rolled back, done or not
            writes = writes or sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if not writes or FillingDisk.left is None:
            return run()
        FillingDisk.left -= 1
        if FillingDisk.left != 0:
            return run()
        if FillingDisk.late:
            run()
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    def execute(self, sql: str, *values: Any) -> Any:  # type: ignore[override]
        return self._guard(sql, lambda: super(FillingDisk, self).execute(sql, *values))

    def executemany(self, sql: str, *values: Any) -> Any:  # type: ignore[override]
        return self._guard(sql, lambda: super(FillingDisk, self).executemany(sql, *values))


@pytest.fixture
def filling(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FillingDisk]]:
    connect = functools.partial(sqlite3.connect, factory=FillingDisk)
    monkeypatch.setattr("visavis.gallery.sqlite.database.sqlite3.connect", connect)
    FillingDisk.left, FillingDisk.late = None, False
    yield FillingDisk
    FillingDisk.left = None


def prepared(folder: Path, key: Key | None) -> None:
    with SqliteGallery(folder, create=True, key=key) as store:
        store.add([new(f"Person {i % 5:02}", VECTORS[i], crop=b"png") for i in range(10)])


def outcome(act: Callable[[SqliteGallery], object], store: SqliteGallery) -> GalleryError | None:
    """The error, if there is one."""
    try:
        act(store)
    except GalleryError as error:
        return error
    return None


def opens(folder: Path, key: Key | None) -> bool:
    try:
        SqliteGallery(folder, key=key).close()
    except GalleryKeyError:
        return False
    return True


def each_failure(
    tmp_path: Path, key: Key | None, disk: type[FillingDisk],
    act: Callable[[SqliteGallery], object],
) -> Iterator[tuple[SqliteGallery, Path, GalleryError | None]]:  # fmt: skip
    """A copy of one gallery after each way in which ``act`` can fail, and once after it did not."""
    prepared(tmp_path / "g", key)
    for late in (False, True):
        for at in range(1, 60):
            folder = tmp_path / f"g{late}{at}"
            shutil.copytree(tmp_path / "g", folder)
            with SqliteGallery(folder, key=key) as store:
                disk.left, disk.late = at, late
                error = outcome(act, store)
                reached, disk.left = disk.left <= 0, None
                yield store, folder, error
            if not reached:
                break
        else:
            raise AssertionError("more writes than this test looks at")


CHANGES = {
    "encrypt": (None, KEY, False),
    "another key": (KEY, OTHER, False),
    "another data key": (KEY, OTHER, True),
    "decrypt": (KEY, None, False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rekeying(tmp_path: Path, filling: type[FillingDisk], change: str) -> None:
    old, now, reencrypt = CHANGES[change]
    outcomes = set()
    for store, folder, error in each_failure(
        tmp_path, old, filling, lambda store: store.rekey(now, reencrypt=reencrypt)
    ):
        changed = error is None or isinstance(error, ErasureIncompleteError)
        outcomes.add((type(error), changed))
        assert error is None or (NOTHING in str(error)) == (not changed)
        assert opens(folder, now) == changed
        assert opens(folder, old) == (not changed)
        store.add([new("Later", VECTORS[50])])
        store.set_attributes("Person 01", {"later": True})
        wanted = everything(store)
        assert store.check().ok
        store.close()
        with SqliteGallery(folder, key=now if changed else old) as again:
            assert everything(again) == wanted
            assert len(wanted[1]) == 11
            assert again.has_person("Later")
            assert again.check().ok
        content = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
        assert (b"Person 02" in content) == ((now if changed else old) is None)
    assert len(outcomes) == 3


CALLS: dict[str, Callable[[SqliteGallery], object]] = {
    "add": lambda store: store.add([new("Person 99", VECTORS[40])]),
    "attributes": lambda store: store.set_attributes("Person 01", {"a": 1}),
    "rename": lambda store: store.rename("Person 01", "Person 99"),
    "merge": lambda store: store.merge("Person 02", "Person 01"),
    "split": lambda store: store.split(
        "Person 01", [next(iter(store.faces(person="Person 01"))).id], into="Person 99"
    ),
    "remove": lambda store: store.remove("Person 01"),
    "remove_faces": lambda store: store.remove_faces([next(iter(store.faces())).id]),
    "note": lambda store: store.note("identify", details={}),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_write_is_there_or_not_as_it_says(
    tmp_path: Path, filling: type[FillingDisk], call: str
) -> None:
    before = None
    for store, folder, error in each_failure(tmp_path, None, filling, CALLS[call]):
        before = before or everything_and_audit(tmp_path / "g")
        there = everything_and_audit(folder)
        if error is not None and not isinstance(error, ErasureIncompleteError):
            assert NOTHING in str(error)
            assert there == before
        else:
            assert there != before
            assert error is None or str(error).startswith("done")
        assert store.check().ok
        if call == "remove":
            left = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
            assert (b"Person 01" in left) == (there == before)


def everything_and_audit(folder: Path) -> list[Any]:
    with SqliteGallery(folder) as store:
        return [*everything(store), [entry.to_dict() for entry in store.audit()]]


def test_compacting(tmp_path: Path, filling: type[FillingDisk]) -> None:
    before = None
    for store, folder, error in each_failure(tmp_path, KEY, filling, SqliteGallery.compact):
        before = before or everything(store)
        assert everything(store) == before
        assert store.check().ok
        assert opens(folder, KEY)
        if error is not None and NOTHING in str(error):
            assert "compact" not in [entry.action for entry in store.audit()]


def test_a_backup_is_there_whole_or_not_at_all(tmp_path: Path, filling: type[FillingDisk]) -> None:
    copies = (tmp_path / f"copy{n}" for n in range(100))
    copy = tmp_path

    def act(store: SqliteGallery) -> None:
        nonlocal copy
        copy = next(copies)
        store.backup(copy)

    for store, _, error in each_failure(tmp_path, KEY, filling, act):
        noted = [entry.action for entry in store.audit()].count("backup")
        if error is None:
            assert noted == 1
        else:
            assert not copy.exists()
            store.backup(copy)
        with SqliteGallery(copy, key=KEY) as made:
            assert everything(made) == everything(store)


def test_a_full_table_file_changes_nothing(tmp_path: Path) -> None:
    """SQLite's own limit, at every number of pages that a re-encryption may take."""
    prepared(tmp_path / "g", KEY)
    failed = 0
    for more in range(30):
        folder = tmp_path / f"g{more}"
        shutil.copytree(tmp_path / "g", folder)
        with SqliteGallery(folder, key=KEY) as store:
            before = everything(store)
            with store._db.alone() as db:
                (pages,) = db.execute("PRAGMA page_count").fetchone()
                db.execute(f"PRAGMA max_page_count = {pages + more}")
            error = outcome(
                lambda s: s.add([new(f"More {i}", v) for i, v in enumerate(VECTORS)]), store
            )
            if error is None:
                assert len(everything(store)[1]) == len(before[1]) + len(VECTORS)
                break
            failed += 1
            assert "disk is full" in str(error)
            assert NOTHING in str(error)
            assert everything(store) == before
            assert store.check().ok
    assert failed > 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    if os.name != "posix" or shutil.which("mount") is None:
        pytest.skip("no mount(8)")
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, free: int) -> Path:
    """Leave ``free`` bytes of a file system."""
    filler = place / "filler"
    room = os.statvfs(place)
    filler.write_bytes(bytes(max(room.f_bavail * room.f_frsize - free, 0)))
    return filler


@pytest.mark.parametrize("change", CHANGES)
def test_rekeying_on_a_small_disk(tmp_path: Path, small_disk: Path, change: str) -> None:
    old, now, reencrypt = CHANGES[change]
    prepared(tmp_path / "g", old)
    outcomes = set()
    for free in range(0, 320_000, 16_384):
        folder = small_disk / "g"
        shutil.copytree(tmp_path / "g", folder)
        with SqliteGallery(folder, key=old) as store:
            filler = fill(small_disk, free)
            error = outcome(lambda s: s.rekey(now, reencrypt=reencrypt), store)
            filler.unlink()
            changed = error is None or isinstance(error, ErasureIncompleteError)
            outcomes.add(changed if error else None)
            assert error is None or (NOTHING in str(error)) == (not changed)
            store.add([new("Later", VECTORS[50])])
            wanted = everything(store)
        assert opens(folder, old) == (not changed)
        with SqliteGallery(folder, key=now if changed else old) as again:
            assert everything(again) == wanted
            assert again.check().ok
            assert again.remove("Later") == 1
        shutil.rmtree(folder)
        if error is None:
            break
    assert outcomes == {None, True, False}


def test_opening_and_reading_while_nothing_can_be_cleaned(tmp_path: Path, small_disk: Path) -> None:
    prepared(tmp_path / "g", None)
    for free in range(0, 320_000, 16_384):
        folder = small_disk / f"g{free}"
        shutil.copytree(tmp_path / "g", folder)
        store = SqliteGallery(folder)
        filler = fill(small_disk, free)
        error = outcome(lambda s: s.rekey(KEY), store)
        if isinstance(error, ErasureIncompleteError):
            break
        store.close()
        filler.unlink()
        shutil.rmtree(folder)
    assert isinstance(error, ErasureIncompleteError)
    assert "has its new key" in error.got
    assert "`visavis gallery compact`" in error.remedy
    assert len(list(store.people())) == 5
    store.close()
    with SqliteGallery(folder, key=KEY) as again:
        assert len(list(again.people())) == 5
        report = again.check()
        assert not report.ok
        assert any("may still be in its files" in problem for problem in report.problems)
        filler.unlink()
        again.compact()
        assert again.check().ok
    content = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert b"Person 01" not in content


def test_exports_and_backups_to_a_small_disk(
    tmp_path: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        random = np.random.default_rng(0)
        store.add([new("A", v, crop=random.bytes(3000)) for v in VECTORS])
        for free in (0, 40_000, 120_000):
            filler = fill(small_disk, free)
            with pytest.raises(GalleryError, match="disk") as told:
                store.backup(small_disk / "copy")
            assert str(tmp_path / "g") not in str(told.value)  # that disk has room
            with pytest.raises(GalleryError, match="disk"):
                transfer.export(store, small_disk / "file")
            assert [p.name for p in small_disk.iterdir()] == ["filler"]
            filler.unlink()
        assert {"export", "backup"}.isdisjoint(entry.action for entry in store.audit())
        transfer.export(store, tmp_path / "file")
    with SqliteGallery(small_disk / "g", create=True) as other:
        filler = fill(small_disk, 100_000)
        with pytest.raises(GalleryError, match=NOTHING):
            transfer.import_(other, tmp_path / "file")
        filler.unlink()
        assert transfer.import_(other, tmp_path / "file").faces == len(VECTORS)
        assert other.info().faces == {MODEL: len(VECTORS)}
    assert "Exception ignored" not in capfd.readouterr().err
