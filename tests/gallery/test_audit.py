"""The audit: appended, never changed, and what check says when somebody did."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from visavis.errors import GalleryDamagedError, GalleryError, OptionError
from visavis.gallery import timestamps
from visavis.gallery.crypto.key import Key
from visavis.gallery.sqlite import audit, schema
from visavis.gallery.sqlite.schema import MIGRATIONS
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import migration

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import KEY, VECTORS, crowd, everything, new, tampering, to_format


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> Key | None:
    found: Key | None = request.param
    return found


@pytest.fixture
def folder(tmp_path: Path, key: Key | None) -> Path:
    with SqliteGallery(tmp_path / "g", create=True, key=key) as store:
        crowd(store)
        store.remove("Person 03")
        store.note("identify", details={"probe": 1})
    return tmp_path / "g"


def problems(folder: Path, key: Key | None) -> tuple[str, ...]:
    with SqliteGallery(folder, key=key) as store:
        return store.check().problems


def test_the_chain_by_hand(folder: Path, key: Key | None) -> None:
    with SqliteGallery(folder, key=key) as store:
        link = bytes(32)
        for entry in store.audit():
            details = json.dumps(entry.details, sort_keys=True, separators=(",", ":"))
            row = [entry.seq, entry.time, entry.action, entry.subject, details]
            body = json.dumps(row, separators=(",", ":"))
            link = hashlib.sha256(link + body.encode()).digest()
            assert entry.hash == link.hex()
        assert store.info().audit_head == link.hex()
        assert entry.seq == 1 + 20 + 1 + 1  # create, an entry a person, remove, note


def test_the_database_refuses_to_change_it(folder: Path, key: Key | None) -> None:
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as db:
        for change in (
            "DELETE FROM audit",
            "DELETE FROM audit WHERE seq = 22",
            "UPDATE audit SET subject = ''",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(change)
    assert problems(folder, key) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit SET subject = 'x' WHERE seq = 9", "audit entry 9 or one before it"),
        ("UPDATE audit SET details = '{}' WHERE seq = 22", "audit entry 22 or one before it"),
        ("UPDATE audit SET time = '2001' WHERE seq = 1", "audit entry 1 or one before it"),
        ("DELETE FROM audit WHERE seq = 9", "audit entries 9 to 9 are missing"),
        ("DELETE FROM audit WHERE seq < 9", "audit entries 1 to 8 are missing"),
        ("DELETE FROM audit WHERE seq > 20", "the audit's end was changed"),
        ("DELETE FROM audit", "the audit's end was changed"),
    ],
)
def test_what_was_changed_all_the_same_is_seen(
    folder: Path, key: Key | None, change: str, said: str
) -> None:
    with tampering(folder) as db:
        assert db.execute(change).rowcount
    assert any(said in problem for problem in problems(folder, key))


def test_a_chain_made_anew_without_the_key_is_seen(folder: Path, key: Key | None) -> None:
    """In a gallery that is not encrypted only an earlier head, noted elsewhere, tells."""
    with SqliteGallery(folder, key=key) as store:
        noted = store.info().audit_head
    with tampering(folder) as db:
        db.execute("UPDATE audit SET subject = 'x' WHERE seq = 9")
        link = bytes(32)
        rows = db.execute("SELECT seq, time, action, subject, details FROM audit ORDER BY seq")
        for row in rows.fetchall():
            body = json.dumps(list(row), separators=(",", ":"))
            link = hashlib.sha256(link + body.encode()).digest()
            db.execute("UPDATE audit SET hash = ? WHERE seq = ?", (link, row[0]))
    with SqliteGallery(folder, key=key) as store:
        assert noted != store.check().audit_head
        with pytest.raises(GalleryDamagedError):
            list(store.audit())
    assert any("end was changed" in problem for problem in problems(folder, key))


def test_removal_leaves_ids_and_nothing_else(folder: Path, key: Key | None) -> None:
    with SqliteGallery(folder, key=key) as store:
        text = json.dumps([entry.to_dict() for entry in store.audit()])
        assert "Person" not in text
        removed = [entry for entry in store.audit() if entry.action == "remove"]
        (enrolled,) = [
            e for e in store.audit() if e.action == "enrol" and e.subject == removed[0].subject
        ]
        assert removed[0].details == {"faces": 2}
        assert enrolled.details["faces"] == 2


def test_time_never_runs_backwards(
    folder: Path, key: Key | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteGallery(folder, key=key) as store:
        with monkeypatch.context() as patch:
            patch.setattr(
                timestamps, "now", lambda: timestamps.microseconds("2999-01-01T00:00:00+00:00")
            )
            store.add([new("Bert", VECTORS[4])])
        store.add([new("Anne", VECTORS[5])])
        times = [entry.time for entry in store.audit()]
        assert times[-1] == times[-2] > times[-3]


@pytest.mark.parametrize(
    ("action", "details"),
    [("", {}), ("identify", {"x": object()}), ("identify", {"x": float("inf")}), ("x", {1: 2})],
)
def test_what_cannot_be_noted(
    folder: Path, key: Key | None, action: str, details: dict[str, object]
) -> None:
    with SqliteGallery(folder, key=key) as store:
        with pytest.raises(OptionError):
            store.note(action, details=details)
        assert store.check().ok


def test_looking_for_a_change_of_model_does_not_read_the_audit(tmp_path: Path) -> None:
    """Counted in SQLite's own steps: entries of what is done every day are not touched."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with SqliteGallery(tmp_path / "g", create=True) as store:
        needed = []
        for noted in (0, 3000):
            with store._db.writing() as (db, _):
                events = [audit.Event("identify", "", {}), audit.Event("enrol", "", {})]
                audit.append(db, store._cipher, events * (noted // 2))
            with store._db.alone() as db:
                db.set_progress_handler(count, 1)
            steps = 0
            assert migration.target(store) is None
            assert list(store.audit(action="import")) == []
            needed.append(steps)
            with store._db.alone() as db:
                db.set_progress_handler(None, 1)
        assert needed[1] < needed[0] + 200 < 3000
        assert store.check().audit_entries == 3001


def test_a_gallery_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=KEY) as store:
        crowd(store)
        store.note("migrate", details={"event": "begun", "model": "m", "model_sha256": "b" * 64})
        before = everything(store)
    with tampering(tmp_path / "g") as db:
        to_format(db, 1)
    with SqliteGallery(tmp_path / "g", key=KEY) as store:
        assert everything(store) == before
        assert migration.target(store) == ("m", "b" * 64)
        assert store.check().ok
        with store._db.reading() as (db, _):
            assert schema.version_of(db, tmp_path) == len(MIGRATIONS)
            assert db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit_action'").fetchone()


def noted_at_once(
    store: SqliteGallery, sizes: list[int], *, then: Callable[[], object] = lambda: None
) -> list[str]:
    """Notes in a thread for each size, all waiting before the first writes; returns what each said.

    Each looks with a connection of its own, as soon as ``note`` returns, for its entry. ``then`` is
    called while all wait.
    """

    def note(number: int) -> str:
        try:
            store.note("identify", details={"number": number, "text": "x" * sizes[number]})
        except GalleryError as error:
            return str(error)
        return "" if number in written(store) else "returned before its entry was there"

    with ThreadPoolExecutor(len(sizes)) as threads:
        with store._db.alone():
            said = [threads.submit(note, number) for number in range(len(sizes))]
            for _ in range(1000):
                if len(store._notes) == len(sizes):
                    break
                time.sleep(0.01)
            assert len(store._notes) == len(sizes)
            then()
        return [one.result() for one in said]


def written(store: SqliteGallery) -> list[int]:
    """Returns the numbers of ``noted_at_once`` that are in the file."""
    with closing(sqlite3.connect(store._db.path)) as db:
        rows = db.execute("SELECT details FROM audit WHERE action = 'identify' ORDER BY seq")
        found = [json.loads(details) for (details,) in rows]
    return [one["number"] for one in found if "number" in one]


def test_threads_that_note_at_once_share_a_commit(folder: Path, key: Key | None) -> None:
    with SqliteGallery(folder, key=key) as store:
        commits: list[str] = []
        with store._db.alone() as db:
            db.set_trace_callback(commits.append)
        before = store.check().audit_entries
        assert noted_at_once(store, [0] * 16) == [""] * 16
        assert commits.count("COMMIT") == 1
        assert sorted(written(store)) == list(range(16))
        report = store.check()
        assert (report.problems, report.audit_entries) == ((), before + 16)
        store.note("identify", details={"number": 99})
        assert len(written(store)) == 17
    assert problems(folder, key) == ()


@pytest.mark.parametrize("large", [{0}, {3, 11}, set(range(16))])
def test_on_a_full_disk_every_entry_is_there_or_its_caller_is_told(
    folder: Path, key: Key | None, large: set[int]
) -> None:
    sizes = [200_000 if number in large else 0 for number in range(16)]
    with SqliteGallery(folder, key=key) as store:
        with store._db.alone() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages + 20}").fetchall()
        said = noted_at_once(store, sizes)
        assert sorted(written(store)) == [number for number, one in enumerate(said) if not one]
        refused = [one for one in said if one]
        assert all("disk is full" in one and "nothing of this" in one for one in refused)
        assert large <= {number for number, one in enumerate(said) if one}
        with store._db.alone() as db:
            db.execute(f"PRAGMA max_page_count = {pages + 2000}").fetchall()
        kept = len(written(store))
        store.note("identify", details={"number": 99})  # and nothing that was refused before
        assert len(written(store)) == kept + 1
        assert store.check().ok


def test_a_gallery_that_is_closed_meanwhile_tells_every_caller(
    folder: Path, key: Key | None
) -> None:
    with SqliteGallery(folder, key=key) as store:
        said = noted_at_once(store, [0] * 8, then=store.close)
        assert all("is closed" in one for one in said)
        assert written(store) == []
    assert problems(folder, key) == ()
