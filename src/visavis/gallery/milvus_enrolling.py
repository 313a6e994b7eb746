"""Enrolment in a gallery on Milvus, all or none."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from visavis.errors import GalleryError, OptionError, VisavisError
from visavis.gallery import timestamps
from visavis.gallery.entries import splittable, usable_faces
from visavis.gallery.milvus_audit import Audit
from visavis.gallery.milvus_journal import Journal
from visavis.gallery.milvus_people import People
from visavis.gallery.milvus_tables import TEXT_LIMITS, Row, Tables
from visavis.gallery.milvus_writes import Model, Writes, tag
from visavis.gallery.names import composed, usable_name
from visavis.gallery.records import NewFace

MOST_MOVED: Final = 1000
"""Most faces that one split moves: their numbers have to fit in one intent."""

NEVER: Final = 2**62
"""Stands for no time of expiry."""


def source_key(source_sha256: str) -> str:
    """What stands for a photo's hash in a filter."""
    return hashlib.sha256(source_sha256.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Enrolling:
    """Writes batches: intent, rows, the audit's entry (from here on they are there), means."""

    def __init__(
        self, tables: Tables, audit: Audit, journal: Journal, writes: Writes, people: People
    ) -> None:
        self.tables = tables
        self.audit = audit
        self.journal = journal
        self.writes = writes
        self.people = people

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        """As ``GalleryStore.add``; call it under the lock, with nothing left to recover."""
        models = self.writes.models()
        lengths = {m.sha256: m.dimension for m in models.values() if self.tables.count(m.faces)}
        checked = usable_faces(faces, lengths)
        _check_lengths(checked)
        if not checked:
            return []
        for face in checked:
            model = Model(face.model_sha256, face.model, len(face.vector))
            if models.get(model.sha256, replace(model, dimension=0)).dimension != len(face.vector):
                models[model.sha256] = model
                self.writes.keep_model(model)
        for table in ("state", "people", "audit"):
            self.tables.ensure(table)
        known = self.people.ids({face.person for face in checked}, self.journal.hidden())
        numbers = self.audit.numbers(len(checked))
        op = self.journal.begin("add", {})
        try:
            made = self._write_batch(op, checked, numbers, known, models)
            people = {known[face.person] for face in checked}
            subject = next(iter(people)) if len(people) == 1 else ""
            details = {"faces": len(checked), "people": len(people), "new_people": len(made)}
            self.audit.append(op, "enrol", subject, details, number=numbers[-1])
        except VisavisError:
            self._take_back(op)
            raise
        self._centre(checked, known, made, models)
        self.journal.finish(op)
        return numbers

    def split(self, name: str, faces: Sequence[int], into: str) -> None:
        """As ``GalleryStore.split``; call it under the lock, with nothing left to recover.

        A new person is hidden until the audit has recorded the split.
        """
        new, hidden = usable_name(into), self.journal.hidden()
        person = self.people.known(name, hidden)
        wanted = splittable(name, faces, self.writes.faces_of(person, hidden))
        if new == composed(name):
            raise OptionError(
                f"'{name}' cannot be split into the same person", "name another person"
            )
        if len(wanted) > MOST_MOVED:
            raise OptionError(
                f"a split of {len(wanted):,} templates", f"give {MOST_MOVED:,} or fewer"
            )
        known = self.people.ids({new}, hidden).get(new)
        other = known or secrets.token_hex(16)
        payload = {"from": person, "into": other, "faces": wanted}
        op = self.journal.begin("split", payload)
        try:
            if known is None:
                self.people.insert({new: other}, batch=op, created=timestamps.now())
            details = {"into": other, "faces": len(wanted), "new": known is None}
            self.audit.append(op, "split", person, details)
        except VisavisError:
            self._take_back(op)
            raise
        self.writes.move_faces(payload)
        self.journal.finish(op)

    def _take_back(self, op: str) -> None:
        # Whatever fails here is left to the next writer; the rows are hidden until then.
        try:
            if not self.audit.committed([op]):
                self.writes.take_back(op)
                self.journal.finish(op)
        except GalleryError:
            return

    def _write_batch(
        self, op: str, faces: list[NewFace], numbers: list[int], known: dict[str, str],
        models: Mapping[str, Model],
    ) -> set[str]:  # fmt: skip
        now = timestamps.now()
        new = list(dict.fromkeys(face.person for face in faces if face.person not in known))
        known |= {name: secrets.token_hex(16) for name in new}
        self.people.insert({name: known[name] for name in new}, batch=op, created=now)
        crops: list[Row] = []
        rows: dict[str, list[Row]] = {}
        for number, face in zip(numbers, faces, strict=True):
            expires = NEVER if face.expires is None else timestamps.microseconds(face.expires)
            table = models[face.model_sha256].faces
            rows.setdefault(table, []).append({
                "id": number, "batch": op, "person": known[face.person], "vector": face.vector,
                "settings": face.settings, "usability": float(face.usability),
                "source": face.photo, "source_sha256": face.photo_sha256,
                "source_key": source_key(face.photo_sha256), "created": now,
                "expires": expires, "crop": int(face.crop is not None),
                "tag": tag(number, face.model_sha256, face.vector),
            })  # fmt: skip
            if face.crop is not None:
                crops += self.writes.keep_crop(number, face.crop)
        if crops:
            self.tables.ensure("crops")
            self.tables.insert("crops", crops)
        for table, some in rows.items():
            self.tables.insert(table, some)
        return {known[name] for name in new}

    def _centre(
        self, faces: list[NewFace], known: Mapping[str, str], made: set[str],
        models: Mapping[str, Model],
    ) -> None:  # fmt: skip
        for sha256 in dict.fromkeys(face.model_sha256 for face in faces):
            mine = [face for face in faces if face.model_sha256 == sha256]
            fresh = [face for face in mine if known[face.person] in made]
            if fresh:
                self.writes.put_centres(
                    models[sha256], [known[face.person] for face in fresh],
                    np.stack([face.vector for face in fresh]),
                    np.array([float(face.usability) for face in fresh]),
                )  # fmt: skip
            older = [known[face.person] for face in mine if known[face.person] not in made]
            self.writes.centre(models[sha256], older, self.journal.hidden())


def _check_lengths(faces: list[NewFace]) -> None:
    for face in faces:
        for field, most in TEXT_LIMITS.items():
            if len(getattr(face, field).encode()) > most:
                raise OptionError(
                    f"the {field} of '{face.person}' is longer than {most} bytes",
                    "Milvus keeps no more; shorten it",
                )
