"""After a removal nothing is left in any file: also by hands that die, hinder or look away."""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from visavis.errors import GalleryBusyError
from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import TemplateIndex
from visavis.gallery.sqlite.database import Database
from visavis.gallery.sqlite.erase import Eraser
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import EAGER, KEY, MODEL, VECTORS, crowd, new, unit


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def left(folder: Path, *pieces: bytes) -> list[str]:
    return [name for name, content in files(folder).items() if any(p in content for p in pieces)]


def parts(vector: np.ndarray) -> list[bytes]:
    raw = vector.tobytes()
    return [raw[i : i + 16] for i in range(0, len(raw) - 15, 16)]


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_what_lies_in_the_database_and_the_snapshot_before_is_gone_after(
    tmp_path: Path, key: Key | None
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:
        crowd(store)
        store.load_index()
        assert len(left(tmp_path / "g", *parts(VECTORS[4]))) == (0 if key else 2)  # log, snapshot
        with store._db.reading() as (db, _):
            bodies = [bytes(b) for (b,) in db.execute("SELECT body FROM face ORDER BY id")]
        store.remove("Person 04")
        assert left(tmp_path / "g", b"Person 04", *parts(VECTORS[4]), *parts(VECTORS[24])) == []
        # What was encrypted goes as well: who has the key cannot have it back.
        assert left(tmp_path / "g", bodies[4][:40], bodies[4][-40:]) == []
        assert left(tmp_path / "g", bodies[5][:40]) != []
        store.search(VECTORS[:1], model_sha256=MODEL)
    assert left(tmp_path / "g", b"Person 04", *parts(VECTORS[4]), *parts(VECTORS[24])) == []


def test_rows_that_moved_leave_no_copies(tmp_path: Path) -> None:
    """SQLite leaves copies of moved rows in unused parts of pages; they are found and go, too."""
    chooser = random.Random(0)
    vectors = unit(300)
    with SqliteGallery(tmp_path / "g", create=True) as store:
        held: dict[str, list[int]] = {}
        for at in range(150):
            if held and chooser.random() < 0.35:
                name = chooser.choice(sorted(held))
                rows = held.pop(name)
                store.remove(name)
                assert left(tmp_path / "g", name.encode(), *parts(vectors[rows[0]])) == []
            else:
                name = f"{chooser.randrange(10**9):09}"
                rows = [2 * at] if chooser.random() < 0.5 else [2 * at, 2 * at + 1]
                held[name] = rows
                long = "x" * chooser.randrange(300)
                store.add([new(name, vectors[row], photo=long) for row in rows])
                if chooser.random() < 0.3:
                    store.set_attributes(name, {"a": "y" * chooser.randrange(900)})


def test_what_erases_writes_the_database_anew_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    vacuum = Database.vacuum
    monkeypatch.setattr(Database, "vacuum", lambda self: (written.append(1), vacuum(self)))
    with SqliteGallery(tmp_path / "g", create=True) as store:
        numbers = crowd(store)
        store.split("Person 05", numbers[5:6], into="Somebody")
        assert store.remove_faces([10**6]) == 0
        store.rename("Person 06", "Person 06")
        assert store.expire("2030-06-01T00:00:00+00:00") == 0
        assert written == []
        store.remove("Person 03")
        store.remove_faces(numbers[7:8])
        store.rename("Person 06", "Another")
        store.merge("Person 01", "Person 02")
        assert len(written) == 4
        assert store.check().ok


def test_renaming_and_merging_erase_the_names(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        store.rename("Person 01", "Somebody Else")
        store.merge("Person 02", "Person 03", "Person 04")
        assert left(tmp_path / "g", b"Person 01", b"Person 03", b"Person 04") == []
        assert left(tmp_path / "g", b"Somebody Else") != []


def test_expiry_erases(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        store.add([
            new("Guest One", VECTORS[0], expires="2030-01-01T00:00:00+00:00"),
            new("Stays", VECTORS[1], expires="2031-01-01T00:00:00+00:00"),
        ])  # fmt: skip
        assert store.expire("2030-06-01T00:00:00+00:00") == 1
        assert left(tmp_path / "g", b"Guest One", *parts(VECTORS[0])) == []
        assert [e.details for e in store.audit()][-1] == {"faces": 1, "person": True}


def test_snapshots_and_halves_of_them_go(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        store.load_index()
        index = tmp_path / "g" / "index"
        (index / "1-0.index.partial").write_bytes(VECTORS[4].tobytes())  # of a killed process
        store.remove("Person 04")
        assert list(index.iterdir()) == []
    with SqliteGallery(tmp_path / "g", options=EAGER) as store:
        store.load_index()
        assert left(index, *parts(VECTORS[4])) == []
        assert left(index, *parts(VECTORS[5])) != []


def test_the_snapshot_after_a_removal_from_a_loaded_index_has_nothing_of_it(
    tmp_path: Path,
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        store.load_index()
        store.remove("Person 04")
        store.search(VECTORS[:1], model_sha256=MODEL)
        store.compact()
        assert left(tmp_path / "g" / "index", *parts(VECTORS[5])) != []
        assert left(tmp_path / "g", *parts(VECTORS[4])) == []


@pytest.mark.parametrize("where", ["drop_stale_snapshots", "_truncate"])
def test_what_a_dead_eraser_left_the_next_to_open_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class DeadError(Exception):
        pass

    def die(self: object) -> None:
        raise DeadError

    store = SqliteGallery(tmp_path / "g", create=True, options=EAGER)
    crowd(store)
    store.load_index()
    with monkeypatch.context() as patch:
        patch.setattr(Eraser, where, die)
        with pytest.raises(DeadError):
            store.remove("Person 04")
    store._db.close()
    with SqliteGallery(tmp_path / "g", options=EAGER) as store:
        assert left(tmp_path / "g", b"Person 04", *parts(VECTORS[4])) == []
        assert len(list(store.people())) == 19
        assert store.check().ok


def test_who_reads_without_end_holds_the_erasure_up_but_not_for_ever(tmp_path: Path) -> None:
    options = GalleryOptions(timeout=0.3)
    store = SqliteGallery(tmp_path / "g", create=True, options=options)
    crowd(store)
    reader = sqlite3.connect(tmp_path / "g" / "gallery.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM face").fetchone()
    with pytest.raises(GalleryBusyError) as told:
        store.remove("Person 04")
    assert str(told.value).startswith("done, and no later answer contains it")
    assert "Person 04" not in [person.name for person in store.people()]
    assert len(list(store.people())) == 19
    (found,) = store.search(VECTORS[4:5], model_sha256=MODEL, k=30)
    assert "Person 04" not in {match.person for match in found}
    assert left(tmp_path / "g", b"Person 04", *parts(VECTORS[4])) != []
    reader.close()
    store.close()
    with SqliteGallery(tmp_path / "g") as store:
        assert left(tmp_path / "g", b"Person 04", *parts(VECTORS[4])) == []


def test_who_reads_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        reader = sqlite3.connect(
            tmp_path / "g" / "gallery.sqlite", isolation_level=None, check_same_thread=False
        )
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM face").fetchone()

        def end() -> None:
            time.sleep(0.3)
            reader.close()

        thread = threading.Thread(target=end)
        thread.start()
        store.remove("Person 04")
        thread.join()
        assert left(tmp_path / "g", b"Person 04", *parts(VECTORS[4])) == []


def test_no_snapshot_is_written_while_somebody_erases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could hold what was removed after its index was brought up to date."""
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        save, removed = TemplateIndex.save, []

        def slowly(self: TemplateIndex, path: Path, **options: object) -> None:
            with SqliteGallery(tmp_path / "g", options=GalleryOptions(timeout=0.2)) as other:
                try:
                    other.remove("Person 04")
                    removed.append(True)
                except GalleryBusyError:
                    removed.append(False)
            save(self, path, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(TemplateIndex, "save", slowly)
        store.load_index()
        assert removed == [False]
        assert store.person("Person 04").faces == {MODEL: 2}
