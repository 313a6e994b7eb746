"""Migrates a gallery to another model.

Templates of different models are not comparable, so the gallery holds both for a while. Faces with
stored crops are embedded again at once; others keep the old template until their people are
enrolled again, and identification searches both. When everybody has templates of the new model, the
old ones can be erased.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.errors import GalleryError, ModelMismatchError, OptionError, UnknownPersonError
from visavis.gallery.records import NewFace, StoredFace
from visavis.identification.cut_out import recrop
from visavis.images import digest
from visavis.types import Record

if TYPE_CHECKING:
    from visavis.gallery.store import GalleryStore
    from visavis.pipeline import Recognizer

ACTION: Final = "migrate"
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class MigrationProgress(Record):
    """Progress of a migration.

    Attributes:
        model: the new model.
        model_sha256: hash of its file.
        people: people with templates of any model.
        migrated: those of them with templates of the new one.
        old_faces: templates of other models.
        embedded: faces embedded anew in this run.
        waiting: names of some people who must be enrolled again.
    """

    model: str
    model_sha256: str
    people: int
    migrated: int
    old_faces: int
    embedded: int = 0
    waiting: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everybody has templates of the new model."""
        return self.people == self.migrated


def target(gallery: GalleryStore) -> tuple[str, str] | None:
    """Returns name and hash of the model of an unfinished migration, or ``None``."""
    found: tuple[str, str] | None = None
    for entry in gallery.audit(action=ACTION):
        if "model_sha256" in entry.details:
            begun = entry.details.get("event") == "begun"
            model = (str(entry.details.get("model")), str(entry.details["model_sha256"]))
            found = model if begun else None
    return found


def require_welcome(gallery: GalleryStore, recognizer: Recognizer) -> None:
    """Checks that templates of this model may be added.

    Raises:
        ModelMismatchError: the gallery has only templates of other models and no migration was
            started; or templates of this model were levelled by a former version.
    """
    info = gallery.info()
    info.require_plain(recognizer.model_sha256)
    held = [sha256 for sha256, count in info.faces.items() if count]
    if not held or recognizer.model_sha256 in held:
        return
    begun = target(gallery)
    if begun is not None and begun[1] == recognizer.model_sha256:
        return
    there = ", ".join(f"{info.models[sha256]} ({sha256[:12]})" for sha256 in held)
    raise ModelMismatchError(
        f"templates of {recognizer.model} ({recognizer.model_sha256[:12]}) for a gallery that "
        f"holds those of {there}",
        f"begin a change of model first: `visavis gallery migrate --model {recognizer.model}`",
    )


class Migration:
    """Migration to another model. Can be interrupted at any time; run again to continue.

    Args:
        gallery: the gallery.
        recognizer: of the new model.

    Raises:
        OptionError: the gallery is empty, or has templates of this model only and no migration
            waits for ``finish``.
        ModelMismatchError: templates of this model were levelled by a former version.
    """

    def __init__(self, gallery: GalleryStore, recognizer: Recognizer) -> None:
        info = gallery.info()
        info.require_plain(recognizer.model_sha256)
        others = [s for s, n in info.faces.items() if n and s != recognizer.model_sha256]
        if not others and target(gallery) != (recognizer.model, recognizer.model_sha256):
            held = "is empty" if not any(info.faces.values()) else "holds its templates only"
            raise OptionError(
                f"a change to model {recognizer.model} of a gallery that {held}",
                "there is nothing to change",
            )
        self._gallery = gallery
        self._recognizer = recognizer
        self._sha256 = recognizer.model_sha256

    def progress(self, *, names: int = 5) -> MigrationProgress:
        """Returns the progress.

        Args:
            names: most names to list in ``waiting``.
        """
        return progress(self._gallery, self._recognizer.model, self._sha256, names=names)

    def run(self, *, report: Callable[[int, int], None] | None = None) -> MigrationProgress:
        """Embeds every face that has a stored crop and no template of the new model yet.

        Args:
            report: called with (done, total) faces.
        """
        if target(self._gallery) != (self._recognizer.model, self._sha256):
            self._note("begun")
        waiting = self._waiting()
        done = embedded = 0
        for k in range(0, len(waiting), _BATCH):
            batch = waiting[k : k + _BATCH]
            embedded += self._embed(batch)
            done += len(batch)
            if report is not None:
                report(done, len(waiting))
        return replace(self.progress(), embedded=embedded)

    def finish(self) -> int:
        """Erases the templates of other models; returns their number.

        Raises:
            GalleryError: somebody has no template of the new model.
        """
        found = self.progress(names=3)
        if not found.complete:
            raise GalleryError(
                f"{found.people - found.migrated} of {found.people} people have no template of "
                f"{found.model} yet ({', '.join(found.waiting)}, ...)",
                f"enroll them again with --model {found.model}, or `visavis people remove` them",
            )
        old = [face.id for face in self._gallery.faces() if face.model_sha256 != self._sha256]
        erased = self._gallery.remove_faces(old)
        self._note("finished")
        return erased

    def _note(self, event: str) -> None:
        self._gallery.note(
            ACTION,
            details={
                "event": event,
                "model": self._recognizer.model,
                "model_sha256": self._sha256,
            },
        )

    def _waiting(self) -> list[StoredFace]:
        """Faces with a crop whose photo has no template of the new model yet."""
        new = {
            (face.person, face.photo_sha256)
            for face in self._gallery.faces(model_sha256=self._sha256)
        }
        return [
            replace(face, vector=_NOTHING)
            for face in self._gallery.faces()
            if face.model_sha256 != self._sha256
            and face.has_crop
            and not (face.photo_sha256 and (face.person, face.photo_sha256) in new)
        ]

    def _embed(self, batch: list[StoredFace]) -> int:
        size, scale = self._recognizer.embedder.input_size, self._recognizer.crop_scale
        ids: dict[str, str] = {}
        crops, faces = [], []
        for face in batch:
            try:
                kept = self._gallery.crop(face.id)
                ids[face.person] = self._gallery.person(face.person).id
            except GalleryError:  # removed or renamed since
                continue
            if kept is not None:
                crops.append(recrop(kept, size=size, scale=scale))
                faces.append((face, kept))
        if not faces:
            return 0
        vectors = self._recognizer.embedder.embed(np.stack(crops))
        numbers = self._gallery.add(
            [
                self._reembedded(face, kept, vector)
                for (face, kept), vector in zip(faces, vectors, strict=True)
            ]
        )
        return len(numbers) - self._undo(faces, numbers, ids)

    def _undo(
        self, faces: list[tuple[StoredFace, bytes]], numbers: list[int], ids: dict[str, str]
    ) -> int:
        """Erases templates added for people who were removed or renamed in the meantime."""
        gone = {person for person, known in ids.items() if self._id(person) != known}
        late = [n for (face, _), n in zip(faces, numbers, strict=True) if face.person in gone]
        if late:
            self._gallery.remove_faces(late)
        for person in gone:
            if not next(iter(self._gallery.faces(person=person)), None):
                self._gallery.remove(person)
        return len(late)

    def _id(self, person: str) -> str | None:
        try:
            return self._gallery.person(person).id
        except UnknownPersonError:
            return None

    def _reembedded(self, face: StoredFace, crop: bytes, vector: np.ndarray) -> NewFace:
        # Landmarks of the detector at enrollment.
        detector = face.pipeline_id.partition(", ")[0]
        pipeline_id = self._recognizer.pipeline_id.partition(", ")[2]
        return NewFace(
            person=face.person,
            vector=vector,
            model=self._recognizer.model,
            model_sha256=self._sha256,
            pipeline_id=f"{detector}, {pipeline_id}",
            quality_score=face.quality_score,
            photo=face.photo,
            photo_sha256=face.photo_sha256 or digest(crop),
            crop=crop,
            expires=face.expires,
        )


_NOTHING: Final = np.zeros(0, dtype=np.float32)


def progress(
    gallery: GalleryStore, model: str, model_sha256: str, *, names: int = 5
) -> MigrationProgress:
    """Returns the progress of a migration; see ``MigrationProgress``."""
    people = migrated = old = 0
    waiting: list[str] = []
    for person in gallery.people():
        if not any(person.faces.values()):
            continue
        people += 1
        old += sum(n for sha256, n in person.faces.items() if sha256 != model_sha256)
        if person.faces.get(model_sha256):
            migrated += 1
        elif len(waiting) < names:
            waiting.append(person.name)
    return MigrationProgress(model, model_sha256, people, migrated, old, waiting=tuple(waiting))
