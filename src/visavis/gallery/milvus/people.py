"""Reads and writes people of a gallery on Milvus."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from visavis.errors import OptionError
from visavis.gallery import timestamps
from visavis.gallery.entries import attributes_text
from visavis.gallery.milvus.tables import LONGEST_TEXT, Row, Tables
from visavis.gallery.names import composed, unknown_person
from visavis.gallery.records import Person

_FIELDS: Final = ("id", "name", "name_key", "attributes", "created")
_COMPARED: Final = 10_000


class People:
    """Reads and writes people of one tenant."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def put(self, ids: Mapping[str, str]) -> None:
        """Writes new people; ``ids`` by name."""
        created = timestamps.now()
        self.tables.put("people", [
            {"id": number, "name": name, "name_key": _name_key(name), "attributes": "{}",
             "created": created}
            for name, number in ids.items()
        ])  # fmt: skip

    def change(
        self, number: str, *, name: str | None = None, attributes: str | None = None
    ) -> None:
        """Changes a person's name or attributes (JSON)."""
        changes = {} if name is None else {"name": name, "name_key": _name_key(name)}
        if attributes is not None:
            changes["attributes"] = attributes
        for row in self.tables.read("people", "id", [number], _FIELDS):
            self.tables.put("people", [row | changes])

    def delete(self, people: Iterable[str]) -> None:
        """Deletes people; the caller deletes their faces."""
        self.tables.delete("people", "id", people)

    def ids(self, names: Iterable[str]) -> dict[str, str]:
        """Returns ids of enrolled people, by name in NFC."""
        keys = {_name_key(name): name for name in names}
        rows = self.tables.read("people", "name_key", sorted(keys), ["id", "name", "name_key"])
        return {row["name"]: row["id"] for row in rows if keys[row["name_key"]] == row["name"]}

    def known(self, name: str) -> str:
        """Returns the id of an enrolled person.

        Raises:
            UnknownPersonError: the name is unknown.
        """
        found = self.ids([composed(name)])
        if not found:
            rows = (row for page in self.tables.pages("people", "", ["name"]) for row in page)
            raise unknown_person(name, [row["name"] for row in islice(rows, _COMPARED)])
        return found[composed(name)]

    def names(self, people: Iterable[str]) -> dict[str, str]:
        """Returns names by id; omits unknown ids."""
        rows = self.tables.read("people", "id", sorted(people), ["id", "name"])
        return {row["id"]: row["name"] for row in rows}

    def everybody(self) -> dict[str, str]:
        """Returns all names by id, sorted by code points; needs memory for all names."""
        pages = self.tables.pages("people", "", ["name"])
        rows = sorted((row["name"], row["id"]) for page in pages for row in page)
        return {number: name for name, number in rows}

    def read(self, numbers: Sequence[str], faces: Mapping[str, str]) -> list[Person]:
        """Returns people by id, in the given order; omits unknown ids.

        Args:
            numbers: ids.
            faces: table of faces by model hash.
        """
        rows = {row["id"]: row for row in self.tables.read("people", "id", numbers, _FIELDS)}
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for sha256, table in faces.items():
            for face in self.tables.read(table, "person", numbers, ["person"]):
                counts[face["person"]][sha256] += 1
        return [_person(rows[n], counts[n]) for n in numbers if n in rows]


def usable_attributes(name: str, attributes: Mapping[str, Any]) -> str:
    """Returns attributes as JSON text.

    Raises:
        OptionError: too long for Milvus, or not JSON values.
    """
    text = attributes_text(attributes)
    if len(text.encode()) > LONGEST_TEXT:
        raise OptionError(
            f"the attributes of '{name}' take {len(text.encode()):,} bytes",
            f"Milvus keeps {LONGEST_TEXT:,}; put larger things elsewhere",
        )
    return text


def _name_key(name: str) -> str:
    """Returns the key of a name in filters."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _person(row: Row, counts: Mapping[str, int]) -> Person:
    return Person(
        name=row["name"], id=row["id"], faces=dict(counts),
        attributes=json.loads(row["attributes"]), created=timestamps.written(row["created"]),
    )  # fmt: skip
