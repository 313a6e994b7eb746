"""Export and import: what goes out comes in, bit by bit, in any gallery, or not at all."""

from __future__ import annotations

import json
import sqlite3
import stat
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visavis.errors import (
    DataError,
    GalleryDamagedError,
    GalleryError,
    GalleryKeyError,
    ModelMismatchError,
    OptionError,
    PersonExistsError,
    VisavisError,
)
from visavis.gallery import transfer
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import wrapped_keyring
from visavis.gallery.crypto.value_cipher import PlainCipher
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.row_codec import face_about, face_body
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.store import GalleryStore
from visavis.gallery.transfer import Existing, export, import_, needs_key

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference_store import ReferenceStore
from tests.contracts.gallery_common import NAMES
from tests.contracts.gallery_machine import new_faces, values

pytestmark = pytest.mark.milvus


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess need not be costly here."""
    monkeypatch.setattr(transfer, "wrapped_keyring", partial(wrapped_keyring, cost=16))


def _milvus(folder: Path) -> GalleryStore:
    pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
    from visavis.gallery.milvus.store import MilvusGallery

    return MilvusGallery(str(folder / "gallery.db"), create=True)


def _sqlite(folder: Path) -> GalleryStore:
    return SqliteGallery(folder / "gallery", create=True)


MAKERS: dict[str, Callable[[Path], GalleryStore]] = {
    "reference": ReferenceStore,
    "sqlite": _sqlite,
    "milvus": _milvus,
}


def unit(rng: np.random.Generator, length: int) -> np.ndarray:
    vector = rng.normal(size=length).astype(np.float32)
    return vector / np.linalg.norm(vector)


def fill(store: GalleryStore) -> None:
    """Two models, several faces a person, crops, times, names of all kinds."""
    rng = np.random.default_rng(4)
    faces = [
        NewFace(
            name, unit(rng, 128 if at % 3 else 512), "sface" if at % 3 else "big",
            ("a" if at % 3 else "b") * 64, pipeline_id="yunet; central",
            quality_score=float(rng.random()), photo=f"Ördner/{at}.jpg",
            photo_sha256=f"{at:064x}", crop=rng.bytes(70_000) if at % 5 == 0 else None,
            expires="2099-01-01T00:00:00.000001+00:00" if at % 7 == 0 else None,
        )
        for at, name in enumerate(NAMES * 2)
    ]  # fmt: skip
    store.add(faces[:20])
    store.add(faces[20:])
    store.add([faces[3], faces[3]])  # the same template again, twice
    store.set_attributes("Anne", {"badge": 17, "ключ": [None, {"x": 0.1}]})


def small(folder: Path) -> GalleryStore:
    """Three people."""
    (folder / "source").mkdir()
    store, rng = ReferenceStore(folder / "source"), np.random.default_rng(0)
    store.add([NewFace(name, unit(rng, 64), "sface", "a" * 64) for name in ("A", "B", "C")])
    return store


def content(store: GalleryStore) -> Any:
    """All that an export keeps."""
    return (
        {p.name: (p.faces, p.attributes) for p in store.people()},
        [
            (f.person, f.vector.tobytes(), f.model, f.model_sha256, f.pipeline_id, f.quality_score,
             f.photo, f.photo_sha256, f.expires, store.crop(f.id))
            for f in store.faces()
        ],
    )  # fmt: skip


@pytest.fixture
def full(tmp_path: Path) -> GalleryStore:
    folder = tmp_path / "full"
    folder.mkdir()
    store = ReferenceStore(folder)
    fill(store)
    return store


@pytest.fixture
def empty(tmp_path: Path) -> GalleryStore:
    folder = tmp_path / "empty"
    folder.mkdir()
    return ReferenceStore(folder)


@pytest.mark.parametrize("key", [None, Key(b"k" * 32), Key(b"a passphrase", passphrase=True)],
                         ids=["plain", "key", "passphrase"])  # fmt: skip
def test_round_trip_through_every_store(tmp_path: Path, key: Key | None) -> None:
    wanted, digests, before = None, set(), None
    chain = ["sqlite", "milvus", "sqlite", "reference"]
    for at, kind in enumerate(chain):
        folder = tmp_path / f"{at}-{kind}"
        folder.mkdir()
        with MAKERS[kind](folder) as store:
            if before is None:
                fill(store)
                wanted = content(store)
            else:
                report = import_(store, before, key=key)
                assert (report.already, report.skipped) == (0, 0)
            assert content(store) == wanted
            report = export(store, folder / "out.visavis", key=key)
            assert report.encrypted == (key is not None)
            assert report.faces == len(wanted[1])
            assert report.people == len(wanted[0])
            assert report.crops == sum(face[-1] is not None for face in wanted[1])
            digests.add(report.content)
            assert store.check().ok
        before = folder / "out.visavis"
    assert len(digests) == 1


@given(
    batch=st.lists(new_faces(), max_size=8),
    attributes=st.dictionaries(st.text(max_size=5), values, max_size=3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_gallery(tmp_path_factory: Any, batch: list[NewFace], attributes: Any) -> None:
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    with _sqlite(first) as source, ReferenceStore(second) as target:
        source.add(batch)
        for person in list(source.people())[:1]:
            source.set_attributes(person.name, attributes)
        export(source, first / "out")
        report = import_(target, first / "out")
        assert content(target) == content(source)
        assert report.faces == len(batch)


def test_the_file_is_what_its_documentation_says(full: GalleryStore, tmp_path: Path) -> None:
    path = tmp_path / "out.visavis"
    export(full, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stored, people = list(full.faces()), list(full.people())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        entries = db.execute("SELECT action, details FROM audit ORDER BY seq").fetchall()
    assert [action for action, _ in entries] == ["create", "export"]
    details = json.loads(entries[1][1])
    assert details["faces"] == len(stored)
    assert details["people"] == len(people)
    # It is a gallery's database: in a folder it is a gallery.
    folder = tmp_path / "gallery"
    folder.mkdir()
    path.rename(folder / "gallery.sqlite")
    with SqliteGallery(folder) as gallery:
        assert content(gallery) == content(full)
        assert [face.created for face in gallery.faces()] == [face.created for face in stored]
        assert [p.created for p in gallery.people()] == [p.created for p in people]
        assert gallery.check().ok
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


def test_an_encrypted_file_tells_nothing(full: GalleryStore, tmp_path: Path) -> None:
    path = tmp_path / "out"
    export(full, path, key=Key(b"k" * 32))
    data = path.read_bytes()
    for face in full.faces():
        for start in range(0, len(face.vector), 4):
            assert face.vector[start : start + 4].tobytes() not in data
        if len(face.person.encode()) > 3:
            assert face.person.encode() not in data
        assert face.photo.encode() not in data


@pytest.mark.parametrize(
    ("made", "given_key"),
    [
        (None, Key(b"k" * 32)), (Key(b"k" * 32), None), (Key(b"k" * 32), Key(b"l" * 32)),
        (Key(b"k" * 32), Key(b"k" * 32, passphrase=True)),
        (Key(b"words and words", passphrase=True), Key(b"words or words", passphrase=True)),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path, made: Key | None, given_key: Key | None
) -> None:
    export(full, tmp_path / "out", key=made)
    with pytest.raises(GalleryKeyError):
        import_(empty, tmp_path / "out", key=given_key)
    assert content(empty) == ({}, [])


@pytest.mark.parametrize("key", [None, Key(b"k" * 32)], ids=["plain", "encrypted"])
def test_any_flipped_bit_is_noticed_before_anything_is_written(
    tmp_path: Path, key: Key | None
) -> None:
    path, source = tmp_path / "out", small(tmp_path)
    export(source, path, key=key)
    whole = path.read_bytes()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # unused room is full of zeros
    rng = np.random.default_rng(0)
    noticed = 0
    for number, at in enumerate(rng.choice(used, 120, replace=False)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        (tmp_path / str(number)).mkdir()
        target = ReferenceStore(tmp_path / str(number))
        try:
            import_(target, path, key=key)
        except VisavisError:
            noticed += 1
            assert content(target) == ({}, [])
        else:  # a bit that means nothing, as in the time of an enrollment: all came in as it was
            assert content(target) == content(source)
    assert noticed >= 95  # of 120


@pytest.mark.parametrize("end", [0, 1, 100, 0.5, -1])
def test_a_file_cut_short(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path, end: float
) -> None:
    path = tmp_path / "out"
    export(full, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * end)] if isinstance(end, float) else whole[:end])
    with pytest.raises(DataError, match="not an exported"):
        import_(empty, path)


def forged(path: Path, *statements: str) -> None:
    """Change a file as somebody does who knows the format, and make its checksums right again."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            db.executescript(statement)
        db.commit()


def body(face: NewFace, number: int = 3, *, quality_score: float = 0.5) -> str:
    """A statement that adds a face with a right checksum."""
    head = (number, 1, 1, 1, None, 0, None, 0)
    plain = face_body(quality_score, face.vector.astype("<f4").tobytes(), face.photo, "")
    blob = PlainCipher(bytes(32)).encrypt(plain, face_about(head)).hex()
    return f"INSERT OR REPLACE INTO face VALUES ({number}, 1, 1, 1, NULL, 0, NULL, 0, x'{blob}')"


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
NAN = NewFace("A", np.full(64, np.nan, np.float32), "sface", "a" * 64)
ONE = NewFace("A", np.eye(64, dtype=np.float32)[0], "sface", "a" * 64)
HOSTILE = {
    "a row is gone": ("DELETE FROM face WHERE id = (SELECT max(id) FROM face)",),
    "a row is back": (body(ONE, 99), "UPDATE state SET clock = 99"),
    "a body is another's": ("UPDATE face SET body = (SELECT body FROM face LIMIT 1 OFFSET 1)",),
    "not a number": (body(NAN),),
    "no quality score": (body(ONE, quality_score=float("nan")),),
    "beyond the clock": ("UPDATE state SET clock = 1",),
    "no state": ("DELETE FROM state",),
    "a state of text": ("UPDATE state SET clock = 'many'",),
    "no keyring": ("DELETE FROM meta",),
    "a keyring of text": ("UPDATE meta SET value = 'ring'",),
    "a deep keyring": (f"UPDATE meta SET value = '{'[' * 100_000}'",),
    "a costly passphrase": (
        """UPDATE meta SET value = '{"kind": "passphrase", "salt": "00", "cost": 1e300,"""
        """ "wrapped": "00"}'""",
    ),
    "uids of text": ("UPDATE person SET uid = 'me'",),
    "names of numbers": ("UPDATE person SET name = 7",),
    "no length": ("UPDATE model SET dimension = 0",),
    "a length below 0": ("UPDATE model SET dimension = -64",),
    "an endless length": ("UPDATE model SET dimension = 4611686018427387904",),
    "a length of text": ("UPDATE model SET dimension = 'long'",),
    "times out of range": ("UPDATE face SET created = 9223372036854775807",),
    "pipeline id of bytes": ("UPDATE setting SET text = x'ff'",),
    "text that is none": ("UPDATE model SET name = CAST(x'ff' AS TEXT)",),
    "a huge value": ("UPDATE face SET body = zeroblob(70000000)",),
    "an audit of its own": ("DROP TRIGGER audit_is_never_changed; UPDATE audit SET details = '{'",),
    "a view in place of a table": (
        f"DROP TABLE removal; CREATE VIEW removal AS {ENDLESS}",
    ),
    "one more view": (f"CREATE VIEW people AS {ENDLESS}",),
    "one more trigger": (
        "CREATE TRIGGER t AFTER INSERT ON face BEGIN DELETE FROM person; END",
    ),
    "an index that computes": ("CREATE INDEX i ON face (hex(zeroblob(100000)))",),
    "a newer format": ("INSERT INTO migration VALUES (99, '')",),
    "a format of text": ("UPDATE migration SET applied = 1; DELETE FROM migration",),
    "another program's": ("PRAGMA application_id = 1",),
}  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE)
def test_hostile_files(empty: GalleryStore, tmp_path: Path, change: str) -> None:
    path = tmp_path / "out"
    export(small(tmp_path), path)
    forged(path, *HOSTILE[change])
    before = time.monotonic()
    with pytest.raises((DataError, GalleryDamagedError, GalleryKeyError)) as refused:
        import_(empty, path)
    assert time.monotonic() - before < 10
    assert str(path) in refused.value.got
    assert content(empty) == ({}, [])
    assert needs_key(path) in {True, False}


def test_the_former_zip_is_refused_by_name(empty: GalleryStore, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "out.visavis", "w") as file:
        file.writestr("faces-00000.parquet", b"PAR1")
    with pytest.raises(DataError, match=r"0\.1\.0") as refused:
        import_(empty, tmp_path / "out.visavis")
    assert "export" in refused.value.remedy
    assert not needs_key(tmp_path / "out.visavis")


def test_a_file_on_a_read_only_medium(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path
) -> None:
    folder = tmp_path / "cd"
    folder.mkdir()
    export(full, folder / "out")
    before = (folder / "out").read_bytes()
    (folder / "out").chmod(0o400)
    folder.chmod(0o500)
    try:
        import_(empty, folder / "out")
    finally:
        folder.chmod(0o700)
    assert content(empty) == content(full)
    assert [p.name for p in folder.iterdir()] == ["out"]
    assert (folder / "out").read_bytes() == before


def test_people_whom_the_gallery_knows(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    total = export(full, path).faces
    rng = np.random.default_rng(9)
    empty.add([NewFace("Anne", unit(rng, 128), "sface", "a" * 64)])
    empty.set_attributes("Anne", {"mine": True})
    with pytest.raises(PersonExistsError, match="Anne"):
        import_(empty, path)
    assert len(list(empty.faces())) == 1
    annes = len(list(full.faces(person="Anne")))

    report = import_(empty, path, existing="skip")
    assert (report.faces, report.skipped) == (total - annes, 1)
    assert len(list(empty.faces(person="Anne"))) == 1

    report = import_(empty, path, existing="merge")
    assert (report.faces, report.already) == (annes, total - annes)
    assert len(list(empty.faces(person="Anne"))) == annes + 1
    assert empty.person("Anne").attributes == {"mine": True}
    again = import_(empty, path, existing="merge")
    assert (again.faces, again.already) == (0, total)
    with pytest.raises(OptionError):
        import_(empty, path, existing="replace")  # type: ignore[arg-type]


@pytest.mark.parametrize("existing", ["refuse", "skip", "merge"])
def test_an_interrupted_import_is_taken_up_again(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    existing: Existing,
) -> None:  # fmt: skip
    monkeypatch.setattr("visavis.gallery.transfer._PART", 9)
    path = tmp_path / "out"
    export(full, path)
    add, calls = empty.add, []

    def failing(faces: Any) -> list[int]:
        calls.append(len(faces))
        if len(calls) == 4:
            raise GalleryError("the disk is full", "make room")
        return add(faces)

    monkeypatch.setattr(empty, "add", failing)
    with pytest.raises(GalleryError, match="full"):
        import_(empty, path)
    assert len(list(empty.faces())) == 27
    monkeypatch.undo()
    report = import_(empty, path, existing=existing)
    assert report.already == 27
    assert content(empty) == content(full)
    again = import_(empty, path, existing=existing)
    assert (again.people, again.faces, again.already) == (0, 0, report.faces + 27)
    assert content(empty) == content(full)


def test_a_failing_export_leaves_nothing(
    full: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "old").write_text("kept")
    with pytest.raises(OptionError, match="old"):
        export(full, folder / "old")
    with pytest.raises(OptionError, match="none"):
        export(full, folder / "none" / "new")

    def failing(*_: object, **__: object) -> None:
        raise GalleryError("the audit cannot be written", "make room")

    monkeypatch.setattr(full, "note", failing)
    with pytest.raises(GalleryError):
        export(full, folder / "old", overwrite=True)
    assert [p.name for p in folder.iterdir()] == ["old"]
    assert (folder / "old").read_text() == "kept"


def test_both_are_in_the_audit(full: GalleryStore, empty: GalleryStore, tmp_path: Path) -> None:
    report = export(full, tmp_path / "out")
    import_(empty, tmp_path / "out")
    (entry,) = [e for e in full.audit() if e.action == "export"]
    assert entry.details["content"] == report.content
    assert (entry.details["people"], entry.details["faces"]) == (report.people, report.faces)
    (entry,) = [e for e in empty.audit() if e.action == "import"]
    assert entry.details["content"] == report.content
    assert (entry.details["people"], entry.details["faces"]) == (report.people, report.faces)
    assert full.check().ok
    assert empty.check().ok


def test_people_without_templates_are_counted_not_made(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path
) -> None:
    full.remove_faces([face.id for face in full.faces(person="Anne")])
    export(full, tmp_path / "out", crops=False)
    report = import_(empty, tmp_path / "out")
    assert report.skipped == 1
    assert report.crops == 0
    assert "Anne" not in {p.name for p in empty.people()}


def test_another_length_of_the_same_model(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path
) -> None:
    export(full, tmp_path / "out")
    empty.add([NewFace("Zeno", unit(np.random.default_rng(1), 64), "sface", "a" * 64)])
    with pytest.raises(ModelMismatchError):
        import_(empty, tmp_path / "out")


def test_levelled_templates_of_a_former_version(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path
) -> None:
    vector = unit(np.random.default_rng(1), 64)
    pipeline_id = "detector, crop, flip levelled 0123abcd"
    full.add([NewFace("Zeno", vector, "sface", "f" * 64, pipeline_id)])
    export(full, tmp_path / "out")
    before = list(empty.audit())
    with pytest.raises(ModelMismatchError) as refused:
        import_(empty, tmp_path / "out")
    assert str(tmp_path / "out") in refused.value.got
    assert (list(empty.people()), list(empty.audit())) == ([], before)


def test_progress(full: GalleryStore, empty: GalleryStore, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = export(full, tmp_path / "out", progress=lambda done, of: told.append((done, of)))
    import_(empty, tmp_path / "out", progress=lambda done, of: told.append((done, of)))
    assert told == [(report.faces, report.faces)] * 2


def test_not_an_export(empty: GalleryStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing"):
        import_(empty, tmp_path / "nothing")
    with pytest.raises(DataError):
        import_(empty, tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(DataError, match="not an exported"):
        import_(empty, tmp_path / "other.zip")
