"""Frozen records that travel in and out of a gallery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import ModelMismatchError
from visavis.former import ENROLL_AGAIN, incomparable
from visavis.types import Record


@dataclass(frozen=True, slots=True, eq=False)
class NewFace(Record):
    """A face to enroll.

    Attributes:
        person: the person's name, unique in the gallery; not empty, no control characters. A
            person who is not there yet is made.
        vector: ``(D,)`` float32 of unit length.
        model: name of the model that made it.
        model_sha256: hash of that model's file.
        pipeline_id: id of the pipeline that made it (``Recognizer.pipeline_id``).
        quality_score: of the face, 0 to 1 (``visavis.faces.quality``).
        photo: the name of the photo, for people to read.
        photo_sha256: hash of the photo's bytes; enrollment needs it to resume.
        crop: the aligned face as PNG bytes, kept only where the user asked for it.
        expires: ISO 8601 UTC time after which the face is to be erased; ``None``: never.
    """

    person: str
    vector: NDArray[np.float32]
    model: str
    model_sha256: str
    pipeline_id: str = ""
    quality_score: float = 1.0
    photo: str = ""
    photo_sha256: str = ""
    crop: bytes | None = field(default=None, repr=False)
    expires: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All but the vector and the crop."""
        return {
            name: getattr(self, name) for name in self.__slots__ if name not in ("vector", "crop")
        } | {"has_crop": self.crop is not None}


@dataclass(frozen=True, slots=True, eq=False)
class StoredFace(Record):
    """A face as the gallery holds it: ``NewFace`` with a number and a time.

    Attributes:
        id: number of the face, never used twice.
        created: ISO 8601 UTC time of enrollment.
        has_crop: whether the aligned face was kept.
    """

    id: int
    person: str
    vector: NDArray[np.float32]
    model: str
    model_sha256: str
    pipeline_id: str
    quality_score: float
    photo: str
    photo_sha256: str
    created: str
    expires: str | None
    has_crop: bool

    def to_dict(self) -> dict[str, Any]:
        """All but the vector."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "vector"}


@dataclass(frozen=True, slots=True)
class Person(Record):
    """Somebody enrolled.

    Attributes:
        name: unique in the gallery.
        id: opaque, made at random, kept over a rename; what the audit names.
        faces: number of templates by model hash.
        attributes: JSON values that the user attached.
        created: ISO 8601 UTC time.
    """

    name: str
    id: str
    faces: dict[str, int]
    attributes: dict[str, Any]
    created: str


@dataclass(frozen=True, slots=True)
class Match(Record):
    """One enrolled person as a search found them.

    Attributes:
        person: name.
        person_id: opaque id.
        score: fused cosine similarity of the probe with the person's templates, in [-1, 1].
        best_score: score of the closest of them.
        best_face: number of that face.
        faces: how many templates the person has of this model.
    """

    person: str
    person_id: str
    score: float
    best_score: float
    best_face: int
    faces: int


@dataclass(frozen=True, slots=True)
class AuditEntry(Record):
    """One line of the append-only record of what was done.

    Attributes:
        seq: 1, 2, 3, ...
        time: ISO 8601 UTC.
        action: ``enroll``, ``identify``, ``remove``, ``export``, ``rename``, ``merge``, ...
        subject: opaque person id, or empty.
        details: JSON values; never a name or a template.
        hash: SHA-256 (hex) over the previous entry's hash and this entry.
    """

    seq: int
    time: str
    action: str
    subject: str
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class GalleryInfo(Record):
    """What a gallery holds.

    Attributes:
        kind: ``sqlite`` or ``milvus``.
        location: folder or URI.
        people: number of people.
        faces: number of templates by model hash.
        models: model name by hash.
        encrypted: whether it is encrypted at rest.
        index: search structure by model hash, in words: kind, asked and measured recall.
        bytes: size on disk, 0 where it cannot be known.
        audit_entries: length of the audit.
        audit_head: hash of its last entry; noted elsewhere, it shows whether the audit was made
            anew. In Milvus that of this machine's chain.
        levelled: for models whose templates, or some of them, were levelled by a former version:
            the pipeline id of one of those, by model hash.
    """

    kind: str
    location: str
    people: int
    faces: dict[str, int]
    models: dict[str, str]
    encrypted: bool
    index: dict[str, str]
    bytes: int
    audit_entries: int
    audit_head: str = ""
    levelled: dict[str, str] = field(default_factory=dict)

    def require_plain(self, model_sha256: str) -> None:
        """Raise ModelMismatchError where templates of the model were levelled by a former version.

        Templates of this version are not comparable with those.
        """
        if pipeline_id := self.levelled.get(model_sha256):
            what = f"people of the gallery {self.location} were enrolled"
            raise ModelMismatchError(incomparable(what, pipeline_id), ENROLL_AGAIN)


@dataclass(frozen=True, slots=True)
class CheckReport(Record):
    """What ``check`` found.

    Attributes:
        ok: no problem was found.
        faces: templates checked against their hash or tag.
        audit_entries: links of the chain that were verified.
        problems: a sentence each.
        audit_head: hash of the audit's last entry, to be compared with one that was noted
            elsewhere; "" where it could not be read.
    """

    ok: bool
    faces: int
    audit_entries: int
    problems: tuple[str, ...] = ()
    audit_head: str = ""
