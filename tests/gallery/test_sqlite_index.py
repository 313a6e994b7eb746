"""The index follows the table; its snapshot saves time and is never trusted blindly."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from visavis.errors import UnknownPersonError
from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import TemplateIndex
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.store import Fusion

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import EAGER, KEY, MODEL, VECTORS, crowd, flipped, new, tampering, unit


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> Key | None:
    found: Key | None = request.param
    return found


@pytest.fixture
def folder(tmp_path: Path, key: Key | None) -> Path:
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:
        crowd(store)
        store.load_index()
    return tmp_path / "g"


def snapshot(folder: Path) -> Path:
    (path,) = (folder / "index").iterdir()
    return path


def origin(folder: Path, key: Key | None) -> str:
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        assert store.info().index[MODEL].startswith("not loaded")
        (matches,) = store.search(VECTORS[3][None], model_sha256=MODEL, k=1, fusion="max")
        assert matches[0].person == "Person 03"
        assert store.check().ok
        return store.info().index[MODEL].split("; ")[1]


def test_a_sound_snapshot_is_used(folder: Path, key: Key | None) -> None:
    assert snapshot(folder).stat().st_mode & 0o077 == 0
    assert snapshot(folder).parent.stat().st_mode & 0o077 == 0
    assert origin(folder, key) == "loaded from a snapshot"


def test_only_what_is_newer_is_taken_from_the_table(
    folder: Path, key: Key | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteGallery(folder, key=key) as store:
        store.add([new("Late", VECTORS[50]), new("Late", VECTORS[51])])
    added = []
    add = TemplateIndex.add

    def counted(self: TemplateIndex, ids: np.ndarray, rows: np.ndarray, **columns: object) -> None:
        added.append(len(ids))
        add(self, ids, rows, **columns)

    monkeypatch.setattr(TemplateIndex, "add", counted)
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        (matches,) = store.search(VECTORS[50][None], model_sha256=MODEL, k=1, fusion="max")
        assert matches[0].person == "Late"
        assert added == [2]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: p.write_bytes(flipped(p.read_bytes(), -40)), "is damaged"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "is damaged"),
        (lambda p: p.write_bytes(b""), "is damaged"),
        (lambda p: p.unlink(), "is gone"),
    ],
)
def test_a_snapshot_that_is_not_sound_is_made_again(
    folder: Path, key: Key | None, damage: object, said: str
) -> None:
    damage(snapshot(folder))  # type: ignore[operator]
    assert origin(folder, key) == f"made from the table (the snapshot {said})"
    assert origin(folder, key) == "loaded from a snapshot"


def test_a_snapshot_of_another_time_of_the_gallery_is_not_used(
    folder: Path, key: Key | None, tmp_path: Path
) -> None:
    """The database comes back from a backup, the folder index/ is a later one."""
    with SqliteGallery(folder, key=key) as store:
        store.backup(tmp_path / "b")
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        store.remove("Person 03")
        store.add([new("Person 03", VECTORS[55])])
        store.load_index()
    shutil.copy(tmp_path / "b" / "gallery.sqlite", folder / "gallery.sqlite")
    assert origin(folder, key) == "made from the table"
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        (matches,) = store.search(VECTORS[55][None], model_sha256=MODEL, k=20, fusion="max")
        assert max(match.score for match in matches) < 0.9


@pytest.mark.parametrize(
    ("shift", "said"),
    [(0, "differs from the table in 40 faces"), (1, "gives faces to other people")],
)
def test_a_snapshot_that_lies_is_seen_by_check(
    folder: Path, key: Key | None, shift: int, said: str
) -> None:
    """Made by the library from other templates, so that its checksums hold."""
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        save = TemplateIndex.save

        def lying(self: TemplateIndex, path: Path, **options: object) -> None:
            other = TemplateIndex(64, options=EAGER.index)
            people = np.roll(self.people(self.ids()), shift)
            other.add(self.ids(), unit(len(self), seed=9), people=people)
            save(other, path, **options)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TemplateIndex, "save", lying)
            store.compact()
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        assert [p for p in store.check().problems if said in p]


def test_faces_that_bypass_the_gallery_are_seen_by_check(folder: Path, key: Key | None) -> None:
    with tampering(folder) as db:
        db.execute("DELETE FROM face WHERE id = (SELECT max(id) FROM face)")
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        assert [p for p in store.check().problems if "40 faces were written, 39 can be read" in p]


def test_small_galleries_keep_no_snapshot(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        store.search(VECTORS[:1], model_sha256=MODEL)
        store.compact()
    assert list((tmp_path / "g" / "index").iterdir()) == []


def test_closing_writes_a_snapshot_where_much_is_new(folder: Path, key: Key | None) -> None:
    before = snapshot(folder).name
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        store.add([new("Late", VECTORS[50])])
        store.search(VECTORS[:1], model_sha256=MODEL)
    assert snapshot(folder).name == before  # 1 of 41: not worth it
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        store.add([new("Late", v) for v in VECTORS[45:50]])
        store.search(VECTORS[:1], model_sha256=MODEL)
    assert snapshot(folder).name != before


def test_a_removal_leaves_a_snapshot_without_the_removed(folder: Path, key: Key | None) -> None:
    before = snapshot(folder).name
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        assert store.remove("Person 07") == 2
        assert list((folder / "index").iterdir()) == []
    assert snapshot(folder).name != before
    assert origin(folder, key) == "loaded from a snapshot"
    if key is None:
        content = snapshot(folder).read_bytes()
        assert VECTORS[6].tobytes() in content
        assert VECTORS[7].tobytes()[:16] not in content


def test_removing_nobody_loads_nothing(folder: Path, key: Key | None) -> None:
    with SqliteGallery(folder, key=key, options=EAGER) as store:
        with pytest.raises(UnknownPersonError):
            store.remove("Nobody")
        assert store.expire("2030-01-01T00:00:00+00:00") == 0
        assert store.info().index[MODEL].startswith("not loaded")


def test_after_another_compacted_it_the_index_is_made_again(folder: Path, key: Key | None) -> None:
    with (
        SqliteGallery(folder, key=key, options=EAGER) as first,
        SqliteGallery(folder, key=key, options=EAGER) as second,
    ):
        first.load_index()
        second.remove("Person 03")
        second.compact()
        (matches,) = first.search(VECTORS[3][None], model_sha256=MODEL, k=20, fusion="max")
        assert "Person 03" not in {match.person for match in matches}
        assert first.check().ok


@pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
def test_of_many_people_with_one_template_the_first_by_name_come(
    tmp_path: Path, fusion: Fusion
) -> None:
    others = unit(400, seed=3)  # more than are all looked at
    same = [new(f"Twin {99 - at}", VECTORS[0]) for at in range(90)]  # more than are candidates
    with SqliteGallery(tmp_path / "g", create=True) as store:
        store.add([new(f"Other {at}", row) for at, row in enumerate(others)])
        store.add(same)
        (found,) = store.search(VECTORS[:1], model_sha256=MODEL, k=3, fusion=fusion)
    assert [match.person for match in found] == ["Twin 10", "Twin 11", "Twin 12"]
    assert [match.faces for match in found] == [1, 1, 1]


def test_an_index_a_model(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        store.add([new("Other", v, model="m2", model_sha256="b" * 64) for v in unit(3, length=16)])
        store.load_index()
        assert len(list((tmp_path / "g" / "index").iterdir())) == 2
        store.remove("Other")
        (matches,) = store.search(
            np.eye(16, dtype=np.float32)[:1], model_sha256="b" * 64, fusion="max"
        )
        assert matches == []
        assert store.check().ok


def test_an_index_in_memory_follows_a_merge_by_another_process(
    folder: Path, key: Key | None
) -> None:
    with SqliteGallery(folder, key=key, options=EAGER) as here:
        assert top(here, 3) == ("Person 03", 2)
        with SqliteGallery(folder, key=key, options=EAGER) as there:
            there.add([new("Late", VECTORS[50])])
            there.merge("Late", "Person 03")
        assert top(here, 3) == ("Late", 3)
        assert top(here, 50) == ("Late", 3)
        assert here.check().ok
    # And a snapshot from before the merge.
    with SqliteGallery(folder, key=key, options=EAGER) as again:
        assert top(again, 3) == ("Late", 3)


def top(store: SqliteGallery, at: int) -> tuple[str, int]:
    (matches,) = store.search(VECTORS[at][None], model_sha256=MODEL, k=1, fusion="max")
    return matches[0].person, matches[0].faces
