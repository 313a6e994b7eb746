"""The folder of a gallery: made, opened, copied, compacted, out of room, taken away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from visavis.errors import (
    GalleryBusyError,
    GalleryDamagedError,
    GalleryError,
    GalleryKeyError,
    OptionError,
)
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.schema import MIGRATIONS
from visavis.gallery.sqlite.store import SqliteGallery

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import (
    EAGER,
    KEY,
    MODEL,
    OTHER,
    VECTORS,
    crowd,
    everything,
    new,
    tampering,
    unit,
)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_only_its_owner_can_read_it(tmp_path: Path, key: object) -> None:
    os.umask(0o022)
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:  # type: ignore[arg-type]
        crowd(store)
        store.load_index()
        store.backup(tmp_path / "b")
        for folder in (tmp_path / "g", tmp_path / "b"):
            for path in (folder, *folder.rglob("*")):
                wanted = 0o700 if path.is_dir() else 0o600
                assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_what_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=str(tmp_path / "g")):
        SqliteGallery(tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_foreign_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(GalleryError, match="photos"):
        SqliteGallery(tmp_path / "photos", create=True)
    with pytest.raises(OptionError, match=r"a\.jpg"):
        SqliteGallery(tmp_path / "photos" / "a.jpg", create=True)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "gallery.sqlite").write_text("no database " * 100)
    with pytest.raises(GalleryDamagedError):
        SqliteGallery(tmp_path / "text")
    (tmp_path / "db").mkdir()
    with sqlite3.connect(tmp_path / "db" / "gallery.sqlite") as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(GalleryError, match=str(tmp_path / "db")):
        SqliteGallery(tmp_path / "db", create=True)
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == ["a.jpg"]


def test_a_newer_format_is_refused_and_named(tmp_path: Path) -> None:
    SqliteGallery(tmp_path / "g", create=True).close()
    with tampering(tmp_path / "g") as db:
        db.execute("INSERT INTO migration VALUES (?, 'x')", (len(MIGRATIONS) + 1,))
    with pytest.raises(GalleryError, match="newer visavis"):
        SqliteGallery(tmp_path / "g")


def test_what_was_begun_and_killed_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "gallery.sqlite").touch()
    with pytest.raises(GalleryError, match=str(tmp_path / "g")):
        SqliteGallery(tmp_path / "g")
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)


def test_both_of_two_that_make_it_at_once_have_it(tmp_path: Path) -> None:
    opened: list[SqliteGallery] = []
    threads = [
        threading.Thread(target=lambda: opened.append(SqliteGallery(tmp_path / "g", create=True)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for number, store in enumerate(opened):
        store.add([new(f"P{number}", VECTORS[number])])
    assert len(list(opened[0].people())) == 6
    assert [e.action for e in opened[1].audit()].count("create") == 1
    for store in opened:
        store.close()


def test_it_may_be_copied_while_nobody_has_it_open(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        store.load_index()
        before = everything(store)
    shutil.copytree(tmp_path / "g", tmp_path / "copy")
    with SqliteGallery(tmp_path / "copy") as store:
        assert everything(store) == before
        assert store.check().ok


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_backup_is_a_gallery_of_one_moment(tmp_path: Path, key: object) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:  # type: ignore[arg-type]
        crowd(store)
        store.set_attributes("Person 03", {"door": 7})
        before = everything(store)
        store.backup(tmp_path / "deep" / "b")
        store.remove("Person 03")
        with pytest.raises(GalleryError, match=str(tmp_path / "deep" / "b")):
            store.backup(tmp_path / "deep" / "b")
        assert [e.action for e in store.audit()][-2:] == ["backup", "remove"]
    with SqliteGallery(tmp_path / "deep" / "b", key=key) as copy:  # type: ignore[arg-type]
        assert everything(copy) == before
        assert copy.check().ok
        (matches,) = copy.search(VECTORS[3][None], model_sha256=MODEL, k=1, fusion="max")
        assert matches[0].person == "Person 03"
    if key is not None:
        with pytest.raises(GalleryKeyError):
            SqliteGallery(tmp_path / "deep" / "b", key=OTHER)


def test_a_backup_has_nothing_that_was_removed_before(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        store.remove("Person 05")
        store.backup(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*"):
        assert path.is_dir() or b"Person 05" not in path.read_bytes()


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        before = everything(store)
        with store._db.alone() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(GalleryError, match="disk is full"):
            store.add([new(f"More {i}", v) for i, v in enumerate(unit(500))])
        assert everything(store) == before
        with store._db.alone() as db:
            db.execute("PRAGMA max_page_count = 1000000")
        assert len(store.add([new("More", VECTORS[50])])) == 1
        assert store.check().ok


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        with store._db.alone() as db:
            db.execute("PRAGMA query_only = ON")
        with pytest.raises(GalleryError, match="read-only"):
            store.add([new("A", VECTORS[0])])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    SqliteGallery(tmp_path / "g", create=True).close()
    (tmp_path / "g").chmod(0o500)
    try:
        with pytest.raises(GalleryError, match="allow"):
            SqliteGallery(tmp_path / "g").add([new("A", VECTORS[0])])
    finally:
        (tmp_path / "g").chmod(0o700)


def test_a_gallery_that_was_taken_away_or_replaced(tmp_path: Path) -> None:
    store = SqliteGallery(tmp_path / "g", create=True)
    crowd(store)
    shutil.copytree(tmp_path / "g", tmp_path / "other")
    shutil.rmtree(tmp_path / "g")
    with pytest.raises(GalleryError, match="removed"):
        store.add([new("A", VECTORS[0])])
    (tmp_path / "other").rename(tmp_path / "g")
    with pytest.raises(GalleryError, match="removed"):
        store.person("Person 01")
    store.close()
    with SqliteGallery(tmp_path / "g") as again:
        assert len(list(again.people())) == 20


def test_another_process_holds_it_too_long(tmp_path: Path) -> None:
    options = GalleryOptions(timeout=0.2)
    with SqliteGallery(tmp_path / "g", create=True, options=options) as store:
        other = sqlite3.connect(tmp_path / "g" / "gallery.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryBusyError):
            store.add([new("A", VECTORS[0])])
        assert list(store.people()) == []  # readers do not wait
        other.execute("ROLLBACK")
        other.close()
        store.add([new("A", VECTORS[0])])


def test_an_open_gallery_is_not_for_a_forked_process(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        process = os.fork()
        if process == 0:
            outcome = 2  # the child ends here whatever comes: it would go on as a second pytest
            try:
                store.person("A")
            except GalleryError as error:
                outcome = 0 if "another process" in str(error) else 1
            finally:
                os._exit(outcome)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_compacting_makes_it_small_and_keeps_all(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        store.add([new(f"P{i % 40}", v) for i, v in enumerate(unit(2000))])
        store.load_index()
        full = store.info().bytes
        for i in range(35):
            store.remove(f"P{i}")
        kept = everything(store)
        _, after = store.compact()
        assert after < full / 2
        assert after == sum(p.stat().st_size for p in (tmp_path / "g").rglob("*") if p.is_file())
        assert everything(store) == kept
        assert store.check().ok
        assert len(list((tmp_path / "g" / "index").iterdir())) == 1
    with SqliteGallery(tmp_path / "g", options=EAGER) as store:
        store.load_index()
        assert "loaded from a snapshot" in store.info().index[MODEL]
        assert store.check().ok


def test_numbers_are_not_used_again_after_compacting(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        last = crowd(store)[-1]
        store.remove_faces([last])
        store.compact()
        assert store.add([new("A", VECTORS[0])])[0] > last


def test_more_rows_than_one_part_holds(tmp_path: Path) -> None:
    vectors = unit(2500, length=8)
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        numbers = store.add([new(f"P{i % 1300:04}", v, crop=b"x") for i, v in enumerate(vectors)])
        assert [p.name for p in store.people()] == [f"P{i:04}" for i in range(1300)]
        faces = list(store.faces())
        assert [f.id for f in faces] == numbers
        assert np.array_equal(np.stack([f.vector for f in faces]), vectors)
        assert len(list(store.faces(model_sha256=MODEL))) == 2500
        store.rekey(KEY)
        assert [f.id for f in store.faces()] == numbers
        assert all(store.crop(number) == b"x" for number in numbers[::100])
        store.merge("P0000", *[f"P{i:04}" for i in range(1, 1200)])
        assert store.person("P0000").faces[MODEL] == 2400
        assert len(list(store.faces(person="P0000"))) == 2400
        assert store.remove("P0000") == 2400
        assert store.check().ok
        (matches,) = store.search(vectors[1250][None], model_sha256=MODEL, k=200, fusion="max")
        assert len(matches) == 100
        assert matches[0].person == "P1250"


def test_searching_far_when_one_person_has_all_the_closest(tmp_path: Path) -> None:
    """More than every first fetch: the second person is behind 3,000 templates of the first."""
    rng = np.random.default_rng(1)
    near = np.eye(16, dtype=np.float32)[0] + 0.05 * rng.normal(size=(3000, 16)).astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    with SqliteGallery(tmp_path / "g", create=True) as store:
        store.add([new("Many", v) for v in near])
        store.add([new("Few", np.eye(16, dtype=np.float32)[1])])
        (matches,) = store.search(
            np.eye(16, dtype=np.float32)[:1], model_sha256=MODEL, k=2, fusion="max"
        )
        assert [m.person for m in matches] == ["Many", "Few"]
        assert [m.faces for m in matches] == [3000, 1]


def test_opening_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from visavis.gallery.sqlite.store import SqliteGallery\n"
        "SqliteGallery(Path(sys.argv[1]), create=True).close()\n"
        "print(' '.join(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "g")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not {"torch", "cv2", "sklearn", "scipy", "openvino", "pandas"} & set(loaded)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"snapshot_from": 0}, {"scrypt_cost": 3}, {"scrypt_cost": 2**30}]
)
def test_options_outside_their_range(options: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        GalleryOptions(**options)


def test_settings_of_nobody_go_when_compacting(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        store.add(
            [
                new("Anne", VECTORS[0], pipeline_id="former"),
                new("Bob", VECTORS[1], pipeline_id="now"),
            ]
        )
        store.remove("Anne")
        store.compact()
        assert [face.pipeline_id for face in store.faces()] == ["now"]
        store.add([new("Cem", VECTORS[2], pipeline_id="former")])
        assert [face.pipeline_id for face in store.faces()] == ["now", "former"]
        store.remove("Cem")
        store.compact()
    with tampering(tmp_path / "g") as db:
        assert db.execute("SELECT text FROM setting").fetchall() == [("now",)]
