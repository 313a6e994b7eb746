"""Counts and sums of rows: what is lost is noticed, and nobody is hidden."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from visavis.errors import GalleryDamagedError, GalleryError
from visavis.gallery.crypto.key import Key
from visavis.gallery.sqlite import database, soundness, tally
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.transfer import export, import_

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import (
    EAGER,
    KEY,
    MODEL,
    VECTORS,
    crowd,
    everything,
    new,
    tampering,
    to_format,
)


def ask(store: SqliteGallery) -> dict[str, Any]:
    return {
        "search": lambda: store.search(VECTORS[:1], model_sha256=MODEL),
        "people": lambda: list(store.people()),
        "person": lambda: store.person("Person 03"),
        "has person": lambda: store.has_person("Nobody"),
        "faces": lambda: list(store.faces()),
        "info": store.info,
        "add": lambda: store.add([new("More", VECTORS[50])]),
        "backup": lambda: store.backup(store._path.parent / "b"),
        "compact": store.compact,
    }


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM face WHERE id = (SELECT min(id) FROM face)", "40 faces were written, 39 can"),
        (
            "DELETE FROM person WHERE id = (SELECT min(id) FROM person)",
            "20 people were written, 19",
        ),
        ("UPDATE person SET created = created + 1 WHERE id = 1", "people that can be read"),
        ("UPDATE model SET sha256 = 'b' || substr(sha256, 2)", "models"),
        ("UPDATE setting SET text = 'another'", "models"),
        ("UPDATE state SET clock = clock - 1", "state"),
        ("DELETE FROM tally", "counts"),
        ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", "state"),
        ("DROP INDEX face_expires", "tables"),
    ],
)
def test_lost_rows_are_noticed_by_every_question(
    tmp_path: Path, key: Key | None, change: str, said: str
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key) as store:
        crowd(store)
    with tampering(tmp_path / "g") as db:
        assert db.execute(change).rowcount
    with SqliteGallery(tmp_path / "g", key=key) as store:
        for question in ask(store).values():
            with pytest.raises(GalleryDamagedError, match=said):
                question()
        assert [p for p in store.check().problems if said in p]


def test_lost_rows_are_noticed_in_a_large_gallery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every page of a large database is read when it is opened."""
    monkeypatch.setattr(database, "THOROUGH_UP_TO", 0)
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
    with tampering(tmp_path / "g") as db:
        db.execute("DELETE FROM face WHERE id = (SELECT min(id) FROM face)")
    with SqliteGallery(tmp_path / "g") as store:
        for question in ask(store).values():
            with pytest.raises(GalleryDamagedError, match="40 faces were written, 39 can be read"):
                question()


def test_rows_lost_beneath_an_open_gallery_are_noticed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1e6
    monkeypatch.setattr(database.time, "monotonic", lambda: now)
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        assert len(list(store.people())) == 20
        with tampering(tmp_path / "g") as db:
            db.execute("DELETE FROM person WHERE id = (SELECT min(id) FROM person)")
            db.execute("DELETE FROM face WHERE person NOT IN (SELECT id FROM person)")
        now += database.COMPARED_EVERY
        for _ in range(2):
            with pytest.raises(GalleryDamagedError, match="20 people were written, 19"):
                list(store.people())


def test_an_index_is_compared_before_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
    with tampering(tmp_path / "g") as db:
        db.execute("DELETE FROM face WHERE id = (SELECT min(id) FROM face)")
    monkeypatch.setattr(database.Database, "_require_sound", lambda self: None)
    with (
        SqliteGallery(tmp_path / "g") as store,
        pytest.raises(GalleryDamagedError, match="40 templates of a model were written, 39"),
    ):
        store.search(VECTORS[:1], model_sha256=MODEL)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_the_tally_is_what_a_count_finds(tmp_path: Path, key: Key | None) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key) as store:
        crowd(store)
        store.add([new("Other", VECTORS[7], model_sha256="c" * 64, model="other")])
        store.set_expiry("Person 01", "2100-01-01T00:00:00+00:00")
        store.set_expiry("Person 02", "1950-01-01T00:00:00+00:00")
        store.add(
            [
                new("Person 09", VECTORS[41], expires="2100-01-01T00:00:00+00:00"),
                new("Old", VECTORS[42], expires="1960-01-01T00:00:00+00:00"),
            ]
        )
        with store._db.reading() as (db, _):  # not all counted at the end
            assert list(soundness.problems(db, thorough=True)) == []
        store.set_expiry("Person 01", None)
        store.rename("Person 03", "Renamed")
        store.merge("Person 04", "Person 05")
        store.split("Person 06", [f.id for f in store.faces(person="Person 06")][:1], into="Split")
        store.remove("Person 07")
        store.remove_faces([f.id for f in store.faces(person="Person 08")][:1])
        assert store.expire("2000-01-01T00:00:00+00:00") == 3
        if key is not None:
            store.rekey(None)
        store.compact()
        with store._db.reading() as (db, _):
            rows = db.execute("SELECT model, id, person, expires FROM face").fetchall()
            people = db.execute("SELECT id, created FROM person").fetchall()
            kept = {row[0]: row[1:] for row in db.execute("SELECT * FROM tally")}
            assert tally.sealed(db)
        m = 2**31 - 1
        ids, times = sum(p[0] for p in people), sum(p[1] % m for p in people)
        assert kept.pop(0) == (len(people), ids, 0, times)
        for model, sums in kept.items():
            mine = [row for row in rows if row[0] == model]
            assert sums == (len(mine), sum(r[1] for r in mine), sum(r[2] for r in mine),
                            sum((r[3] or 0) % m for r in mine))  # fmt: skip
        assert store.info().faces == {MODEL: 36, "c" * 64: 1}


def test_a_gallery_of_the_second_format_gets_its_tally(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        store.set_expiry("Person 01", "2100-01-01T00:00:00+00:00")
        before = everything(store)
    with tampering(tmp_path / "g") as db:
        wanted = db.execute("SELECT * FROM tally").fetchall()
        to_format(db, 2)
    with SqliteGallery(tmp_path / "g") as store:
        assert everything(store) == before
        assert store.check().ok
        with store._db.reading() as (db, _):
            assert db.execute("SELECT * FROM tally").fetchall() == wanted


def test_an_export_of_the_second_format_is_imported(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        (tmp_path / "e").mkdir()
        export(store, tmp_path / "e" / "gallery.sqlite")
        before = [face.vector.tobytes() for face in store.faces()]
    with tampering(tmp_path / "e") as db:
        to_format(db, 2)
    with SqliteGallery(tmp_path / "new", create=True) as store:
        import_(store, tmp_path / "e" / "gallery.sqlite")
        assert [face.vector.tobytes() for face in store.faces()] == before


def test_a_lost_note_of_a_move_does_not_misname(tmp_path: Path) -> None:
    """A snapshot and the list of moves after it are only as good as that list."""
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        store.load_index()
        saved = store.info()
        first = next(iter(store.faces(person="Person 03"))).id
        store.split("Person 03", [first], into="Moved")
        store._indexes.forget()  # as a killed process: the snapshot is of before the split
    assert saved.index
    with tampering(tmp_path / "g") as db:
        assert db.execute("SELECT count(*) FROM snapshot").fetchone() == (1,)
        assert db.execute("DELETE FROM moved").rowcount
    with SqliteGallery(tmp_path / "g", options=EAGER) as store:
        (found,) = store.search(VECTORS[3][None], model_sha256=MODEL, k=1, fusion="max")
        assert found[0].person == "Moved"


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed gallery in a folder that the system says cannot be written."""
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        store.load_index()
    real = os.access
    monkeypatch.setattr(
        os, "access",
        lambda path, mode: not mode & os.W_OK and real(path, mode),
    )  # fmt: skip
    return tmp_path / "g"


def test_a_gallery_in_a_read_only_folder_is_read(read_only: Path) -> None:
    before = sorted((p.name, p.stat().st_mtime_ns) for p in read_only.rglob("*"))
    with SqliteGallery(read_only, options=EAGER) as store:
        (found,) = store.search(VECTORS[3][None], model_sha256=MODEL, k=1, fusion="max")
        assert found[0].person == "Person 03"
        assert len(list(store.people())) == 20
        assert store.check().ok
        for change in (
            lambda: store.add([new("A", VECTORS[50])]), lambda: store.remove("Person 03"),
            lambda: store.note("identify", details={}), store.compact,
        ):  # fmt: skip
            with pytest.raises(GalleryError, match="read-only"):
                change()
    assert sorted((p.name, p.stat().st_mtime_ns) for p in read_only.rglob("*")) == before


def test_a_read_only_gallery_that_was_not_closed_is_refused(read_only: Path) -> None:
    (read_only / "gallery.sqlite-wal").write_bytes(b"x")
    with pytest.raises(GalleryError, match="was not closed"):
        SqliteGallery(read_only)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount read-only"
)
def test_a_gallery_on_a_read_only_mount(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
    (tmp_path / "ro").mkdir()
    mounting = f"mount --bind {tmp_path / 'g'} {tmp_path / 'ro'} && " \
        f"mount -o remount,bind,ro {tmp_path / 'ro'}"  # fmt: skip
    program = (
        "import sys; from pathlib import Path; from visavis.gallery.sqlite.store import *; "
        "print(len(list(SqliteGallery(Path(sys.argv[1])).people())))"
    )
    command = f"{mounting} || exit 77; {sys.executable} -c '{program}' {tmp_path / 'ro'}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    if done.returncode in {1, 77} and "ermitted" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert (done.returncode, done.stdout.strip()) == (0, "20"), done.stderr
