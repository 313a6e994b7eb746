"""Enrolment: many faces in one transaction."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from visavis.errors import ModelMismatchError
from visavis.gallery import audit, moments
from visavis.gallery.cipher import Seal
from visavis.gallery.database import State
from visavis.gallery.records import NewFace
from visavis.gallery.removing import batches
from visavis.gallery.sealed_rows import about_crop, about_person, face_about, face_body, written_uid


def dimensions(db: sqlite3.Connection) -> dict[str, int]:
    """Length of a template by model hash."""
    return dict(db.execute("SELECT sha256, dimension FROM model").fetchall())


def find_person(db: sqlite3.Connection, seal: Seal, name: str) -> tuple[int, bytes] | None:
    """Row number and uid of a person by composed name."""
    found: tuple[int, bytes] | None = db.execute(
        "SELECT id, uid FROM person WHERE name_tag = ?", (seal.blind(b"name", name),)
    ).fetchone()
    return found


def source_tag(seal: Seal, source_sha256: str) -> bytes | None:
    """What stands for a photo's hash in the table."""
    return seal.blind(b"source", source_sha256) if source_sha256 else None


def insert(db: sqlite3.Connection, seal: Seal, state: State, faces: Sequence[NewFace]) -> list[int]:
    """Write faces that ``entries.usable_faces`` has accepted; call it in a write transaction.

    Returns:
        Their numbers.

    Raises:
        ModelMismatchError: another process enrolled the model with another length meanwhile.
    """
    now = moments.now()
    models = _models(db, faces)
    settings = _settings(db, {face.settings for face in faces})
    people, clock = _people(db, seal, state.clock, dict.fromkeys(f.person for f in faces), now)
    rows, crops = [], []
    tags: dict[str, bytes | None] = {}
    for number, face in enumerate(faces, clock + 1):
        sha256 = face.source_sha256
        if sha256 not in tags:
            tags[sha256] = source_tag(seal, sha256)
        expires = None if face.expires is None else moments.microseconds(face.expires)
        head = (
            number,
            people[face.person][0],
            models[face.model_sha256],
            settings[face.settings],
            tags[sha256],
            now,
            expires,
            int(face.crop is not None),
        )
        vector = face.vector.astype("<f4", copy=False).tobytes()
        body = face_body(face.usability, vector, face.source, sha256)
        rows.append((*head, seal.seal(body, face_about(head))))
        if face.crop is not None:
            crops.append((number, seal.seal(face.crop, about_crop(number))))
    db.executemany("INSERT INTO face VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO crop VALUES (?, ?)", crops)
    db.execute("UPDATE state SET clock = ?", (clock + len(faces),))
    _record(db, seal, faces, people)
    return list(range(clock + 1, clock + 1 + len(faces)))


def _record(
    db: sqlite3.Connection,
    seal: Seal,
    faces: Sequence[NewFace],
    people: Mapping[str, tuple[int, bytes]],
) -> None:
    counts = Counter((face.person, face.model_sha256) for face in faces)
    audit.append(
        db,
        seal,
        (
            audit.Event("enrol", written_uid(people[name][1]), {"faces": count, "model": sha256})
            for (name, sha256), count in counts.items()
        ),
    )


def _models(db: sqlite3.Connection, faces: Sequence[NewFace]) -> dict[str, int]:
    known = {
        sha256: (number, length)
        for number, sha256, length in db.execute("SELECT id, sha256, dimension FROM model")
    }
    for face in {face.model_sha256: face for face in faces}.values():
        length = len(face.vector)
        number, wanted = known.get(face.model_sha256, (None, length))
        if wanted != length:
            raise ModelMismatchError(
                f"the template of '{face.person}' has {length} numbers, those of model "
                f"{face.model} have {wanted}",
                "use the model whose hash is given",
            )
        if number is None:
            number = db.execute(
                "INSERT INTO model (sha256, name, dimension) VALUES (?, ?, ?)",
                (face.model_sha256, face.model, length),
            ).lastrowid
        known[face.model_sha256] = (number, length)
    return {sha256: number for sha256, (number, _) in known.items()}


def _settings(db: sqlite3.Connection, texts: set[str]) -> dict[str, int]:
    db.executemany("INSERT OR IGNORE INTO setting (text) VALUES (?)", [(t,) for t in sorted(texts)])
    return {text: number for number, text in db.execute("SELECT id, text FROM setting")}


def _people(
    db: sqlite3.Connection, seal: Seal, clock: int, names: Mapping[str, None], now: int
) -> tuple[dict[str, tuple[int, bytes]], int]:
    people, new = {}, []
    tags = {name: seal.blind(b"name", name) for name in names}
    there: dict[bytes, tuple[int, bytes]] = {}
    for marks, part in batches(list(tags.values())):
        for number, uid, tag in db.execute(
            f"SELECT id, uid, name_tag FROM person WHERE name_tag IN ({marks})", part
        ):
            there[tag] = (number, uid)
    for name, tag in tags.items():
        found = there.get(tag)
        if found is None:
            clock += 1
            uid = _random_uid()
            found = (clock, uid)
            new.append(
                (
                    clock,
                    uid,
                    tag,
                    seal.seal(name.encode(), about_person(clock, uid, "name")),
                    seal.seal(b"{}", about_person(clock, uid, "attributes")),
                    now,
                )
            )
        people[name] = found
    db.executemany("INSERT INTO person VALUES (?, ?, ?, ?, ?, ?)", new)
    return people, clock


def _random_uid() -> bytes:
    """A random UUID (RFC 9562, version 4)."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)
