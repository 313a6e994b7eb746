"""The rows of people in a gallery on Milvus."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from visavis.gallery import timestamps
from visavis.gallery.milvus_tables import Row, Tables, one_of
from visavis.gallery.milvus_writes import Model
from visavis.gallery.names import composed, unknown_person
from visavis.gallery.records import Person

_FIELDS: Final = ("id", "batch", "name", "name_key", "attributes", "created")
_COMPARED: Final = 10_000


def name_key(name: str) -> str:
    """What stands for a name in a filter."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


class People:
    """Reads and writes people of one tenant. ``hidden`` is a filter for who counts."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def insert(self, ids: Mapping[str, str], *, batch: str, created: int) -> None:
        """Write new people, ids by name."""
        self.tables.insert("people", [
            {"id": number, "batch": batch, "name": name, "name_key": name_key(name),
             "attributes": "{}", "created": created}
            for name, number in ids.items()
        ])  # fmt: skip

    def change(
        self, number: str, *, name: str | None = None, attributes: str | None = None
    ) -> None:
        """Replace a person's row by one with another name or other attributes."""
        (row,) = self.tables.read("people", one_of("id", [number]), _FIELDS)
        if name is not None:
            row |= {"name": name, "name_key": name_key(name)}
        if attributes is not None:
            row |= {"attributes": attributes}
        self.tables.insert("people", [row], replace=True)

    def ids(self, names: set[str], hidden: str) -> dict[str, str]:
        """Ids of those of the (composed) names that are enrolled."""
        keys = {name_key(name): name for name in names}
        rows = self.tables.read_in_parts(
            "people", "name_key", sorted(keys), ["id", "name"], also=hidden
        )
        return {row["name"]: row["id"] for row in rows if row["name"] in names}

    def known(self, name: str, hidden: str) -> str:
        """Id of an enrolled person.

        Raises:
            UnknownPersonError: nobody is called that.
        """
        found = self.ids({composed(name)}, hidden)
        if not found:
            rows = (row for page in self._pages(["name"]) for row in page)
            raise unknown_person(name, [row["name"] for row in islice(rows, _COMPARED)])
        return found[composed(name)]

    def _pages(self, fields: list[str]) -> Iterator[list[Row]]:
        return self.tables.text_pages("people", "", fields)

    def by_name(self, hidden: str) -> list[str]:
        """Ids of everybody, by name in code point order. Holds all names in memory."""
        rows = [
            (row["name"], row["id"])
            for page in self.tables.text_pages("people", hidden, ["name"])
            for row in page
        ]
        return [number for _, number in sorted(rows)]

    def read(self, numbers: list[str], models: list[Model], hidden: str) -> list[Person]:
        """People by id, in the order given; those who are gone are left out."""
        rows = {
            row["id"]: row
            for row in self.tables.read_in_parts("people", "id", numbers, _FIELDS, also=hidden)
        }
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for model in models:
            for face in self.tables.read_in_parts(
                model.faces, "person", numbers, ["person"], also=hidden
            ):
                counts[face["person"]][model.sha256] += 1
        return [_person(rows[n], counts[n]) for n in numbers if n in rows]


def _person(row: Row, counts: Mapping[str, int]) -> Person:
    attributes: dict[str, Any] = json.loads(row["attributes"])
    return Person(
        name=row["name"], id=row["id"], faces=dict(counts), attributes=attributes,
        created=timestamps.written(row["created"]),
    )  # fmt: skip
