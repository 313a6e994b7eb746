"""The rows of people in a gallery on Milvus."""

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
        """Write new people, ids by name."""
        created = timestamps.now()
        self.tables.put("people", [
            {"id": number, "name": name, "name_key": _name_key(name), "attributes": "{}",
             "created": created}
            for name, number in ids.items()
        ])  # fmt: skip

    def change(
        self, number: str, *, name: str | None = None, attributes: str | None = None
    ) -> None:
        """Replace a person's row by one with another name or other attributes (JSON)."""
        changes = {} if name is None else {"name": name, "name_key": _name_key(name)}
        if attributes is not None:
            changes["attributes"] = attributes
        for row in self.tables.read("people", "id", [number], _FIELDS):
            self.tables.put("people", [row | changes])

    def delete(self, people: Iterable[str]) -> None:
        """Delete rows of people; their faces are the caller's to delete."""
        self.tables.delete("people", "id", people)

    def ids(self, names: Iterable[str]) -> dict[str, str]:
        """Ids of those of the (composed) names that are enrolled."""
        keys = {_name_key(name): name for name in names}
        rows = self.tables.read("people", "name_key", sorted(keys), ["id", "name", "name_key"])
        return {row["name"]: row["id"] for row in rows if keys[row["name_key"]] == row["name"]}

    def known(self, name: str) -> str:
        """Id of an enrolled person.

        Raises:
            UnknownPersonError: nobody is called that.
        """
        found = self.ids([composed(name)])
        if not found:
            rows = (row for page in self.tables.pages("people", "", ["name"]) for row in page)
            raise unknown_person(name, [row["name"] for row in islice(rows, _COMPARED)])
        return found[composed(name)]

    def names(self, people: Iterable[str]) -> dict[str, str]:
        """Names of those of these people who are there, by id."""
        rows = self.tables.read("people", "id", sorted(people), ["id", "name"])
        return {row["id"]: row["name"] for row in rows}

    def everybody(self) -> dict[str, str]:
        """Names by id, in code point order. Holds all names in memory."""
        pages = self.tables.pages("people", "", ["name"])
        rows = sorted((row["name"], row["id"]) for page in pages for row in page)
        return {number: name for name, number in rows}

    def read(self, numbers: Sequence[str], faces: Mapping[str, str]) -> list[Person]:
        """People by id, in the order given; those who are gone are left out.

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
    """Attributes as JSON text.

    Raises:
        OptionError: they are longer than Milvus keeps, or not JSON values.
    """
    text = attributes_text(attributes)
    if len(text.encode()) > LONGEST_TEXT:
        raise OptionError(
            f"the attributes of '{name}' take {len(text.encode()):,} bytes",
            f"Milvus keeps {LONGEST_TEXT:,}; put larger things elsewhere",
        )
    return text


def _name_key(name: str) -> str:
    """What stands for a name in a filter."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _person(row: Row, counts: Mapping[str, int]) -> Person:
    return Person(
        name=row["name"], id=row["id"], faces=dict(counts),
        attributes=json.loads(row["attributes"]), created=timestamps.written(row["created"]),
    )  # fmt: skip
