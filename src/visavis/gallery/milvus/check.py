"""Verifies a gallery on Milvus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from visavis.gallery.milvus.faces import TEMPLATE, Faces, Model, means_of, tag
from visavis.gallery.milvus.ledger import Ledger
from visavis.gallery.milvus.people import People
from visavis.gallery.milvus.search import MilvusSearch
from visavis.gallery.milvus.tables import Tables
from visavis.gallery.records import CheckReport

_TRIED: Final = 20
_MOST: Final = 100
_PEOPLE_AT_ONCE: Final = 250


def check(
    tables: Tables, people: People, faces: Faces, search: MilvusSearch, ledger: Ledger
) -> CheckReport:
    """Verifies checksum and owner of every template, means, some searches, and the audit log."""
    problems: list[str] = []
    right = links = 0
    names = people.everybody()
    problems += [f"{count} people have one name ({name!r})" for name, count in
                 Counter(names.values()).items() if count > 1]  # fmt: skip
    for model in faces.models().values():
        for found in _check_model(tables, search, model, names):
            right += found is None
            problems += [] if found is None else [found]
    for link in ledger.verify():
        links += link is None
        problems += [] if link is None else [link]
    _, head = ledger.head()
    return CheckReport(not problems, right, links, tuple(problems[:_MOST]), head)


def _check_model(
    tables: Tables, search: MilvusSearch, model: Model, names: Mapping[str, str]
) -> Iterator[str | None]:
    tried = 0
    owners: set[str] = set()
    for rows in tables.pages(model.faces, "", ["person", "vector", "tag"]):
        for row in rows:
            vector = np.array(row["vector"], dtype=np.float32)
            owners.add(row["person"])
            if row["tag"] != tag(row["id"], model.sha256, vector):
                yield f"template {row['id']} is not what was written"
            elif row["person"] not in names:
                yield f"template {row['id']} belongs to nobody"
            else:
                yield None
            if tried < _TRIED:
                tried += 1
                hits = search.search(vector[None], model, k=1, fusion="max")[0]
                if not hits or hits[0].best_score < 1 - 1e-4:
                    yield f"template {row['id']} is not found by a search for itself"
    yield from _check_means(tables, model, sorted(owners))


def _check_means(tables: Tables, model: Model, owners: list[str]) -> Iterator[str]:
    for table in model.means:
        if (kept := tables.count(table)) != len(owners):
            yield f"{kept} people have mean templates of {model.name}, not {len(owners)}"
    for start in range(0, len(owners), _PEOPLE_AT_ONCE):
        some = owners[start : start + _PEOPLE_AT_ONCE]
        rows = list(tables.read(model.faces, "person", some, TEMPLATE))
        for table, people, means in means_of(sorted(rows, key=lambda r: int(r["id"])), model):
            found = tables.read(table, "id", people, ["id", "vector"])
            held = {row["id"]: row["vector"] for row in found}
            for person, mean in zip(people, means, strict=True):
                if person in held and not np.allclose(held[person], mean, atol=1e-5):
                    yield f"the mean template of person {person} is out of date"
