"""Moving people and their templates from one gallery to another, by way of a file.

``export`` writes one (its format: ``visavis.gallery.transfer.file``), ``import_`` takes one in;
between them a gallery moves from SQLite to Milvus and back, template by template, bit by bit.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from visavis.errors import (
    GalleryDamagedError,
    GalleryError,
    ModelMismatchError,
    OptionError,
    PersonExistsError,
)
from visavis.former import ENROLL_AGAIN, incomparable, levelled
from visavis.gallery.crypto.key import Key
from visavis.gallery.entries import attributes_text
from visavis.gallery.records import NewFace, Person, StoredFace
from visavis.gallery.store import GalleryStore
from visavis.gallery.transfer.file import ExportReader, ExportWriter
from visavis.types import Record
from visavis.version import __version__
from visavis.writing import sync_folder

Existing = Literal["refuse", "merge", "skip"]
"""What to do with people of the file whom the gallery knows: refuse the whole file; give them the
templates they lack; leave them as they are."""

Progress = Callable[[int, int], None]
"""Called with the faces done and the faces in all."""

_PART: Final = 10_000
_PART_BYTES: Final = 32 << 20
# Columns of the file, with the attribute of a face that each holds.
_COLUMNS: Final = {
    "person": "person", "model": "model", "model_sha256": "model_sha256", "settings": "settings",
    "usability": "usability", "source": "photo", "source_sha256": "photo_sha256",
    "expires": "expires",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferReport(Record):
    """What was exported or imported.

    Attributes:
        path: the file.
        people: people written to the file, or given templates in the gallery.
        faces: templates written, or added.
        crops: how many of them with their crop.
        encrypted: whether the file is; one that is not holds biometric data for all to read.
        content: digest of people and faces, equal for galleries that hold the same.
        already: templates that the gallery had; 0 for an export.
        skipped: people left as they were, or without any template, who cannot be imported.
    """

    path: str
    people: int
    faces: int
    crops: int
    encrypted: bool
    content: str
    already: int = 0
    skipped: int = 0


def export(
    store: GalleryStore,
    path: Path,
    *,
    key: Key | None = None,
    crops: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TransferReport:
    """Write everybody to a file, whole or not at all, and note it in the audit.

    Args:
        store: any gallery.
        path: the file to make. It is written beside itself and moved there at the end, readable
            for its owner only.
        key: encrypts the file; without one anybody who has the file has the templates.
        crops: whether kept crops go along.
        overwrite: whether a file that is there is replaced.
        progress: is told how far it is.

    Raises:
        OptionError: the file exists, or its folder does not.
        GalleryError: the gallery is closed, or the file cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OptionError(f"{path} exists", "name another file or ask to overwrite it")
    if not path.parent.is_dir():
        raise OptionError(f"there is no folder {path.parent}", "make it first")
    info = store.info()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        writer = ExportWriter(beside, key)
        try:
            report = _written(store, writer, path, crops, sum(info.faces.values()), progress)
            writer.close({
                "made_by": f"visavis {__version__}",
                "exported": datetime.now(UTC).isoformat(timespec="seconds"),
                "people": report.people, "faces": report.faces, "crops": report.crops,
                "models": info.models,
            })  # fmt: skip
            store.note("export", details={
                "people": report.people, "faces": report.faces, "crops": report.crops,
                "encrypted": report.encrypted, "content": report.content,
            })  # fmt: skip
            beside.replace(path)
        finally:
            writer.abandon()
            beside.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path} cannot be written ({error.strerror or error})", "name another place"
        ) from error
    return report


def _written(  # noqa: PLR0917
    store: GalleryStore, writer: ExportWriter, path: Path, crops: bool, total: int,
    progress: Progress | None,
) -> TransferReport:  # fmt: skip
    faces = kept = part = size = 0
    held: list[tuple[StoredFace, bytes | None]] = []
    seen: set[str] = set()
    for face in store.faces():
        crop = store.crop(face.id) if crops and face.has_crop else None
        held.append((face, crop))
        seen.add(face.person)
        faces, kept, size = faces + 1, kept + (crop is not None), size + len(crop or b"")
        if len(held) == _PART or size > _PART_BYTES:
            _put_faces(writer, part, held)
            held, part, size = [], part + 1, 0
            if progress is not None:
                progress(faces, max(total, faces))
    if held or not part:
        _put_faces(writer, part, held)
    people = {p.name: p for p in store.people()}
    # Somebody who was renamed meanwhile has faces under one name and a row under the other.
    names = sorted(seen | set(people))
    _put_people(writer, names, people)
    if progress is not None:
        progress(faces, faces)
    return TransferReport(
        path=str(path), people=len(names), faces=faces, crops=kept,
        encrypted=writer.cipher.encrypted, content=writer.content,
    )  # fmt: skip


def _put_faces(
    writer: ExportWriter, part: int, held: list[tuple[StoredFace, bytes | None]]
) -> None:
    import pyarrow as pa

    faces = [face for face, _ in held]
    lengths = [len(face.vector) for face in faces]
    flat = np.concatenate([face.vector for face in faces]) if faces else np.zeros(0, np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    texts = {
        column: pa.array([getattr(face, name) for face in faces],
                         pa.float64() if name == "usability" else pa.string())
        for column, name in _COLUMNS.items()
    }  # fmt: skip
    writer.table(f"faces-{part:05}.parquet", {
        **texts,
        "vector": pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32())),
        "crop": pa.array([crop for _, crop in held], pa.binary()),
    })  # fmt: skip
    writer.table(
        f"times-{part:05}.parquet", {"created": pa.array([f.created for f in faces], pa.string())}
    )


def _put_people(writer: ExportWriter, names: list[str], people: Mapping[str, Person]) -> None:
    import pyarrow as pa

    texts = [attributes_text(people[n].attributes if n in people else {}) for n in names]
    times = [people[n].created if n in people else None for n in names]
    writer.table("people.parquet", {
        "name": pa.array(names, pa.string()), "attributes": pa.array(texts, pa.string()),
    })  # fmt: skip
    writer.table("times-people.parquet", {"created": pa.array(times, pa.string())})


def import_(
    store: GalleryStore,
    path: Path,
    *,
    existing: Existing = "refuse",
    key: Key | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """Take in a file that ``export`` made.

    The file is verified from end to end, and names are compared, before anything is written.
    Templates then go in by parts, each all or none. An import that was interrupted is taken up
    again by importing the same file: a template that a person has already, of the same model and
    bit for bit, is not added twice. Person ids, face numbers and times of enrollment are the
    gallery's own.

    Args:
        store: any gallery.
        path: the file.
        existing: what to do with people whom the gallery knows. With ``merge`` they keep their
            attributes if they have any.
        key: of an encrypted file.
        progress: is told how far it is.

    Raises:
        DataError: not an exported gallery, or of a newer format.
        GalleryKeyError: the key is missing, wrong, or given for a file without.
        GalleryDamagedError: the file is not what was written; nothing was imported.
        PersonExistsError: the gallery knows some of the names and ``existing`` is ``refuse``.
        ModelMismatchError: templates differ in length from the gallery's of the same model, or
            were levelled by a former version; nothing was imported.
        OptionError: another value of ``existing``.
    """
    if existing not in {"refuse", "merge", "skip"}:
        raise OptionError(f"existing={existing!r}", "choose refuse, merge or skip")
    reader = ExportReader(Path(path), key)
    try:
        reader.verify()
        content = str(reader.manifest["content"])
        require_comparable(reader)
        info = store.info()
        for sha256 in reader.manifest["models"]:
            info.require_plain(sha256)
        attributes = _attributes(reader)
        known = _known(store, attributes)
        resumed = _begun(store, content)
        if known and existing == "refuse" and not resumed:
            some = ", ".join(f"'{name}'" for name in sorted(known)[:3])
            raise PersonExistsError(
                f"{len(known)} of the people in {path} are in the gallery: {some}",
                "choose to merge or to skip them",
            )
        details = {"content": content, "existing": existing}
        store.note("import", details={**details, "state": "begun"})
        left = known if existing == "skip" and not resumed else set()
        report = _taken_in(store, reader, attributes, known - left, left, progress)
        counts = {"people": report.people, "faces": report.faces, "already": report.already}
        store.note("import", details={**details, **counts, "state": "done"})
    finally:
        reader.close()
    return report


def require_comparable(reader: ExportReader) -> None:
    """Raise ModelMismatchError where templates of the file were levelled by a former version."""
    for settings in reader.settings():
        if levelled(settings):
            what = f"{reader.path}: people enrolled"
            raise ModelMismatchError(incomparable(what, settings), ENROLL_AGAIN)


def _attributes(reader: ExportReader) -> dict[str, dict[str, Any]]:
    try:
        return {
            row["name"]: json.loads(row["attributes"])
            for rows in reader.tables("people.")
            for row in rows
        }
    except (KeyError, ValueError, TypeError) as error:
        raise GalleryDamagedError(
            f"the table of people in {reader.path} is not as its format says", "export again"
        ) from error


def _known(store: GalleryStore, names: Mapping[str, Any]) -> set[str]:
    return {person.name for person in store.people() if person.name in names}


def _begun(store: GalleryStore, content: str) -> bool:
    """Whether the last import of this content was interrupted."""
    last = ""
    for entry in store.audit(action="import"):
        if entry.details.get("content") == content:
            last = str(entry.details.get("state"))
    return last == "begun"


def _taken_in(  # noqa: PLR0917
    store: GalleryStore, reader: ExportReader, attributes: Mapping[str, dict[str, Any]],
    known: set[str], left: set[str], progress: Progress | None,
) -> TransferReport:  # fmt: skip
    total = int(reader.manifest["faces"])
    done = faces = crops = already = 0
    had: dict[str, Counter[tuple[str, bytes]]] = {}
    nothing: Counter[tuple[str, bytes]] = Counter()
    people: set[str] = set()
    for rows in reader.tables("faces-"):
        batch: list[NewFace] = []
        for face in _new_faces(rows, reader.path):
            if face.person in left:
                continue
            if face.person in known and face.person not in had:
                had[face.person] = _held(store, face.person)
            same = (face.model_sha256, face.vector.tobytes())
            if had.get(face.person, nothing)[same]:
                had[face.person][same] -= 1
                already += 1
            else:
                batch.append(face)
        store.add(batch)
        people |= {face.person for face in batch}
        faces, crops = faces + len(batch), crops + sum(f.crop is not None for f in batch)
        done += len(rows)
        if progress is not None:
            progress(done, max(total, done))
    bare = set(attributes) - people - known - left
    for name in sorted(set(attributes) - bare - left):
        if attributes[name] and not store.person(name).attributes:
            store.set_attributes(name, attributes[name])
    return TransferReport(
        path=str(reader.path), people=len(people), faces=faces, crops=crops,
        encrypted=reader.cipher.encrypted, content=str(reader.manifest["content"]),
        already=already, skipped=len(left) + len(bare),
    )  # fmt: skip


def _new_faces(rows: list[dict[str, Any]], path: Path) -> Iterator[NewFace]:
    for row in rows:
        try:
            fields = {name: row[column] for column, name in _COLUMNS.items()}
            yield NewFace(vector=row["vector"], crop=row["crop"], **fields)
        except (KeyError, TypeError) as error:
            raise GalleryDamagedError(
                f"a table of faces in {path} is not as its format says", "export again"
            ) from error


def _held(store: GalleryStore, name: str) -> Counter[tuple[str, bytes]]:
    return Counter((f.model_sha256, f.vector.tobytes()) for f in store.faces(person=name))
