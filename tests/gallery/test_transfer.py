"""Export and import: what goes out comes in, bit by bit, in any gallery, or not at all."""

from __future__ import annotations

import io
import json
import stat
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
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
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import wrapped_keyring
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.store import GalleryStore
from visavis.gallery.transfer import file as transfer_file
from visavis.gallery.transfer.file import MANIFEST
from visavis.gallery.transfer.move import export, import_

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference_store import ReferenceStore

from contracts.gallery_common import NAMES
from contracts.gallery_machine import new_faces, values

pytestmark = pytest.mark.milvus


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess need not be costly here."""
    monkeypatch.setattr(transfer_file, "wrapped_keyring", partial(wrapped_keyring, cost=16))


def _milvus(folder: Path) -> GalleryStore:
    pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
    from visavis.gallery.milvus import MilvusGallery

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
            ("a" if at % 3 else "b") * 64, settings="yunet; central",
            usability=float(rng.random()), photo=f"Ördner/{at}.jpg",
            photo_sha256=f"{at:064x}", crop=rng.bytes(70_000) if at % 5 == 0 else None,
            expires="2099-01-01T00:00:00.000001+00:00" if at % 7 == 0 else None,
        )
        for at, name in enumerate(NAMES * 2)
    ]  # fmt: skip
    store.add(faces[:20])
    store.add(faces[20:])
    store.add([faces[3], faces[3]])  # the same template again, twice
    store.set_attributes("Anne", {"badge": 17, "ключ": [None, {"x": 0.1}]})


def content(store: GalleryStore) -> Any:
    """All that an export keeps."""
    return (
        {p.name: (p.faces, p.attributes) for p in store.people()},
        [
            (f.person, f.vector.tobytes(), f.model, f.model_sha256, f.settings, f.usability,
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
    if key is None:  # the tables that hold content are the same byte for byte
        files = [zipfile.ZipFile(tmp_path / f"{n}-{kind}" / "out.visavis")
                 for n, kind in enumerate(chain)]  # fmt: skip
        tables = [n for n in files[0].namelist() if n.startswith(("faces-", "people."))]
        assert len(tables) >= 2
        for table in tables:
            assert len({file.read(table) for file in files}) == 1


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
    with zipfile.ZipFile(path) as file:
        manifest = json.loads(file.read(MANIFEST))
        table = pq.read_table(io.BytesIO(file.read("faces-00000.parquet")))
        people = pq.read_table(io.BytesIO(file.read("people.parquet"))).to_pylist()
        times = pq.read_table(io.BytesIO(file.read("times-00000.parquet"))).to_pylist()
    stored = list(full.faces())
    rows = table.to_pylist()
    assert [r["person"] for r in rows] == [f.person for f in stored]
    assert all(np.float32(r["vector"]).tobytes() == f.vector.tobytes()
               for r, f in zip(rows, stored, strict=True))  # fmt: skip
    assert [t["created"] for t in times] == [f.created for f in stored]
    assert [p["name"] for p in people] == [p.name for p in full.people()]
    assert manifest["format"] == 1
    assert manifest["faces"] == len(stored)
    assert manifest["models"] == {"a" * 64: "sface", "b" * 64: "big"}


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
    with zipfile.ZipFile(path) as file, pytest.raises(Exception, match=r"[Pp]arquet"):
        pq.read_table(io.BytesIO(file.read("people.parquet")))


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
    full: GalleryStore, empty: GalleryStore, tmp_path: Path, key: Key | None
) -> None:
    path = tmp_path / "out"
    export(full, path, key=key, crops=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for at in [*rng.integers(0, len(whole), 80), *range(len(whole) - 40, len(whole))]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            import_(empty, path, key=key)
        except VisavisError:
            noticed += 1
            assert content(empty) == ({}, [])
        else:  # a bit of the zip's own bookkeeping that means nothing: all came in as it was
            assert content(empty)[0] == content(full)[0]
            for person in list(empty.people()):
                empty.remove(person.name)
    assert noticed >= 95  # of 120


@pytest.mark.parametrize("end", [0, 1, 100, 0.5, -1])
def test_a_file_cut_short(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path, end: float
) -> None:
    path = tmp_path / "out"
    export(full, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * end)] if isinstance(end, float) else whole[:end])
    with pytest.raises(DataError, match="not an exported gallery"):
        import_(empty, path)


def _rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)


def test_members_that_were_tampered_with(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path
) -> None:
    def swap(members: dict[str, bytes]) -> None:
        members["people.parquet"] = members["faces-00000.parquet"]

    def drop(members: dict[str, bytes]) -> None:
        del members["people.parquet"]

    def add(members: dict[str, bytes]) -> None:
        manifest = members.pop(MANIFEST)
        members |= {"faces-00001.parquet": members["faces-00000.parquet"], MANIFEST: manifest}

    def forge(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        manifest["faces"] = 1
        members[MANIFEST] = json.dumps(manifest).encode()

    for change in (swap, drop, add, forge):
        path = tmp_path / change.__name__
        export(full, path)
        _rewritten(path, change)
        with pytest.raises(GalleryDamagedError):
            import_(empty, path)
        assert content(empty) == ({}, [])

    def newer(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps({"format": 2}).encode()

    export(full, tmp_path / "newer")
    _rewritten(tmp_path / "newer", newer)
    with pytest.raises(DataError, match="format 2"):
        import_(empty, tmp_path / "newer")


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


def test_an_interrupted_import_is_taken_up_again(
    full: GalleryStore, empty: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visavis.gallery.transfer.move._PART", 9)
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
    report = import_(empty, path)
    assert report.already == 27
    assert content(empty) == content(full)
    with pytest.raises(PersonExistsError):  # it was finished
        import_(empty, path)


def test_a_failing_export_leaves_nothing(
    full: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "old").write_text("kept")
    with pytest.raises(OptionError, match="exists"):
        export(full, folder / "old")
    with pytest.raises(OptionError, match="no folder"):
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
    assert [e.details["state"] for e in empty.audit() if e.action == "import"] == ["begun", "done"]
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
    settings = "detector, crop, flip levelled 0123abcd"
    full.add([NewFace("Zeno", vector, "sface", "f" * 64, settings)])
    export(full, tmp_path / "out")
    before = list(empty.audit())
    with pytest.raises(ModelMismatchError, match="new gallery") as refused:
        import_(empty, tmp_path / "out")
    assert str(tmp_path / "out") in refused.value.got
    assert (list(empty.people()), list(empty.audit())) == ([], before)


def test_progress(full: GalleryStore, empty: GalleryStore, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = export(full, tmp_path / "out", progress=lambda done, of: told.append((done, of)))
    import_(empty, tmp_path / "out", progress=lambda done, of: told.append((done, of)))
    assert told == [(report.faces, report.faces)] * 2


def test_not_an_export(empty: GalleryStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        import_(empty, tmp_path / "nothing")
    with pytest.raises(DataError):
        import_(empty, tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(DataError, match="not an exported gallery"):
        import_(empty, tmp_path / "other.zip")
