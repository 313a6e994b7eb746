"""A row of a faces collection as a record."""

from __future__ import annotations

from typing import Final

import numpy as np

from visavis.gallery import moments
from visavis.gallery.milvus_enrolling import NEVER
from visavis.gallery.milvus_tables import Row
from visavis.gallery.milvus_writes import Model
from visavis.gallery.records import StoredFace

FIELDS: Final = (
    "person", "settings", "usability", "source", "source_sha256", "created", "expires", "crop",
    "vector",
)  # fmt: skip


def stored_face(row: Row, model: Model, name: str) -> StoredFace:
    """The face in a row with ``FIELDS``, of a person called so."""
    expires = None if row["expires"] == NEVER else moments.written(row["expires"])
    return StoredFace(
        id=row["id"], person=name, vector=np.array(row["vector"], dtype=np.float32),
        model=model.name, model_sha256=model.sha256, settings=row["settings"],
        usability=row["usability"], photo=row["source"], photo_sha256=row["source_sha256"],
        created=moments.written(row["created"]), expires=expires, has_crop=bool(row["crop"]),
    )  # fmt: skip
