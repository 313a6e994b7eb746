"""Rows of faces collections as records."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from visavis.gallery import timestamps
from visavis.gallery.milvus_enrolling import NEVER
from visavis.gallery.milvus_search import MilvusSearch
from visavis.gallery.milvus_tables import Row, Tables
from visavis.gallery.milvus_writes import Model
from visavis.gallery.records import StoredFace

_FIELDS: Final = (
    "person", "settings", "usability", "source", "source_sha256", "created", "expires", "crop",
    "vector",
)  # fmt: skip


def faces_by_number(
    tables: Tables, search: MilvusSearch, models: Sequence[Model], where: str
) -> Iterator[StoredFace]:
    """Yield the faces that match a filter, by number; faces removed meanwhile may be missing."""
    streams = [_faces_of(tables, search, model, where) for model in models]
    yield from heapq.merge(*streams, key=lambda face: face.id)


def _faces_of(
    tables: Tables, search: MilvusSearch, model: Model, where: str
) -> Iterator[StoredFace]:
    last = -1
    while True:
        with tables.connection.lock:
            page = next(tables.pages(model.faces, where, _FIELDS, first=last), [])
            names = search.names({row["person"] for row in page})
        for row in page:
            if row["person"] in names:
                yield _stored_face(row, model, names[row["person"]])
        if not page:
            return
        last = page[-1]["id"]


def _stored_face(row: Row, model: Model, name: str) -> StoredFace:
    """The face in a row with ``_FIELDS``, of a person called so."""
    expires = None if row["expires"] == NEVER else timestamps.written(row["expires"])
    return StoredFace(
        id=row["id"], person=name, vector=np.array(row["vector"], dtype=np.float32),
        model=model.name, model_sha256=model.sha256, settings=row["settings"],
        usability=row["usability"], photo=row["source"], photo_sha256=row["source_sha256"],
        created=timestamps.written(row["created"]), expires=expires, has_crop=bool(row["crop"]),
    )  # fmt: skip
