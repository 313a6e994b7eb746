"""Checks that every store makes before it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from visavis.errors import ModelMismatchError, OptionError
from visavis.gallery.names import usable_name
from visavis.gallery.records import NewFace
from visavis.types import Vectors

UNIT_TOLERANCE = 1e-3
"""Accepted deviation of a template's length from 1: above float16 rounding, below real mistakes."""

_SHA256 = re.compile("[0-9a-f]{64}")
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def instant(text: str) -> str:
    """Returns an ISO 8601 time as UTC with microseconds, so that texts sort like times.

    Raises:
        OptionError: not ISO 8601, or without a time zone.

    >>> instant("2026-01-31T12:00:00+02:00")
    '2026-01-31T10:00:00.000000+00:00'
    """
    remedy = "write it as ISO 8601 UTC, such as 2026-01-31T12:00:00+00:00"
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise OptionError(f"the time {text!r} cannot be read", remedy) from error
    if when.tzinfo is None:
        raise OptionError(f"the time {text!r} has no time zone", remedy)
    try:
        return when.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise OptionError(f"the time {text!r} is out of range", remedy) from error


def attributes_text(attributes: Mapping[str, Any]) -> str:
    """Returns attributes as JSON text with sorted keys.

    Raises:
        OptionError: a value is not a JSON value, or a key is not text.

    >>> attributes_text({"b": [1, None], "a": "é"})
    '{"a": "é", "b": [1, null]}'
    """
    remedy = "attributes are JSON values: text, finite numbers, true, false, null, lists, objects"
    try:
        plain = dict(attributes)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=True)
        text.encode()
        same = json.loads(text) == plain
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"the attributes cannot be kept ({error})", remedy) from error
    if not same:
        raise OptionError("the attributes are not the same after being written as JSON", remedy)
    return text


def usable_vectors(vectors: Vectors, what: str = "probes") -> Vectors:
    """Returns probes or templates as C-contiguous ``(N, D)`` float32.

    Raises:
        OptionError: wrong shape or type, values that are not finite, or a row whose length differs
            from 1 by more than ``UNIT_TOLERANCE``.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind != "f":
        raise OptionError(
            f"the {what} are {array.dtype} of shape {array.shape}",
            "give (N, D) float32 with rows of unit length",
        )
    array = np.ascontiguousarray(array, dtype=np.float32)
    wide = array.astype(np.float64)
    lengths = np.sqrt(np.vecdot(wide, wide))
    good = np.abs(lengths - 1) <= UNIT_TOLERANCE
    if not good.all():
        bad = np.flatnonzero(~good)
        raise OptionError(
            f"row {bad[0]} of the {what} has length {lengths[bad[0]]:.4g}",
            "templates are of unit length; divide by the length",
        )
    return array


@dataclass(frozen=True, slots=True, eq=False)
class FaceColumns:
    """Checked faces, column by column.

    Attributes:
        faces: the faces as given.
        people: their names in NFC.
        vectors: private float32 copies of the templates: ``(N, D)``, or a list of ``(D,)`` if their
            dimensions differ.
        expires: times as ``instant`` returns them.
    """

    faces: Sequence[NewFace]
    people: list[str]
    vectors: Vectors | list[Vectors]
    expires: list[str | None]

    def __len__(self) -> int:
        return len(self.people)


def usable_faces(faces: Sequence[NewFace], dimensions: Mapping[str, int]) -> list[NewFace]:
    """Returns checked copies: names in NFC, float32 vectors, times as ``instant`` returns them.

    Args:
        faces: faces to enroll together.
        dimensions: template dimension by model hash, for models already in the gallery.

    Raises:
        OptionError: an invalid name, vector, model, quality score, crop or time.
        ModelMismatchError: a vector has another dimension than the model's other templates.
    """
    found = checked_faces(faces, dimensions)
    return [
        replace(face, person=name, vector=vector, expires=expires)
        for face, name, vector, expires in zip(
            faces, found.people, found.vectors, found.expires, strict=True
        )
    ]


def checked_faces(faces: Sequence[NewFace], dimensions: Mapping[str, int]) -> FaceColumns:
    """Checks faces as ``usable_faces`` does; much faster for many."""
    known = dict(dimensions)
    names: dict[str, str] = {}
    seen: set[tuple[str, str, str]] = set()
    together = _together(faces)
    people, vectors, times = [], [], []
    for face in faces:
        person = face.person
        name = names.get(person) if isinstance(person, str) else None
        if name is None:
            name = names[person] = usable_name(person)
        if together is None:
            vectors.append(_usable_vector(face, name))
        _check_fields(face, name, seen)
        length = len(vectors[-1]) if together is None else together.shape[1]
        dimension = known.setdefault(face.model_sha256, length)
        if dimension != length:
            raise ModelMismatchError(
                f"the template of '{name}' has {length} numbers, those of model "
                f"{face.model} ({face.model_sha256[:12]}) have {dimension}",
                "use the model whose hash is given",
            )
        people.append(name)
        expires = face.expires
        times.append(None if expires is None else instant(expires))
    return FaceColumns(faces, people, vectors if together is None else together, times)


def splittable(name: str, faces: Sequence[int], held: Collection[int]) -> list[int]:
    """Checks and returns the numbers of the faces to move from a person, sorted and unique.

    Args:
        name: the person.
        faces: requested numbers.
        held: numbers of all faces of the person.

    Raises:
        OptionError: no numbers, another person's face, or all faces of the person.
    """
    wanted = sorted({int(face) for face in faces})
    remedy = f"`visavis people show {name!r}` lists their templates"
    if not wanted:
        raise OptionError(f"no template of '{name}' is named", remedy)
    for face in wanted:
        if face not in held:
            raise OptionError(f"'{name}' has no template {face}", remedy)
    if len(wanted) == len(held):
        raise OptionError(
            f"these are all the templates of '{name}'",
            "rename the person, or merge the person into another",
        )
    return wanted


def _together(faces: Sequence[NewFace]) -> Vectors | None:
    """Returns copies of all templates, or ``None`` if they must be checked one by one."""
    rows = [face.vector for face in faces]
    if not rows or not all(
        isinstance(row, np.ndarray) and row.dtype == np.float32 and row.shape == rows[0].shape
        for row in rows
    ):
        return None
    if rows[0].ndim != 1:
        return None
    try:
        return usable_vectors(np.concatenate(rows).reshape(len(rows), -1))
    except OptionError:
        return None


def _usable_vector(face: NewFace, name: str) -> Vectors:
    vector = np.asarray(face.vector)
    if vector.ndim != 1:
        raise OptionError(f"the template of '{name}' has shape {vector.shape}", "give (D,) float32")
    usable: Vectors = usable_vectors(vector[None], f"template of '{name}'")[0].copy()
    return usable


def _check_fields(face: NewFace, name: str, seen: set[tuple[str, str, str]]) -> None:
    """Checks the other fields; ``seen`` holds models and pipelines that passed already."""
    quality_score, crop = face.quality_score, face.crop
    if not (isinstance(quality_score, (int, float)) and 0 <= quality_score <= 1):
        raise OptionError(f"the quality score of '{name}' is {quality_score!r}", "give 0 to 1")
    if not (crop is None or isinstance(crop, bytes)):
        raise OptionError(f"the crop of '{name}' is a {type(crop).__name__}", "give PNG bytes")
    sha256, model, pipeline_id = face.model_sha256, face.model, face.pipeline_id
    texts = isinstance(sha256, str) and isinstance(model, str) and isinstance(pipeline_id, str)
    if not (texts and (sha256, model, pipeline_id) in seen):
        if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise OptionError(
                f"the model hash of '{name}' is {sha256!r}",
                "give 64 lower-case hexadecimal digits",
            )
        _check_text("model", model, name)
        _check_text("pipeline_id", pipeline_id, name)
        seen.add((sha256, model, pipeline_id))
    for field, text in (("photo", face.photo), ("photo_sha256", face.photo_sha256)):
        if type(text) is not str or text:
            _check_text(field, text, name)


def _check_text(field: str, text: object, name: str) -> None:
    if not isinstance(text, str) or _NOT_TEXT.search(text):
        raise OptionError(f"the {field} of '{name}' is {text!r}", "give text without NUL")
