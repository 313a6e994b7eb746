"""Enrolls many faces in one transaction."""

from __future__ import annotations

import sqlite3
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visavis.errors import ModelMismatchError
from visavis.gallery import timestamps
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.entries import FaceColumns
from visavis.gallery.sqlite import audit, tally
from visavis.gallery.sqlite.database import State
from visavis.gallery.sqlite.row_codec import (
    about_crop,
    about_person,
    batches,
    face_about,
    face_body,
    written_uid,
)
from visavis.types import Vectors


def dimensions(db: sqlite3.Connection) -> dict[str, int]:
    """Returns the template dimension by model hash."""
    return dict(db.execute("SELECT sha256, dimension FROM model").fetchall())


def find_person(db: sqlite3.Connection, cipher: ValueCipher, name: str) -> tuple[int, bytes] | None:
    """Returns row number and uid of a person by name in NFC; ``None`` if unknown."""
    found: tuple[int, bytes] | None = db.execute(
        "SELECT id, uid FROM person WHERE name_tag = ?", (cipher.blind(b"name", name),)
    ).fetchone()
    return found


def source_tag(cipher: ValueCipher, source_sha256: str) -> bytes | None:
    """Returns the keyed hash of a photo's hash, as in the table."""
    return cipher.blind(b"source", source_sha256) if source_sha256 else None


@dataclass(frozen=True, slots=True, eq=False)
class WriteResult:
    """Faces enrolled by a transaction, in the given order.

    Attributes:
        clock: clock of the gallery afterwards.
        numbers: numbers of the faces.
        people: row number of the person of each.
        models: row number of the model of each.
        quality_score: of each.
        vectors: template of each, as in ``entries.FaceColumns``.
        new_models: template dimension of models that had no face before.
    """

    clock: int
    numbers: list[int]
    people: list[int]
    models: list[int]
    quality_score: list[float]
    vectors: Vectors | list[Vectors]
    new_models: dict[int, int]


def insert(
    db: sqlite3.Connection,
    cipher: ValueCipher,
    state: State,
    checked: FaceColumns,
    *,
    copied: Sequence[int] | None = None,
) -> WriteResult:
    """Writes faces; call inside a write transaction.

    Args:
        db: connection inside the transaction.
        cipher: cipher of the gallery.
        state: state at the start of the transaction.
        checked: the faces.
        copied: time of each original enrollment, in microseconds since 1970; the audit log does
            not list a copy as an enrollment.

    Raises:
        ModelMismatchError: another process enrolled the model with another dimension meanwhile.
    """
    now = timestamps.now()
    faces = checked.faces
    models, new_models = _models(db, checked)
    pipeline_ids = _pipeline_ids(db, {face.pipeline_id for face in faces})
    people, clock = find_or_make(db, cipher, state.clock, dict.fromkeys(checked.people), now)
    rows, crops = [], []
    owners = [people[name][0] for name in checked.people]
    made_by = [models[face.model_sha256] for face in faces]
    tags: dict[str, bytes | None] = {}
    numbers = list(range(clock + 1, clock + 1 + len(checked)))
    times = [now] * len(faces) if copied is None else copied
    for number, owner, model, face, vector, expires, when in zip(
        numbers, owners, made_by, faces, _bytes(checked.vectors), checked.expires, times,
        strict=True,
    ):  # fmt: skip
        sha256 = face.photo_sha256
        if sha256 not in tags:
            tags[sha256] = source_tag(cipher, sha256)
        head = (
            number,
            owner,
            model,
            pipeline_ids[face.pipeline_id],
            tags[sha256],
            when,
            None if expires is None else timestamps.microseconds(expires),
            int(face.crop is not None),
        )
        body = face_body(face.quality_score, vector, face.photo, sha256)
        rows.append((*head, cipher.encrypt(body, face_about(head))))
        if face.crop is not None:
            crops.append((number, cipher.encrypt(face.crop, about_crop(number))))
    db.executemany("INSERT INTO face VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO crop VALUES (?, ?)", crops)
    tally.add_faces(db, made_by, numbers, owners, [row[6] for row in rows])
    db.execute("UPDATE state SET clock = ?", (numbers[-1],))
    if copied is None:
        _record(db, cipher, checked, people)
    quality_score = [float(face.quality_score) for face in faces]
    return WriteResult(
        numbers[-1], numbers, owners, made_by, quality_score, checked.vectors, new_models
    )


def _bytes(vectors: Vectors | list[Vectors]) -> list[bytes]:
    """Returns templates as little-endian float32 bytes."""
    if isinstance(vectors, list):
        return [vector.astype("<f4", copy=False).tobytes() for vector in vectors]
    joined, width = vectors.astype("<f4", copy=False).tobytes(), 4 * vectors.shape[1]
    return [joined[at : at + width] for at in range(0, len(joined), width)]


def _record(
    db: sqlite3.Connection,
    cipher: ValueCipher,
    checked: FaceColumns,
    people: Mapping[str, tuple[int, bytes]],
) -> None:
    hashes = [face.model_sha256 for face in checked.faces]
    counts = Counter(zip(checked.people, hashes, strict=True))
    details = {
        (count, sha256): {"faces": count, "model": sha256} for (_, sha256), count in counts.items()
    }
    audit.append(
        db,
        cipher,
        (
            audit.Event("enrol", written_uid(people[name][1]), details[count, sha256])
            for (name, sha256), count in counts.items()
        ),
    )


def _models(db: sqlite3.Connection, checked: FaceColumns) -> tuple[dict[str, int], dict[int, int]]:
    """Returns row numbers by model hash, and template dimensions of new models by row number."""
    known = {
        sha256: (number, length)
        for number, sha256, length in db.execute("SELECT id, sha256, dimension FROM model")
    }
    new: dict[int, int] = {}
    last = {face.model_sha256: at for at, face in enumerate(checked.faces)}
    for at in last.values():
        face, length = checked.faces[at], len(checked.vectors[at])
        number, wanted = known.get(face.model_sha256, (None, length))
        if wanted != length:
            raise ModelMismatchError(
                f"the template of '{checked.people[at]}' has {length} numbers, those of model "
                f"{face.model} have {wanted}",
                "use the model whose hash is given",
            )
        if number is None:
            made = db.execute(
                "INSERT INTO model (sha256, name, dimension) VALUES (?, ?, ?)",
                (face.model_sha256, face.model, length),
            )
            number = int(made.lastrowid or 0)
            new[number] = length
        known[face.model_sha256] = (number, length)
    return {sha256: number for sha256, (number, _) in known.items()}, new


def _pipeline_ids(db: sqlite3.Connection, texts: set[str]) -> dict[str, int]:
    db.executemany("INSERT OR IGNORE INTO setting (text) VALUES (?)", [(t,) for t in sorted(texts)])
    return {text: number for number, text in db.execute("SELECT id, text FROM setting")}


def find_or_make(
    db: sqlite3.Connection, cipher: ValueCipher, clock: int, names: Mapping[str, None], now: int
) -> tuple[dict[str, tuple[int, bytes]], int]:
    """Finds or adds people by name in NFC; returns row numbers and uids, and the clock."""
    # In the order of the index used for lookup and insertion.
    tags = dict(sorted((cipher.blind(b"name", name), name) for name in names))
    people: dict[str, tuple[int, bytes]] = {}
    for marks, part in batches(list(tags)):
        for number, uid, tag in db.execute(
            f"SELECT id, uid, name_tag FROM person WHERE name_tag IN ({marks})", part
        ):
            people[tags[tag]] = (number, uid)
    new = []
    for tag, name in tags.items():
        if name not in people:
            clock += 1
            uid = uuid.uuid4().bytes
            people[name] = (clock, uid)
            blob = cipher.encrypt(name.encode(), about_person(clock, uid, "name"))
            attributes = cipher.encrypt(b"{}", about_person(clock, uid, "attributes"))
            new.append((clock, uid, tag, blob, attributes, now))
    db.executemany("INSERT INTO person VALUES (?, ?, ?, ?, ?, ?)", new)
    tally.add_people(db, [(row[0], now) for row in new])
    return people, clock
