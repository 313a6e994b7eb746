"""A gallery on Milvus: a Milvus Lite folder, a server or a cluster."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.errors import (
    GalleryError,
    ModelMismatchError,
    OptionError,
    PersonExistsError,
    VisavisError,
)
from visavis.gallery import timestamps
from visavis.gallery.entries import instant, splittable, usable_faces
from visavis.gallery.milvus.check import check
from visavis.gallery.milvus.connection import Connection
from visavis.gallery.milvus.faces import Faces, Model, batch_key, check_lengths, source_key
from visavis.gallery.milvus.ledger import Ledger, Write, ledger_folder
from visavis.gallery.milvus.options import MilvusOptions
from visavis.gallery.milvus.people import People, usable_attributes
from visavis.gallery.milvus.search import MilvusSearch, require_fusion
from visavis.gallery.milvus.tables import Tables, is_one
from visavis.gallery.names import (
    composed,
    enrolled_already,
    unknown_face,
    unknown_id,
    usable_name,
)
from visavis.gallery.records import (
    AuditEntry,
    CheckReport,
    GalleryInfo,
    Match,
    NewFace,
    Person,
    StoredFace,
)
from visavis.gallery.sqlite.audit import Event, event
from visavis.gallery.store import Fusion
from visavis.types import Vectors

_PEOPLE_AT_ONCE: Final = 250
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class MilvusGallery:
    """People and their templates in Milvus: a ``GalleryStore``.

    A call that returned has taken effect. Milvus has no transactions, so others may see a running
    or killed call half done. All writes are idempotent, and the next write from this machine
    completes unfinished ones. See docs/concepts/scale-out.md.

    Args:
        uri: path of a folder ending in ``.db`` (Milvus Lite, in this process), or URI of a Milvus
            server or cluster (``http://host:19530``).
        tenant: name of the tenant; tenants share collections but cannot see each other's data.
        token: ``user:password`` or an API key of a cluster.
        create: create a missing Milvus Lite folder. A server's collections are created at the
            first write.
        options: layout, index, recall; see ``MilvusOptions``.
        home: data folder with the audit log of a gallery on a server; the user's own if ``None``.
            The log of a Milvus Lite folder is beside it.

    Raises:
        MissingExtraError: pymilvus or milvus-lite is not installed (extra ``milvus``).
        GalleryBusyError: another process has the Milvus Lite folder open.
        GalleryError: no gallery at the URI, or one of an earlier version.
        OptionError: an invalid tenant name, or a path that does not end in ``.db``.
    """

    def __init__(
        self,
        uri: str,
        *,
        tenant: str = "default",
        token: str | None = None,
        create: bool = False,
        options: MilvusOptions | None = None,
        home: Path | None = None,
    ) -> None:
        self.options = options or MilvusOptions()
        self._connection = Connection(uri, token=token, create=create, options=self.options)
        try:
            self._tables = Tables(self._connection, tenant, self.options)
            self._people = People(self._tables)
            self._faces = Faces(self._tables, self._people)
            self._search = MilvusSearch(self._tables, self._people)
            with self._connection.lock:
                self._tables.require_layout()
                if self._connection.lite:
                    self._connection.drop_leftovers(self.options.prefix)
                folder = ledger_folder(self._connection.uri, tenant, self.options.prefix, home=home)
                self._ledger = Ledger(folder, options=self.options)
                if self._ledger.unfinished():
                    with self._writing():  # which completes them
                        pass
        except VisavisError:
            self._connection.close()
            raise

    @contextmanager
    def _writing(self, batch: str = "") -> Iterator[None]:
        """Locks out other writers of this machine and completes unfinished writes, except for
        ``batch``, which is being sent again."""
        with self._connection.lock, self._ledger.alone():
            for write in self._ledger.unfinished():
                if not batch or write.batch != batch:
                    self._carry_out(write, again=True)
            yield

    def _write(self, kind: str, payload: Mapping[str, Any], said: Event) -> None:
        self._carry_out(self._ledger.begin(kind, payload, said))

    def _carry_out(self, write: Write, *, again: bool = False) -> None:
        models, payload = list(self._faces.models().values()), write.payload
        touched: set[str] = set()
        match write.kind:
            case "add":  # interrupted; written faces are complete, but not in the means
                owners = self._faces.owners(write.numbers, models)
                self._faces.refresh_means(owners.values(), models)
                self._ledger.settle(write, len(owners))
                return
            case "move":
                self._faces.move(payload["from"], payload["into"], models, only=payload["only"])
                if payload["only"] is None:
                    self._people.delete(payload["from"])
            case "expiry":
                self._faces.set_expiry(payload["person"], payload["expires"], models)
            case "remove":  # the person first: nobody sees faces without a person
                person = payload["person"]
                self._people.delete([person])
                numbers = self._faces.numbers(person, models)
                touched = self._faces.delete(numbers, [person], models)[1] | {"people"}
            case "faces":
                numbers, people = payload["faces"], payload["people"]
                there, touched = self._faces.delete(numbers, people, models)
                if payload["drop"] and (gone := sorted(set(people) - there)):
                    self._people.delete(gone)
                    touched.add("people")
        if touched and self.options.erase == "now":
            self._tables.erase(self._all_tables(models) if again else touched)
        self._ledger.finish(write)

    @staticmethod
    def _all_tables(models: Sequence[Model]) -> set[str]:
        return {"people", "crops", *(t for model in models for t in (model.faces, *model.means))}

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        """Enrolls faces; returns their numbers in order. See ``GalleryStore.add``.

        Send an interrupted batch again unchanged: its faces get the same numbers, so that each
        exists once.

        Raises:
            GalleryError: the server failed. Written faces are removed; if that fails, too, a part
                of the batch may remain until it is sent again.
        """
        with self._connection.lock:
            models = self._faces.models()
            checked = self._checked(faces, models)
            if not checked:
                return []
            key = batch_key(checked)
            with self._writing(key):
                return self._enroll(checked, key, models)

    def _checked(self, faces: Sequence[NewFace], models: Mapping[str, Model]) -> list[NewFace]:
        held = {model.sha256: model.dimension for model in models.values()}
        try:
            checked = usable_faces(faces, held)
        except ModelMismatchError:  # without templates, any dimension is accepted
            there = {s: d for s, d in held.items() if self._tables.count(models[s].faces)}
            checked = usable_faces(faces, there)
        check_lengths(checked)
        return checked

    def _enroll(self, faces: list[NewFace], key: str, models: dict[str, Model]) -> list[int]:
        names = list(dict.fromkeys(face.person for face in faces))
        known = self._people.ids(names)
        new = {name: secrets.token_hex(16) for name in names if name not in known}
        people = known | new
        subject = next(iter(people.values())) if len(people) == 1 else ""
        details = {"faces": len(faces), "people": len(people), "new_people": len(new)}
        write, again = self._ledger.begin_batch(key, len(faces), Event("enrol", subject, details))
        older = set(known.values())
        if again:  # a merge may have moved some meanwhile
            older |= set(self._faces.owners(write.numbers, models.values()).values())
        try:
            self._faces.keep_models(faces, models)
            self._people.put(new)
            rows = self._faces.put(faces, write.numbers, people, models)
            fresh = set(new.values())
            for sha256, some in rows.items():
                theirs = [row for row in some if row["person"] in fresh]
                self._faces.put_means(theirs, models[sha256])
            self._faces.refresh_means(older, [models[sha256] for sha256 in rows])
        except VisavisError:
            self._take_back(write, new, older)
            raise
        self._ledger.finish(write)
        return write.numbers

    def _take_back(self, write: Write, new: Mapping[str, str], older: set[str]) -> None:
        with suppress(GalleryError):  # else it stays in the journal, to be sent again
            models = list(self._faces.models().values())
            self._faces.delete(write.numbers, {*older, *new.values()}, models)
            self._people.delete(new.values())
            self._ledger.drop(write)

    def add_person(self, name: str, /) -> None:
        """Adds a person without faces. See ``GalleryStore.add_person``."""
        with self._writing():
            wanted = usable_name(name)
            if self._people.ids([wanted]):
                raise enrolled_already(wanted)
            number = secrets.token_hex(16)
            write = self._ledger.begin("person", {}, Event("add", number, {}))
            self._tables.ensure("people")
            self._people.put({wanted: number})
            self._ledger.finish(write)

    def people(self) -> Iterator[Person]:
        """Yields all people, sorted by name. See ``GalleryStore.people``."""
        with self._connection.lock:
            listed = list(self._people.everybody())
        for start in range(0, len(listed), _PEOPLE_AT_ONCE):
            with self._connection.lock:
                page = self._read_people(listed[start : start + _PEOPLE_AT_ONCE])
            yield from page

    def _read_people(self, numbers: Sequence[str]) -> list[Person]:
        tables = {sha256: model.faces for sha256, model in self._faces.models().items()}
        return self._people.read(numbers, tables)

    def person(self, name: str, /) -> Person:
        """Returns one person. See ``GalleryStore.person``."""
        with self._connection.lock:
            (found,) = self._read_people([self._people.known(name)])
            return found

    def name_of(self, person_id: str, /) -> str:
        """Name of a person by opaque id. See ``GalleryStore.name_of``."""
        with self._connection.lock:
            # What a user typed is never part of a filter, unless it is hexadecimal digits.
            usable = _ID.fullmatch(person_id) is not None
            found = self._people.names([person_id]) if usable else {}
        if person_id not in found:
            raise unknown_id(person_id)
        return found[person_id]

    def faces(
        self, *, person: str | None = None, model_sha256: str | None = None, after: int = 0
    ) -> Iterator[StoredFace]:
        """Yields faces in order of number. See ``GalleryStore.faces``."""
        with self._connection.lock:
            where = "" if person is None else is_one("person", self._people.known(person))
            models = [m for m in self._faces.models().values() if model_sha256 in {None, m.sha256}]
        yield from self._faces.by_number(models, where, after=after)

    def face(self, number: int, /) -> StoredFace:
        """Returns a face by number. See ``GalleryStore.face``."""
        with self._connection.lock:
            found = self._faces.one(number, self._faces.models().values())
        if found is None:
            raise unknown_face(number)
        return found

    def crop(self, face: int, /) -> bytes | None:
        """Returns the aligned face, if stored. See ``GalleryStore.crop``."""
        with self._connection.lock:
            for model in self._faces.models().values():
                for row in self._tables.read(model.faces, "id", [int(face)], ["crop", "person"]):
                    if self._people.names([row["person"]]):
                        return self._faces.crop(face) if row["crop"] else None
        raise unknown_face(face)

    def has_person(self, name: str, /) -> bool:
        """Returns whether a person of that name is enrolled."""
        with self._connection.lock:
            return bool(self._people.ids([composed(name)]))

    def has_source(self, source_sha256: str, /, *, person: str, model_sha256: str) -> bool:
        """Returns whether this photo is enrolled. See ``GalleryStore.has_source``."""
        with self._connection.lock:
            model = self._faces.models().get(model_sha256)
            known = self._people.ids([composed(person)]).values()
            if model is None:
                return False
            also = is_one("source_key", source_key(source_sha256))
            rows = self._tables.read(model.faces, "person", known, ["source_sha256"], also=also)
            return any(row["source_sha256"] == source_sha256 for row in rows)

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Replaces a person's attributes. See ``GalleryStore.set_attributes``.

        Raises:
            OptionError: too long for Milvus.
        """
        text = usable_attributes(name, attributes)
        with self._writing():
            number = self._people.known(name)
            write = self._ledger.begin("person", {}, Event("attributes", number, {}))
            self._people.change(number, attributes=text)
            self._ledger.finish(write)

    def set_expiry(self, name: str, expires: str | None, /) -> None:
        """Set when all faces of a person expire. See ``GalleryStore.set_expiry``."""
        when = None if expires is None else instant(expires)
        with self._writing():
            person = self._people.known(name)
            payload = {"person": person, "expires": when}
            self._write("expiry", payload, Event("expiry", person, {"expires": when is not None}))

    def rename(self, old: str, new: str, /) -> None:
        """Renames a person. See ``GalleryStore.rename``."""
        with self._writing():
            name, number = usable_name(new), self._people.known(old)
            if name == composed(old):
                return
            if self._people.ids([name]):
                raise PersonExistsError(
                    f"somebody is called '{name}' already", "merge the two, or choose another name"
                )
            write = self._ledger.begin("person", {}, Event("rename", number, {}))
            self._faces.erase_name(number, old, self._faces.models().values())
            self._people.change(number, name=name)
            self._ledger.finish(write)

    def merge(self, into: str, *others: str) -> None:
        """Moves the others' faces to ``into`` and removes the others. See ``GalleryStore.merge``.

        Others may see it half done while it runs.
        """
        with self._writing():
            target = self._people.known(into)
            moved = list(dict.fromkeys(self._people.known(name) for name in others))
            if target in moved:
                raise OptionError(f"'{into}' is to be merged into itself", "name other people")
            if moved:
                payload = {"from": moved, "into": target, "only": None}
                self._write("move", payload, Event("merge", target, {"others": moved}))

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        """Moves some of a person's faces to another. See ``GalleryStore.split``.

        Others may see it half done while it runs.
        """
        with self._writing():
            new, person = usable_name(into), self._people.known(name)
            held = self._faces.numbers(person, self._faces.models().values())
            wanted = splittable(name, faces, set(held))
            if new == composed(name):
                raise OptionError(
                    f"'{name}' cannot be split into the same person", "name another person"
                )
            known = self._people.ids([new]).get(new)
            other = known or secrets.token_hex(16)
            if known is None:
                self._people.put({new: other})
            details = {"into": other, "faces": len(wanted), "new": known is None}
            payload = {"from": [person], "into": other, "only": wanted}
            self._write("move", payload, Event("split", person, details))

    def remove(self, name: str, /) -> int:
        """Erases a person; in a Milvus Lite folder from all files, see ``MilvusOptions.erase``. See
        ``GalleryStore.remove``."""
        with self._writing():
            person = self._people.known(name)
            count = len(self._faces.numbers(person, self._faces.models().values()))
            self._write("remove", {"person": person}, Event("remove", person, {"faces": count}))
            return count

    def remove_faces(self, faces: Sequence[int], /, *, people: bool = False) -> int:
        """Erases faces by number. See ``GalleryStore.remove_faces``."""
        with self._writing():
            numbers = sorted({int(face) for face in faces})
            owners = self._faces.owners(numbers, self._faces.models().values())
            return self._delete(owners, "remove_faces", drop=people)

    def expire(self, now: str, /) -> int:
        """Erases expired faces. See ``GalleryStore.expire``."""
        where = f"expires < {timestamps.microseconds(instant(now))}"
        with self._writing():
            owners: dict[int, str] = {}
            for model in self._faces.models().values():
                for rows in self._tables.pages(model.faces, where, ["person"]):
                    owners |= {row["id"]: row["person"] for row in rows}
            return self._delete(owners, "expire", drop=True)

    def _delete(self, owners: Mapping[int, str], action: str, *, drop: bool) -> int:
        if owners:
            people = sorted(set(owners.values()))
            payload = {"faces": sorted(owners), "people": people, "drop": drop}
            subject = people[0] if len(people) == 1 else ""
            self._write("faces", payload, Event(action, subject, {"faces": len(owners)}))
        return len(owners)

    def compact(self) -> None:
        """Rewrites a Milvus Lite folder without deleted and replaced data; asks a server to
        compact."""
        with self._writing():
            self._tables.erase(self._all_tables(list(self._faces.models().values())))

    def search(
        self,
        vectors: Vectors,
        /,
        *,
        model_sha256: str,
        k: int = 5,
        fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> list[list[Match]]:
        """Returns the ``k`` closest people to each probe. See ``GalleryStore.search``."""
        with self._connection.reading():
            model = self._faces.models().get(model_sha256)
            probes = self._search.checked(vectors, model, k, fusion)
            if model is None:
                return [[] for _ in probes]
            return self._search.search(probes, model, k=k, fusion=fusion, domain=domain)

    def non_mated(
        self, *, model_sha256: str, most: int = 2000, fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Returns non-mated scores. See ``GalleryStore.non_mated``."""
        require_fusion(fusion)
        with self._connection.reading():
            model = self._faces.models().get(model_sha256)
            if model is None:
                return np.zeros(0, dtype=np.float32)
            space = None if domain is None else replace(domain, mean_b=None)
            return self._search.non_mated(model, most=most, fusion=fusion, domain=space)

    def mean(self, model_sha256: str, /) -> tuple[NDArray[np.float32], int] | None:
        """Returns the mean of people's mean templates, and their number, for the first 20,000
        faces. See ``GalleryStore.mean``."""
        with self._connection.reading():
            model = self._faces.models().get(model_sha256)
            return None if model is None else self._search.mean(model)

    def note(self, action: str, /, *, subject: str = "", details: Mapping[str, Any]) -> None:
        """Appends to the audit log. See ``GalleryStore.note``."""
        self._ledger.note(event(action, subject, details))

    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """Yields the audit log of this machine, oldest entry first. See ``GalleryStore.audit``."""
        return self._ledger.entries(action=action)

    def info(self) -> GalleryInfo:
        """Returns the state of the gallery. Counts take one request per model."""
        with self._connection.lock:
            models = self._faces.models()
            counts = {sha256: self._tables.count(m.faces) for sha256, m in models.items()}
            counts = {sha256: count for sha256, count in counts.items() if count}
            exact = self._tables.index == "flat"
            words = "exact (flat)" if exact else f"{self._tables.index}, asked recall {{}}"
            entries, head = self._ledger.head()
            return GalleryInfo(
                kind="milvus", location=f"{self._connection.uri}#{self._tables.tenant}",
                people=self._tables.count("people"), faces=counts,
                models={sha256: models[sha256].name for sha256 in counts}, encrypted=False,
                index={s: words.format(self.options.recall) for s in counts},
                bytes=self._connection.size(), audit_entries=entries, audit_head=head,
                levelled=self._faces.levelled(models),
            )  # fmt: skip

    def check(self) -> CheckReport:
        """Verifies templates, means, some searches and the audit. See ``GalleryStore.check``."""
        with self._connection.lock:
            return check(self._tables, self._people, self._faces, self._search, self._ledger)

    def close(self) -> None:
        """Closes the connection; further calls raise GalleryError."""
        with self._connection.lock:
            self._connection.close()
            self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
