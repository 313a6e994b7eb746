"""Finds templates under one name that probably belong to another person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from visavis.decision.profile import CalibrationStore
from visavis.errors import ModelMismatchError
from visavis.former import ENROLL_AGAIN, incomparable, levelled
from visavis.gallery.space import calibration_in
from visavis.identification.resemblance import own_threshold
from visavis.types import Record

if TYPE_CHECKING:
    from pathlib import Path

    from visavis.gallery.store import GalleryStore


@dataclass(frozen=True, slots=True)
class SplitSuggestion(Record):
    """A group of templates that do not look like the person's other templates.

    Attributes:
        templates: their numbers, sorted, with those of other models from the same photos.
        photos: names of their photos, in the order of ``templates``.
        score: highest score with the person's other templates; it is below ``threshold``.
        threshold: lowest score of two templates that belong together.
    """

    templates: tuple[int, ...]
    photos: tuple[str, ...]
    score: float
    threshold: float


def suggest_splits(
    gallery: GalleryStore, name: str, *, calibration: str | None = None, home: Path | None = None
) -> tuple[SplitSuggestion, ...]:
    """Suggest which of a person's templates belong to somebody else; changes nothing.

    Two of n templates are linked if their score reaches the threshold of FMR
    ``resemblance.PASSES / (n - 1)``. Linked templates form a group; every group but the largest is
    a suggestion. Enrollment uses the same threshold for its warning about single photos. Of this
    person's templates those of the model that made most of them are compared.

    Args:
        gallery: the gallery.
        name: the person.
        calibration: name of a saved calibration; the model's own when ``None``.
        home: folder of calibrations; the user's data folder when ``None``.

    Raises:
        UnknownPersonError: no person has that name.
        UnknownCalibrationError: none is known for the model.
        ModelMismatchError: the calibration was made with another model; or it or the person's
            templates are of a former version that levelled them.
    """
    from scipy.sparse.csgraph import connected_components

    faces = list(gallery.faces(person=name))
    if len(faces) < 2:
        return ()
    ((sha256, _),) = Counter(face.model_sha256 for face in faces).most_common(1)
    compared = [face for face in faces if face.model_sha256 == sha256]
    for face in compared:
        if levelled(face.pipeline_id):
            what = f"'{name}' was enrolled"
            raise ModelMismatchError(incomparable(what, face.pipeline_id), ENROLL_AGAIN)
    first = compared[0]
    known = CalibrationStore(home).for_model(
        calibration, model=first.model, model_sha256=sha256, pipeline_id=first.pipeline_id
    )
    known.require_model(first.model, sha256)
    known = calibration_in(gallery, known, sha256)
    threshold = own_threshold(known, max(len(compared) - 1, 1))
    vectors = known.project(np.stack([face.vector for face in compared]))
    scores = np.clip(vectors @ vectors.T, -1, 1)
    parts = connected_components(scores >= threshold, directed=False)[1]
    stays = np.bincount(parts).argmax()
    found = []
    for part in sorted(set(parts.tolist()) - {int(stays)}):
        inside = parts == part
        photos = {f.photo_sha256 for f, its in zip(compared, inside, strict=True) if its} - {""}
        chosen = {f.id for f, its in zip(compared, inside, strict=True) if its}
        moved = [f for f in faces if f.id in chosen or f.photo_sha256 in photos]
        found.append(
            SplitSuggestion(
                templates=tuple(face.id for face in moved),
                photos=tuple(face.photo for face in moved),
                score=float(scores[inside][:, ~inside].max()),
                threshold=threshold,
            )
        )
    return tuple(found)
