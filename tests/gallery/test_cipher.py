"""Keys, sealed values, what a flipped bit or a wrong key does, and changing keys."""

from __future__ import annotations

import base64
import hmac
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import GalleryDamagedError, GalleryError, GalleryKeyError
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import open_keyring, plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import AesCipher, PlainCipher
from visavis.gallery.sqlite import upkeep
from visavis.gallery.sqlite.opening import GalleryOptions
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
    flipped,
    new,
    tampering,
)

CHEAP = GalleryOptions(scrypt_cost=16)
SEALS = [PlainCipher(b"k" * 32), AesCipher(b"k" * 32)]


@pytest.mark.parametrize("cipher", SEALS)
@given(data=st.binary(max_size=50), about=st.binary(max_size=9), at=st.integers(0, 10**6))
def test_what_is_sealed_opens_there_and_unchanged_only(
    cipher: PlainCipher, data: bytes, about: bytes, at: int
) -> None:
    blob = cipher.encrypt(data, about)
    assert cipher.decrypt(blob, about) == data
    assert cipher.decrypt(blob, about + b"x") is None
    assert cipher.decrypt(flipped(blob, at % len(blob)), about) is None
    assert cipher.decrypt(blob[:-1], about) is None
    assert cipher.decrypt(b"", about) is None


def test_sealing_twice_looks_different() -> None:
    assert len({AesCipher(b"k" * 32).encrypt(b"Anne", b"name") for _ in range(100)}) == 100


@pytest.mark.parametrize("length", [0, 16, 32, 64, 65, 200])
def test_what_stands_for_a_name_is_a_keyed_hash(length: int) -> None:
    key = bytes(range(length))
    for text in ("", "Anne", "Zoë" * 40):
        wanted = hmac.digest(key, b"name\0" + text.encode(), "sha256")[:16]
        assert PlainCipher(key).blind(b"name", text) == wanted


def test_what_stands_for_a_name_depends_on_kind_and_key() -> None:
    cipher = AesCipher(b"k" * 32)
    assert cipher.blind(b"name", "Anne") == AesCipher(b"k" * 32).blind(b"name", "Anne")
    other = {cipher.blind(b"source", "Anne"), AesCipher(b"l" * 32).blind(b"name", "Anne")}
    assert cipher.blind(b"name", "Anne") not in other
    assert b"Anne" not in cipher.blind(b"name", "Anne")


@pytest.mark.parametrize(
    "text",
    [
        "00ff" * 16,
        "00FF" * 16 + "\n",
        " 00ff" * 16,
        base64.b64encode(b"\0\xff" * 16).decode(),
        base64.urlsafe_b64encode(b"\0\xff" * 16).decode(),
    ],
)
def test_forms_of_a_key(tmp_path: Path, text: str) -> None:
    assert Key.from_text(text) == Key(b"\0\xff" * 16)
    (tmp_path / "key").write_text(text)
    assert Key.from_file(tmp_path / "key") == Key(b"\0\xff" * 16)
    (tmp_path / "raw").write_bytes(b"\0\xff" * 16)
    assert Key.from_file(tmp_path / "raw") == Key(b"\0\xff" * 16)
    assert Key.from_text(Key.from_text(text).to_text()) == Key(b"\0\xff" * 16)


@pytest.mark.parametrize("text", ["", "secret", "00" * 31, "zz" * 32, "ü" * 64, "A" * 42])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(GalleryKeyError, match="openssl rand -hex 32") as raised:
        Key.from_text(text)
    assert text not in str(raised.value) or not text
    (tmp_path / "key").write_text(text, encoding="utf-8")
    with pytest.raises(GalleryKeyError, match="key"):
        Key.from_file(tmp_path / "key")
    with pytest.raises(GalleryKeyError, match="nothing"):
        Key.from_file(tmp_path / "nothing")


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Key.from_passphrase("very secret words"))
    assert len({Key.generate().secret for _ in range(10)}) == 10
    with pytest.raises(GalleryKeyError):
        Key.from_passphrase("short")
    with pytest.raises(GalleryKeyError):
        Key.from_passphrase("long enough").to_text()


@pytest.mark.parametrize("key", [KEY, Key.from_passphrase("correct horse")])
def test_keyrings(key: Key) -> None:
    text, cipher = wrapped_keyring(key, cost=16)
    again = open_keyring(text, key, where="g")
    assert again.decrypt(cipher.encrypt(b"x", b"y"), b"y") == b"x"
    for wrong in (None, OTHER, Key.from_passphrase("incorrect horse")):
        with pytest.raises(GalleryKeyError):
            open_keyring(text, wrong, where="g")
    for damaged in ("", "{}", "null", text[:-9], text.replace("salt", "sold")):
        with pytest.raises(GalleryDamagedError):
            open_keyring(damaged, key, where="g")
    with pytest.raises(GalleryKeyError, match="not encrypted"):
        open_keyring(plain_keyring()[0], key, where="g")


def test_a_keyring_cannot_ask_for_endless_work() -> None:
    text, _ = wrapped_keyring(Key.from_passphrase("correct horse"), cost=16)
    with pytest.raises(GalleryDamagedError):
        open_keyring(text.replace('"cost": 16', '"cost": 1073741824'),
                     Key.from_passphrase("correct horse"), where="g")  # fmt: skip


@pytest.mark.parametrize("key", [KEY, Key.from_passphrase("correct horse")], ids=["key", "words"])
def test_only_the_key_opens_a_gallery(tmp_path: Path, key: Key) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=CHEAP) as store:
        crowd(store)
        assert store.info().encrypted
        before = everything(store)
    for wrong in (None, OTHER, Key.from_passphrase("incorrect horse")):
        with pytest.raises(GalleryKeyError):
            SqliteGallery(tmp_path / "g", create=True, key=wrong)
    with SqliteGallery(tmp_path / "g", key=key) as store:
        assert everything(store) == before
    with SqliteGallery(tmp_path / "p", create=True) as store:
        crowd(store)
    with pytest.raises(GalleryKeyError, match="not encrypted"):
        SqliteGallery(tmp_path / "p", key=key)


def test_an_encrypted_gallery_shows_nobody(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=KEY, options=EAGER) as store:
        sha256, crop = "0123456789abcdef" * 4, b"picture of somebody " * 400
        store.add([new("Gudrun Gesucht", VECTORS[0], photo="folder/gudrun.jpg",
                       photo_sha256=sha256, crop=crop, quality_score=0.123456789)])  # fmt: skip
        store.set_attributes("Gudrun Gesucht", {"note": "unmistakable"})
        store.load_index()
        store.search(VECTORS[:1], model_sha256=MODEL)
        files = [p for p in (tmp_path / "g").rglob("*") if p.is_file()]
        assert {p.parent.name for p in files} == {"g", "index"}
        content = b"".join(p.read_bytes() for p in files)
        raw = VECTORS[0].tobytes()
        for piece in (b"Gudrun", b"gudrun", b"unmistakable", b"somebody", sha256.encode(),
                      *(raw[i : i + 8] for i in range(0, 256, 8))):  # fmt: skip
            assert piece not in content
        assert KEY.secret not in content


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE face SET body = {flip} WHERE id = {face}",
        "UPDATE face SET expires = 5 WHERE id = {face}",
        "UPDATE face SET person = (SELECT min(id) FROM person p WHERE p.id <> face.person) "
        "WHERE id = {face}",
        "UPDATE face SET body = (SELECT body FROM face ORDER BY id DESC LIMIT 1) WHERE id = {face}",
        "UPDATE face SET created = created + 1 WHERE id = {face}",
        "UPDATE face SET source_tag = NULL WHERE id = {face}",
        "UPDATE face SET body = 'text' WHERE id = {face}",
    ],
)
def test_a_changed_face_is_named(tmp_path: Path, key: Key | None, change: str) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key) as store:
        numbers = store.add(
            [new(f"P{i}", v, photo_sha256="b" * 64) for i, v in enumerate(VECTORS[:10])]
        )
        face = numbers[4]
    with tampering(tmp_path / "g") as db:
        (body,) = db.execute("SELECT body FROM face WHERE id = ?", (face,)).fetchone()
        flip = f"x'{flipped(body, 100).hex()}'"
        assert db.execute(change.format(flip=flip, face=face)).rowcount == 1
    with SqliteGallery(tmp_path / "g", key=key) as store:
        report = store.check()
        assert not report.ok
        assert [p for p in report.problems if f"face {face}" in p], report.problems
        assert not [p for p in report.problems if f"face {numbers[5]}:" in p]
        with pytest.raises(GalleryDamagedError, match=f"face {face} "):
            list(store.faces())
        with pytest.raises(GalleryDamagedError, match=f"face {face} "):
            store.search(VECTORS[:1], model_sha256=MODEL)
        assert store.remove_faces([face]) == 1
        assert len(list(store.faces())) == 9
        assert store.check().ok


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("column", ["name", "attributes"])
def test_a_changed_person_is_named(tmp_path: Path, key: Key | None, column: str) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key) as store:
        crowd(store)
        person = store.person("Person 07")
    with tampering(tmp_path / "g") as db:
        uid = bytes.fromhex(person.id.replace("-", ""))
        (blob,) = db.execute(f"SELECT {column} FROM person WHERE uid = ?", (uid,)).fetchone()
        db.execute(f"UPDATE person SET {column} = ? WHERE uid = ?", (flipped(blob, 0), uid))
    with SqliteGallery(tmp_path / "g", key=key) as store:
        assert [p for p in store.check().problems if person.id in p and column in p]
        with pytest.raises(GalleryDamagedError, match=f"{column} of person {person.id}"):
            list(store.people())


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_changed_or_missing_crop_is_named(tmp_path: Path, key: Key | None) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key) as store:
        one, two, three = store.add([new("A", v, crop=b"png" * 9) for v in VECTORS[:3]])
    with tampering(tmp_path / "g") as db:
        (blob,) = db.execute("SELECT png FROM crop WHERE face = ?", (one,)).fetchone()
        db.execute("UPDATE crop SET png = ? WHERE face = ?", (flipped(blob, 5), one))
        db.execute("DELETE FROM crop WHERE face = ?", (two,))
    with SqliteGallery(tmp_path / "g", key=key) as store:
        problems = store.check().problems
        assert len(problems) == 2
        for number in (one, two):
            assert any(f"face {number}:" in p for p in problems)
            with pytest.raises(GalleryDamagedError, match=f"crop of face {number} "):
                store.crop(number)
        assert store.crop(three) == b"png" * 9


def test_a_flipped_bit_anywhere_is_an_error_or_seen_by_check(tmp_path: Path) -> None:
    """Every page of the file: an error that names the gallery, never a traceback of SQLite."""
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
    file = tmp_path / "g" / "gallery.sqlite"
    sound = file.read_bytes()
    seen = 0
    for at in range(40, len(sound), 1499):
        file.write_bytes(flipped(sound, at))
        try:
            with SqliteGallery(tmp_path / "g") as store:
                seen += not store.check().ok
                everything(store)
                store.search(VECTORS[:1], model_sha256=MODEL)
        except GalleryError:
            seen += 1
        (tmp_path / "g" / "gallery.sqlite-wal").unlink(missing_ok=True)
        (tmp_path / "g" / "gallery.sqlite-shm").unlink(missing_ok=True)
    assert seen > 5


KEYS = [None, KEY, Key.from_passphrase("correct horse")]


@pytest.mark.parametrize("old", KEYS, ids=["plain", "key", "words"])
@pytest.mark.parametrize("now", KEYS, ids=["plain", "key", "words"])
@pytest.mark.parametrize("reencrypt", [False, True])
def test_rekeying(tmp_path: Path, old: Key | None, now: Key | None, reencrypt: bool) -> None:
    options = GalleryOptions(scrypt_cost=16, snapshot_from=1)
    with SqliteGallery(tmp_path / "g", create=True, key=old, options=options) as store:
        crowd(store)
        store.add([new("With", VECTORS[50], crop=b"png", photo_sha256="d" * 64)])
        store.set_attributes("Person 01", {"a": 1})
        store.load_index()
        before = everything(store)
        if old is None and now is None and not reencrypt:
            with pytest.raises(GalleryKeyError, match="give a key"):
                store.rekey(now)
            return
        store.rekey(now, reencrypt=reencrypt)
        assert everything(store) == before
        assert store.info().encrypted == (now is not None)
        assert store.check().ok
        store.add([new("Later", VECTORS[51])])
    if now != old:
        with pytest.raises(GalleryKeyError):
            SqliteGallery(tmp_path / "g", key=old)
    with SqliteGallery(tmp_path / "g", key=now) as store:
        assert store.has_source("d" * 64, person="With", model_sha256=MODEL)
        store.remove("Later")
        assert everything(store) == before
        assert store.check().ok
        assert "rekey" in [entry.action for entry in store.audit()]
    content = b"".join(p.read_bytes() for p in (tmp_path / "g").rglob("*") if p.is_file())
    assert (b"Person 01" in content) == (now is None)


def test_the_old_key_opens_nothing_that_is_left(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=KEY) as store:
        crowd(store)
        with store._db.reading() as (db, _):
            (ring,) = db.execute("SELECT value FROM meta WHERE key = 'keyring'").fetchone()
        store.rekey(OTHER)
        wrapped = ring.split('"wrapped": "')[1][:40].encode()
        for path in (tmp_path / "g").rglob("*"):
            assert path.is_dir() or wrapped not in path.read_bytes()


def test_others_are_told_that_the_key_was_changed(tmp_path: Path) -> None:
    with (
        SqliteGallery(tmp_path / "g", create=True, key=KEY) as first,
        SqliteGallery(tmp_path / "g", key=KEY) as second,
    ):
        crowd(first)
        first.rekey(OTHER)
        assert len(list(second.people())) == 20  # the same data key: they may go on
        first.rekey(KEY, reencrypt=True)
        for call in (lambda: second.person("Person 01"), lambda: crowd(second)):
            with pytest.raises(GalleryKeyError, match="another process"):
                call()
        assert len(list(first.people())) == 20


def test_other_threads_write_and_read_across_a_change_of_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the transaction and the end of the cleaning they have the new key as well."""
    clean = upkeep.Eraser.drop_stale_snapshots

    def meanwhile(self: upkeep.Eraser) -> None:
        thread = threading.Thread(target=store.add, args=([new("Meanwhile", VECTORS[50])],))
        thread.start()
        thread.join()
        clean(self)

    with SqliteGallery(tmp_path / "g", create=True, key=KEY) as store:
        crowd(store)
        monkeypatch.setattr("visavis.gallery.sqlite.read._PART", 5)
        listing = store.faces()
        first = [next(listing).id for _ in range(5)]
        with monkeypatch.context() as patch:
            patch.setattr(upkeep.Eraser, "drop_stale_snapshots", meanwhile)
            store.rekey(OTHER, reencrypt=True)
        assert len({*first, *(face.id for face in listing)}) == 40
        assert store.check().ok
    with SqliteGallery(tmp_path / "g", key=OTHER) as store:
        assert store.person("Meanwhile").faces == {MODEL: 1}
        assert store.check().ok


def test_rekeying_damaged_data_changes_nothing(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        face = crowd(store)[-1]
    with tampering(tmp_path / "g") as db:
        db.execute("UPDATE face SET expires = 5 WHERE id = ?", (face,))
    with SqliteGallery(tmp_path / "g") as store:
        with pytest.raises(GalleryDamagedError, match=f"face {face} "):
            store.rekey(KEY)
        assert store.remove_faces([face]) == 1
    with SqliteGallery(tmp_path / "g") as store:
        assert not store.info().encrypted
        assert len(list(store.people())) == 20


def test_dying_after_rekeying_leaves_the_cleaning_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the transaction and the new file, plain names are in freed pages still."""

    class DeadError(Exception):
        pass

    def die(*_: object) -> None:
        raise DeadError

    store = SqliteGallery(tmp_path / "g", create=True)
    crowd(store)
    with monkeypatch.context() as patch:
        patch.setattr(upkeep.Eraser, "rewrite_locked", die)
        with pytest.raises(DeadError):
            store.rekey(KEY)
    store._db.close()
    with SqliteGallery(tmp_path / "g", key=KEY) as store:
        assert len(list(store.people())) == 20
        content = b"".join(p.read_bytes() for p in (tmp_path / "g").rglob("*") if p.is_file())
        assert b"Person 01" not in content
