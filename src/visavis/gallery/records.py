"""Records that galleries take and return."""

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
        person: the person's name, unique in the gallery; not empty, no control characters. An
            unknown person is added.
        vector: ``(D,)`` float32 of unit length.
        model: name of the model that made it.
        model_sha256: hash of that model's file.
        pipeline_id: id of the pipeline that made it (``Recognizer.pipeline_id``).
        quality_score: of the face, 0 to 1 (``visavis.faces.quality``).
        photo: name of the photo, for display.
        photo_sha256: hash of the photo's bytes; lets an interrupted enrollment resume.
        crop: the aligned face as PNG bytes; stored only if the user asked for it.
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
        """Returns all fields except the vector and the crop."""
        return {
            name: getattr(self, name) for name in self.__slots__ if name not in ("vector", "crop")
        } | {"has_crop": self.crop is not None}


@dataclass(frozen=True, slots=True, eq=False)
class StoredFace(Record):
    """A stored face: ``NewFace`` with a number and a time.

    Attributes:
        id: number of the face; numbers are never reused.
        created: ISO 8601 UTC time of enrollment.
        has_crop: whether the aligned face is stored.
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
        """Returns all fields except the vector."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "vector"}


@dataclass(frozen=True, slots=True)
class Person(Record):
    """An enrolled person.

    Attributes:
        name: unique in the gallery.
        id: random opaque id; a rename does not change it. The audit log uses it.
        faces: number of templates by model hash.
        attributes: JSON values attached by the user.
        created: ISO 8601 UTC time.
    """

    name: str
    id: str
    faces: dict[str, int]
    attributes: dict[str, Any]
    created: str


@dataclass(frozen=True, slots=True)
class Match(Record):
    """An enrolled person found by a search.

    Attributes:
        person: name.
        person_id: opaque id.
        score: fused cosine similarity of the probe with the person's templates, in [-1, 1].
        best_score: score of the closest template.
        best_face: number of that face.
        faces: number of the person's templates of this model.
    """

    person: str
    person_id: str
    score: float
    best_score: float
    best_face: int
    faces: int


@dataclass(frozen=True, slots=True)
class AuditEntry(Record):
    """One entry of the audit log.

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
    """State of a gallery.

    Attributes:
        kind: ``sqlite`` or ``milvus``.
        location: folder or URI.
        people: number of people.
        faces: number of templates by model hash.
        models: model name by hash.
        encrypted: whether it is encrypted at rest.
        index: search index by model hash, in words: kind, requested and measured recall.
        bytes: size on disk; 0 if unknown.
        audit_entries: number of entries in the audit log.
        audit_head: hash of its last entry. A copy of it shows later whether the log was replaced.
            In Milvus: of this machine's log.
        levelled: pipeline id of a template levelled by a former version, by model hash; only
            models that have such templates.
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
        """Raises ModelMismatchError if a former version levelled templates of the model.

        They are not comparable with templates of this version.
        """
        if pipeline_id := self.levelled.get(model_sha256):
            what = f"people of the gallery {self.location} were enrolled"
            raise ModelMismatchError(incomparable(what, pipeline_id), ENROLL_AGAIN)


@dataclass(frozen=True, slots=True)
class CheckReport(Record):
    """Result of ``check``.

    Attributes:
        ok: no problem was found.
        faces: number of templates verified against their checksum or tag.
        audit_entries: number of verified audit entries.
        problems: one sentence each.
        audit_head: hash of the last audit entry, to compare with a copy kept elsewhere; "" if it
            could not be read.
    """

    ok: bool
    faces: int
    audit_entries: int
    problems: tuple[str, ...] = ()
    audit_head: str = ""
