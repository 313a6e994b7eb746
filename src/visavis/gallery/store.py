"""The seam that every gallery fits: SQLite with FAISS in one process, Milvus beyond it."""

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
"""How a person's templates become one score: the closest; the mean template; the mean weighted by
quality score, the default. Means are brought to unit length. Measured: see
docs/concepts/identification.md."""


@runtime_checkable
class GalleryStore(Protocol):
    """People and their templates. Suite: ``tests/contracts/gallery.py``.

    Every call that returns has taken effect for good (after a crash, too) or raised and changed
    nothing. There is one exception: an erasure may take effect and still raise, if the files could
    not be cleaned. It raises ``ErasureIncompleteError``, or a ``GalleryBusyError`` that begins with
    "done". The next call sees what another process wrote.
    """

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        """Enroll faces, all or none; returns their numbers in order.

        Raises:
            OptionError: an unusable name, a vector that is not of unit length.
            ModelMismatchError: a vector's length differs from others of the same model.
        """
        ...

    def people(self) -> Iterator[Person]:
        """Everybody, by name in code point order."""
        ...

    def person(self, name: str, /) -> Person:
        """One person. Raises UnknownPersonError, whose remedy names similar names."""
        ...

    def name_of(self, person_id: str, /) -> str:
        """Name of a person by opaque id. Raises UnknownPersonError: nobody has it."""
        ...

    def faces(
        self, *, person: str | None = None, model_sha256: str | None = None
    ) -> Iterator[StoredFace]:
        """Yield faces by number, of one person or one model if given.

        Faces that are added after the call may be missing.
        """
        ...

    def crop(self, face: int, /) -> bytes | None:
        """The aligned face as PNG bytes where it was kept. Raises GalleryError: no such face."""
        ...

    def has_person(self, name: str, /) -> bool:
        """Whether somebody of that name is enrolled."""
        ...

    def has_source(self, source_sha256: str, /, *, person: str, model_sha256: str) -> bool:
        """Whether a photo with this hash is enrolled for the person with this model."""
        ...

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Replace a person's attributes (JSON values). Raises UnknownPersonError."""
        ...

    def set_expiry(self, name: str, expires: str | None, /) -> None:
        """Set when all faces of a person expire, as ISO 8601 UTC time; ``None``: never.

        Raises:
            UnknownPersonError: nobody is called so.
            OptionError: not such a time.
        """
        ...

    def rename(self, old: str, new: str, /) -> None:
        """Give a person another name. Raises UnknownPersonError, PersonExistsError."""
        ...

    def merge(self, into: str, *others: str) -> None:
        """Move the others' faces to ``into`` and remove the others. Raises UnknownPersonError."""
        ...

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        """Move some of a person's faces to ``into``: a new person where nobody is called that.

        Args:
            name: whose faces they are now.
            faces: their numbers; not all that the person has.
            into: whose they are.

        Raises:
            UnknownPersonError: nobody is called ``name``.
            OptionError: ``into`` is unusable or the same person; no faces, others' faces, or all.
        """
        ...

    def remove(self, name: str, /) -> int:
        """Erase a person; afterwards no byte of name or templates is in any file.

        Returns the number of templates erased. Raises UnknownPersonError.
        """
        ...

    def remove_faces(self, faces: Sequence[int], /) -> int:
        """Erase faces by number, as thoroughly; a person without faces stays. Returns how many
        there were."""
        ...

    def expire(self, now: str, /) -> int:
        """Erase the faces whose ``expires`` is before ``now`` (ISO 8601 UTC), and the people whom
        that leaves without any; returns the number of faces."""
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
        """The ``k`` closest people to each of ``(Q, D)`` probes, best first.

        Only templates of ``model_sha256`` are compared. Equal scores are ordered by name. With a
        ``domain`` scores are those of its space, probes being side b, the gallery's templates side
        a, each projected before they are fused; in a large gallery only those people are scored
        who own one of the templates closest to the probe.

        Raises:
            ModelMismatchError: the probes' length is not the model's.
            OptionError: ``k`` below 1, probes that are not of unit length.
        """
        ...

    def non_mated(
        self, *, model_sha256: str, most: int = 2000, fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """How close a stranger comes to this gallery, ``(P,)`` float32.

        For up to ``most`` people (chosen at random by a fixed seed) one of their templates is the
        probe (likewise chosen), and its highest fused score with any *other* person is returned.
        Empty where fewer than two people have templates of the model. With a ``domain`` scores
        are those of its space, all templates being side a.
        """
        ...

    def mean(self, model_sha256: str, /) -> tuple[NDArray[np.float32], int] | None:
        """``(D,)`` mean of the people's mean templates of a model, and how many people.

        It may be of up to a twentieth fewer or more templates than there are, but nobody who was
        erased has a part in it. ``None`` where nobody has one.
        """
        ...

    def note(self, action: str, /, *, subject: str = "", details: Mapping[str, Any]) -> None:
        """Append to the audit what a caller did (identify, export)."""
        ...

    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """Yield the audit entries that exist at the call, from the first one.

        If an action is given, only its entries are read.
        """
        ...

    def info(self) -> GalleryInfo:
        """What is held."""
        ...

    def check(self) -> CheckReport:
        """Verify every template, the index against the table, and the audit's chain."""
        ...

    def close(self) -> None:
        """Release files; further calls raise GalleryError."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
