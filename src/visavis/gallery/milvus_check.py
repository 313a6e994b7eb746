"""Whether a gallery on Milvus holds what was written to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np

from visavis.gallery.fusion import mean_templates
from visavis.gallery.milvus_audit import Audit
from visavis.gallery.milvus_search import MilvusSearch
from visavis.gallery.milvus_tables import Row, Tables
from visavis.gallery.milvus_writes import Model, Writes, tag
from visavis.gallery.records import CheckReport

_TRIED: Final = 20
_MOST: Final = 100


def check(
    tables: Tables, writes: Writes, audit: Audit, search: MilvusSearch, hidden: str
) -> CheckReport:
    """Verify every template's checksum and owner, the means, a sample of searches, the audit."""
    problems: list[str] = []
    faces = links = 0
    people = _people(tables, hidden)
    problems += [f"{count} people have one name ({name!r})" for name, count in
                 Counter(people.values()).items() if count > 1]  # fmt: skip
    for model in writes.models().values():
        for found in _check_model(tables, search, model, people, hidden):
            if found is None:
                faces += 1
            else:
                problems.append(found)
    for link in audit.verify():
        if link is None:
            links += 1
        else:
            problems.append(link)
    return CheckReport(not problems, faces, links, tuple(problems[:_MOST]), audit.head())


def _people(tables: Tables, hidden: str) -> dict[str, str]:
    return {
        row["id"]: row["name"]
        for page in tables.text_pages("people", hidden, ["name"])
        for row in page
    }


def _check_model(
    tables: Tables, search: MilvusSearch, model: Model, people: dict[str, str], hidden: str
) -> Iterator[str | None]:
    tried = 0
    owners: dict[str, int] = defaultdict(int)
    for rows in tables.pages(model.faces, hidden, ["person", "vector", "tag"]):
        for row in rows:
            vector = np.array(row["vector"], dtype=np.float32)
            owners[row["person"]] += 1
            if row["tag"] != tag(row["id"], model.sha256, vector):
                yield f"template {row['id']} is not what was written"
            elif row["person"] not in people:
                yield f"template {row['id']} belongs to nobody"
            else:
                yield None
            if tried < _TRIED:
                tried += 1
                hits = search.search(vector[None], model, k=1, fusion="max", hidden=hidden)[0]
                if not hits or hits[0].best_score < 1 - 1e-4:
                    yield f"template {row['id']} is not found by a search for itself"
    yield from _check_means(tables, model, owners, hidden)


def _check_means(
    tables: Tables, model: Model, owners: dict[str, int], hidden: str
) -> Iterator[str]:
    everybody = sorted(owners)
    kept = tables.count(model.centres)
    if kept != len(everybody):
        yield f"{kept} people have mean templates of {model.name}, not {len(everybody)}"
    for start in range(0, len(everybody), 250):
        some = everybody[start : start + 250]
        order = {person: at for at, person in enumerate(some)}
        rows: list[Row] = list(tables.read_in_parts(
            model.faces, "person", some, ["id", "person", "usability", "vector"], also=hidden
        ))  # fmt: skip
        rows.sort(key=lambda row: int(row["id"]))
        vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
        at = np.array([order[row["person"]] for row in rows])
        usability = np.array([row["usability"] for row in rows])
        mean = mean_templates(vectors, at, people=len(some))
        weighted = mean_templates(vectors, at, weights=usability, people=len(some))
        for row in tables.read_in_parts(model.centres, "id", some, ["id", "mean", "weighted"]):
            person = order[row["id"]]
            near = np.allclose(row["mean"], mean[person], atol=1e-5) and np.allclose(
                row["weighted"], weighted[person], atol=1e-5
            )
            if not near:
                yield f"the mean template of person {row['id']} is out of date"
