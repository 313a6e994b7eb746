"""A gallery on Milvus: from a Milvus Lite folder in tests to a cluster, by its URI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.errors import (
    GalleryError,
    OptionError,
    PersonExistsError,
    VisavisError,
)
from visavis.former import levelled
from visavis.gallery import timestamps
from visavis.gallery.entries import attributes_text, instant
from visavis.gallery.milvus_audit import Audit
from visavis.gallery.milvus_check import check
from visavis.gallery.milvus_connection import Connection
from visavis.gallery.milvus_enrolling import Enrolling, source_key
from visavis.gallery.milvus_faces import faces_by_number
from visavis.gallery.milvus_journal import Journal
from visavis.gallery.milvus_options import MilvusOptions
from visavis.gallery.milvus_people import People
from visavis.gallery.milvus_recovery import recover
from visavis.gallery.milvus_search import MilvusSearch, require_fusion
from visavis.gallery.milvus_tables import LONGEST_TEXT, Tables, is_one, one_of
from visavis.gallery.milvus_writes import Model, Writes
from visavis.gallery.names import composed, usable_name
from visavis.gallery.records import (
    AuditEntry,
    CheckReport,
    GalleryInfo,
    Match,
    NewFace,
    Person,
    StoredFace,
)
from visavis.gallery.store import Fusion
from visavis.types import Vectors

_FACES_AT_ONCE: Final = 1000
_LEVELLED: Final = 'settings like "% levelled %"'


class MilvusGallery:
    """People and their templates in Milvus: a ``GalleryStore``.

    Args:
        uri: a folder's path ending in ``.db`` (Milvus Lite, in this process), or the URI of a
            Milvus server or cluster (``http://host:19530``).
        tenant: whose gallery; tenants share collections and see nothing of each other.
        token: ``user:password`` or an API key of a cluster.
        create: make a Milvus Lite folder that is not there. A cluster's collections are made when
            they are first written to.
        options: layout, index, recall; see ``MilvusOptions``.

    What is guaranteed, and where it is less than what a SQLite gallery gives:

    * A call that returned has taken effect; Milvus Lite hands its log to the operating system
      (safe from a killed process, not from a power cut), a cluster to its replicated log.
    * Milvus has no transactions. Enrolment is all or none all the same: rows of a batch are hidden
      until its entry in the audit is there, and taken back after a crash. Removing a person is one
      row to readers. A merge, the removal of faces and ``expire`` may be seen half done while they
      run, and after a crash until somebody opens the gallery (on a cluster: once
      ``stale_after`` is over), who finishes them.
    * Several machines may write to one tenant if each has its ``writer`` number and they do not
      make the same person at the same time; Milvus cannot refuse the second, ``check`` finds it.
    * A Milvus Lite folder belongs to one process at a time, and while it is open any program on
      this machine can reach it on a port of the loopback interface, without a password.
    * ``remove`` rewrites what held the person in a Milvus Lite folder, at a cost that grows with
      the gallery, and then no byte is left in any file. On a cluster the rows are deleted at once
      and compaction is asked for; bytes leave the object store when Milvus's garbage collector has
      been by, and the log when its retention is over. Neither is encrypted by visavis.

    Raises:
        MissingExtraError: pymilvus or milvus-lite is not installed (extra ``milvus``).
        GalleryBusyError: another process has the Milvus Lite folder open.
        GalleryError: there is nothing at the URI.
        OptionError: the tenant's name, or a path that does not end in ``.db``.
    """

    def __init__(
        self,
        uri: str,
        *,
        tenant: str = "default",
        token: str | None = None,
        create: bool = False,
        options: MilvusOptions | None = None,
    ) -> None:
        self.options = options or MilvusOptions()
        self._connection = Connection(uri, token=token, create=create, options=self.options)
        try:
            self._tables = Tables(self._connection, tenant, self.options)
            self._audit = Audit(self._tables)
            self._journal = Journal(self._tables, self._audit)
            self._writes = Writes(self._tables)
            self._people = People(self._tables)
            self._enrolling = Enrolling(
                self._tables, self._audit, self._journal, self._writes, self._people
            )
            self._search = MilvusSearch(self._tables)
            with self._connection.lock:
                if self._connection.lite:
                    self._connection.drop_leftovers(self.options.prefix)
                self._recover()
        except VisavisError:
            self._connection.close()
            raise

    def _recover(self) -> None:
        recover(self._journal, self._writes, erase=self.options.erase == "now")

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        """Enrol faces, all or none; returns their numbers in order. See ``GalleryStore.add``.

        Raises:
            GalleryError: the server did not do it; what was written is hidden and taken back.
        """
        with self._connection.lock:
            self._recover()
            return self._enrolling.add(faces)

    def people(self) -> Iterator[Person]:
        """Everybody, by name. See ``GalleryStore.people``."""
        with self._connection.lock:
            hidden = self._journal.hidden()
            listed = self._people.by_name(hidden)
        for start in range(0, len(listed), 250):
            with self._connection.lock:
                models = list(self._writes.models().values())
                page = self._people.read(listed[start : start + 250], models, hidden)
            yield from page

    def person(self, name: str, /) -> Person:
        """One person. See ``GalleryStore.person``."""
        with self._connection.lock:
            hidden = self._journal.hidden()
            number = self._people.known(name, hidden)
            (found,) = self._people.read([number], list(self._writes.models().values()), hidden)
            return found

    def faces(
        self, *, person: str | None = None, model_sha256: str | None = None
    ) -> Iterator[StoredFace]:
        """Faces in order of number. See ``GalleryStore.faces``."""
        with self._connection.lock:
            hidden = self._journal.hidden()
            where = hidden
            if person is not None:
                mine = is_one("person", self._people.known(person, hidden))
                where = f"{mine} and {hidden}" if hidden else mine
            models = [m for m in self._writes.models().values() if model_sha256 in {None, m.sha256}]
        yield from faces_by_number(self._tables, self._search, models, where)

    def crop(self, face: int, /) -> bytes | None:
        """A face as PNG bytes where it was kept. See ``GalleryStore.crop``."""
        with self._connection.lock:
            hidden = self._journal.hidden()
            where = f"id == {int(face)}" + (f" and {hidden}" if hidden else "")
            for model in self._writes.models().values():
                for row in self._tables.read(model.faces, where, ["crop", "person"]):
                    if self._search.names({row["person"]}):
                        return self._writes.crop(face) if row["crop"] else None
        raise GalleryError(f"there is no face {face}", "`visavis people show` lists a person's")

    def has_person(self, name: str, /) -> bool:
        """Whether somebody of that name is enrolled."""
        with self._connection.lock:
            return bool(self._people.ids({composed(name)}, self._journal.hidden()))

    def has_source(self, source_sha256: str, /, *, person: str, model_sha256: str) -> bool:
        """Whether this photo is enrolled. See ``GalleryStore.has_source``."""
        with self._connection.lock:
            model = self._writes.models().get(model_sha256)
            hidden = self._journal.hidden()
            known = self._people.ids({composed(person)}, hidden)
            if model is None or not known:
                return False
            where = f"{one_of('person', known.values())} and " + is_one(
                "source_key", source_key(source_sha256)
            )
            rows = self._tables.read(model.faces, f"{where} and {hidden}" if hidden else where,
                                     ["source_sha256"])  # fmt: skip
            return any(row["source_sha256"] == source_sha256 for row in rows)

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Replace a person's attributes. See ``GalleryStore.set_attributes``.

        Raises:
            OptionError: they are longer than Milvus keeps.
        """
        with self._connection.lock:
            self._recover()
            text = attributes_text(attributes)
            if len(text.encode()) > LONGEST_TEXT:
                raise OptionError(
                    f"the attributes of '{name}' take {len(text.encode()):,} bytes",
                    f"Milvus keeps {LONGEST_TEXT:,}; put larger things elsewhere",
                )
            number = self._people.known(name, self._journal.hidden())
            self._audit.append("", "attributes", number, {})
            self._people.change(number, attributes=text)

    def rename(self, old: str, new: str, /) -> None:
        """Give a person another name. See ``GalleryStore.rename``."""
        with self._connection.lock:
            self._recover()
            name, hidden = usable_name(new), self._journal.hidden()
            number = self._people.known(old, hidden)
            if name == composed(old):
                return
            if self._people.ids({name}, hidden):
                raise PersonExistsError(
                    f"somebody is called '{name}' already", "merge the two, or choose another name"
                )
            self._audit.append("", "rename", number, {})
            self._people.change(number, name=name)

    def merge(self, into: str, *others: str) -> None:
        """Move the others' faces to ``into`` and remove the others. See ``GalleryStore.merge``.

        It may be seen half done while it runs.
        """
        with self._connection.lock:
            self._recover()
            hidden = self._journal.hidden()
            target = self._people.known(into, hidden)
            moved = list(dict.fromkeys(self._people.known(name, hidden) for name in others))
            if target in moved:
                raise OptionError(f"'{into}' is to be merged into itself", "name other people")
            if moved:
                op = self._journal.begin("merge", {"into": target, "others": moved})
                self._audit.append(op, "merge", target, {"others": moved})
                self._writes.move(target, moved)
                self._journal.finish(op)

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        """Move some of a person's faces to another. See ``GalleryStore.split``.

        It may be seen half done while it runs.

        Raises:
            OptionError: more than 1,000 faces at once.
        """
        with self._connection.lock:
            self._recover()
            self._enrolling.split(name, faces, into)

    def remove(self, name: str, /) -> int:
        """Erase a person, in a Milvus Lite folder to the last byte (but see
        ``MilvusOptions.erase``). See ``GalleryStore.remove``."""
        with self._connection.lock:
            self._recover()
            number = self._people.known(name, self._journal.hidden())
            models = self._writes.models().values()
            count = sum(self._tables.count(m.faces, is_one("person", number)) for m in models)
            op = self._journal.begin("remove", {"person": number})
            self._audit.append(op, "remove", number, {"faces": count})
            self._erase(self._writes.delete_people([number]))
            self._journal.finish(op)
            return count

    def remove_faces(self, faces: Sequence[int], /) -> int:
        """Erase faces by number. See ``GalleryStore.remove_faces``."""
        with self._connection.lock:
            self._recover()
            owners: dict[int, str] = {}
            for model in self._writes.models().values():
                rows = self._tables.read_in_parts(
                    model.faces, "id", sorted({int(face) for face in faces}), ["id", "person"],
                    also=self._journal.hidden(),
                )  # fmt: skip
                owners |= {row["id"]: row["person"] for row in rows}
            self._delete(owners, "remove_faces", drop=False)
            return len(owners)

    def expire(self, now: str, /) -> int:
        """Erase the faces whose time is over. See ``GalleryStore.expire``."""
        when = timestamps.microseconds(instant(now))
        with self._connection.lock:
            self._recover()
            owners: dict[int, str] = {}
            hidden = self._journal.hidden()
            where = f"expires < {when}" + (f" and {hidden}" if hidden else "")
            for model in self._writes.models().values():
                for rows in self._tables.pages(model.faces, where, ["person"]):
                    owners |= {row["id"]: row["person"] for row in rows}
            self._delete(owners, "expire", drop=True)
            return len(owners)

    def _delete(self, owners: Mapping[int, str], action: str, *, drop: bool) -> None:
        numbers, touched, ops = sorted(owners), set(), []
        for start in range(0, len(numbers), _FACES_AT_ONCE):
            some = numbers[start : start + _FACES_AT_ONCE]
            people = sorted({owners[number] for number in some})
            payload = {"faces": some, "people": people, "drop": drop}
            ops.append(self._journal.begin("faces", payload))
            subject = people[0] if len(people) == 1 else ""
            self._audit.append(ops[-1], action, subject, {"faces": len(some)})
            touched |= self._writes.delete_faces(payload)
        self._erase(touched)
        for op in ops:
            self._journal.finish(op)

    def _erase(self, touched: set[str]) -> None:
        if touched and self.options.erase == "now":
            self._writes.erase(touched)

    def compact(self) -> None:
        """Rewrite a Milvus Lite folder so that nothing deleted or replaced is left in its files;
        ask a cluster to compact."""
        with self._connection.lock:
            self._recover()
            self._writes.erase({"people", "crops", "state", *self._writes.by_table()})

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
        """The ``k`` closest people to each probe. See ``GalleryStore.search``."""
        with self._connection.reading():
            model = self._writes.models().get(model_sha256)
            probes = self._search.checked(vectors, model, k, fusion)
            if model is None:
                return [[] for _ in probes]
            hidden = self._journal.hidden()
            return self._search.search(
                probes, model, k=k, fusion=fusion, hidden=hidden, domain=domain
            )

    def non_mated(
        self, *, model_sha256: str, most: int = 2000, fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """How close a stranger comes. See ``GalleryStore.non_mated``."""
        require_fusion(fusion)
        with self._connection.reading():
            model = self._writes.models().get(model_sha256)
            if model is None:
                return np.zeros(0, dtype=np.float32)
            hidden = self._journal.hidden()
            space = None if domain is None else replace(domain, mean_b=None)
            return self._search.non_mated(
                model, most=most, fusion=fusion, hidden=hidden, domain=space
            )

    def mean(self, model_sha256: str, /) -> tuple[NDArray[np.float32], int] | None:
        """The mean of people's mean templates, and how many; of the first 20,000 faces. See
        ``GalleryStore.mean``."""
        with self._connection.reading():
            model = self._writes.models().get(model_sha256)
            return None if model is None else self._search.mean(model, self._journal.hidden())

    def note(self, action: str, /, *, subject: str = "", details: Mapping[str, Any]) -> None:
        """Append to the audit. See ``GalleryStore.note``."""
        with self._connection.lock:
            self._recover()
            self._audit.append("", action, subject, details)

    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """The audit from the start; of several machines, each with its own chain, by number. See
        ``GalleryStore.audit``."""
        return self._audit.entries(action=action)

    def info(self) -> GalleryInfo:
        """What is held. Counts come from the server: a request for each model."""
        with self._connection.lock:
            hidden, models = self._journal.hidden(), self._writes.models()
            counts = {s: self._tables.count(m.faces, hidden) for s, m in models.items()}
            counts = {sha256: count for sha256, count in counts.items() if count}
            exact = self._tables.index == "flat"
            words = "exact (flat)" if exact else f"{self._tables.index}, asked recall {{}}"
            return GalleryInfo(
                kind="milvus", location=f"{self._connection.uri}#{self._tables.tenant}",
                people=self._tables.count("people", hidden), faces=counts,
                models={sha256: models[sha256].name for sha256 in counts}, encrypted=False,
                index={s: words.format(self.options.recall) for s in counts},
                bytes=self._connection.size(), audit_entries=self._tables.count("audit"),
                audit_head=self._audit.head(), levelled=self._levelled(models, hidden),
            )  # fmt: skip

    def _levelled(self, models: Mapping[str, Model], hidden: str) -> dict[str, str]:
        """Settings of a levelled face by model hash. The server looks through the texts."""
        where = f"{_LEVELLED} and {hidden}" if hidden else _LEVELLED
        found = {}
        for sha256, model in models.items():
            for row in next(self._tables.pages(model.faces, where, ["settings"]), []):
                if levelled(row["settings"]):
                    found[sha256] = row["settings"]
                    break
        return found

    def check(self) -> CheckReport:
        """Verify every template, the audit's chains, and that a few templates are found again. See
        ``GalleryStore.check``."""
        with self._connection.lock:
            self._recover()
            return check(self._tables, self._writes, self._audit, self._search,
                         self._journal.hidden())  # fmt: skip

    def close(self) -> None:
        """Let go of the server or the folder; further calls raise GalleryError."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
