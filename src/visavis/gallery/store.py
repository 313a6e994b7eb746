"""Interface of all galleries: SQLite with FAISS, or Milvus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.gallery.records import (
    AuditEntry,
    CheckReport,
    GalleryInfo,
    Match,
    NewFace,
    Person,
    StoredFace,
)
from visavis.types import Vectors

Fusion = Literal["max", "mean", "weighted"]
"""How a person's templates are fused into one score: closest template, mean template, or mean
weighted by quality score (default). Means have unit length. See docs/concepts/identification.md."""


@runtime_checkable
class GalleryStore(Protocol):
    """People and their templates. Suite: ``tests/contracts/gallery.py``.

    A call that returns has taken effect and survives a crash; a call that raises changed nothing.
    The one exception is an erasure whose files could not be cleaned: it takes effect and raises
    ``ErasureIncompleteError``, or a ``GalleryBusyError`` that begins with "done". Each call sees
    what other processes wrote before it.
    """

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        """Enrolls all faces or none; returns their numbers in order.

        Raises:
            OptionError: an invalid name, or a vector that is not of unit length.
            ModelMismatchError: a vector has another dimension than the model's other templates.
        """
        ...

    def add_person(self, name: str, /) -> None:
        """Adds a person without faces.

        Raises:
            OptionError: an invalid name.
            PersonExistsError: somebody is called so.
        """
        ...

    def people(self) -> Iterator[Person]:
        """Yields all people, sorted by name (code points)."""
        ...

    def person(self, name: str, /) -> Person:
        """Returns one person. Raises UnknownPersonError; its remedy suggests similar names."""
        ...

    def name_of(self, person_id: str, /) -> str:
        """Name of a person by opaque id. Raises UnknownPersonError: nobody has it."""
        ...

    def faces(
        self, *, person: str | None = None, model_sha256: str | None = None, after: int = 0
    ) -> Iterator[StoredFace]:
        """Yields faces in order of number; only those of a person or a model if given, and with
        numbers above ``after``.

        Faces added after the call may be missing.
        """
        ...

    def face(self, number: int, /) -> StoredFace:
        """Returns a face by number. Raises UnknownFaceError: no such face."""
        ...

    def crop(self, face: int, /) -> bytes | None:
        """Returns the aligned face as PNG, if stored. Raises UnknownFaceError: no such face."""
        ...

    def has_person(self, name: str, /) -> bool:
        """Returns whether a person of that name is enrolled."""
        ...

    def has_source(self, source_sha256: str, /, *, person: str, model_sha256: str) -> bool:
        """Returns whether a photo with this hash is enrolled for the person with this model."""
        ...

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Replaces a person's attributes (JSON values). Raises UnknownPersonError."""
        ...

    def set_expiry(self, name: str, expires: str | None, /) -> None:
        """Set when all faces of a person expire, as ISO 8601 UTC time; ``None``: never.

        Raises:
            UnknownPersonError: nobody is called so.
            OptionError: not such a time.
        """
        ...

    def rename(self, old: str, new: str, /) -> None:
        """Renames a person; erases the old name, in the paths of the photos, too.

        Raises:
            UnknownPersonError, PersonExistsError.
        """
        ...

    def merge(self, into: str, *others: str) -> None:
        """Moves the others' faces to ``into`` and removes the others; erases their names, in the
        paths of the photos, too.

        Raises:
            UnknownPersonError: nobody is called so.
        """
        ...

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        """Moves some of a person's faces to ``into``, a new person if the name is unknown.

        Args:
            name: the person who has the faces now.
            faces: numbers of some, not all, of this person's faces.
            into: the person who gets them.

        Raises:
            UnknownPersonError: nobody is called ``name``.
            OptionError: ``into`` is invalid or the same person; no faces, others' faces, or all.
        """
        ...

    def remove(self, name: str, /) -> int:
        """Erases a person; afterwards no file contains their name or templates.

        Returns the number of erased templates. Raises UnknownPersonError.
        """
        ...

    def remove_faces(self, faces: Sequence[int], /, *, people: bool = False) -> int:
        """Erases faces by number; returns how many existed. A person without faces stays.

        Args:
            faces: their numbers.
            people: also erase people who lose their last face.
        """
        ...

    def expire(self, now: str, /) -> int:
        """Erases faces whose ``expires`` is before ``now`` (ISO 8601 UTC), and people who then have
        no faces; returns the number of faces."""
        ...

    def search(
        self,
        vectors: Vectors,
        /,
        *,
        model_sha256: str,
        k: int = 5,
        fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> list[list[Match]]:
        """Returns the ``k`` closest people to each of ``(Q, D)`` probes, best first.

        Only templates of ``model_sha256`` are compared. People with equal scores are sorted by
        name. With a ``domain``, templates are projected (gallery: side a, probes: side b) and then
        fused; in a large gallery only people with a template near the probe are scored.

        Raises:
            ModelMismatchError: the probes have another dimension than the model's templates.
            OptionError: ``k`` below 1, or probes that are not of unit length.
        """
        ...

    def non_mated(
        self, *, model_sha256: str, most: int = 2000, fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Returns non-mated scores of the gallery's own people, ``(P,)`` float32.

        Draws one template of each of up to ``most`` people (fixed seed) as a probe, and returns
        its highest fused score with any *other* person. Empty if fewer than two people have
        templates of the model. With a ``domain``, all templates are projected as side a.
        """
        ...

    def mean(self, model_sha256: str, /) -> tuple[NDArray[np.float32], int] | None:
        """Returns the ``(D,)`` mean of the people's mean templates, and the number of people.

        It may miss up to a twentieth of recent changes, but never includes erased people. ``None``
        if nobody has a template of the model.
        """
        ...

    def note(self, action: str, /, *, subject: str = "", details: Mapping[str, Any]) -> None:
        """Appends an action of the caller (identify, export) to the audit log."""
        ...

    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """Yields the audit entries that exist at the call, oldest first; of ``action`` if given."""
        ...

    def info(self) -> GalleryInfo:
        """Returns the state of the gallery."""
        ...

    def check(self) -> CheckReport:
        """Verifies every template, the index against the table, and the audit log."""
        ...

    def close(self) -> None:
        """Closes all files; further calls raise GalleryError."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
