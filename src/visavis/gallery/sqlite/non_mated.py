"""Non-mated scores among the people of a gallery in SQLite, and the mean of their templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.records import Match
from visavis.gallery.sqlite import read as reading
from visavis.gallery.sqlite import tally
from visavis.gallery.sqlite.database import Database
from visavis.gallery.sqlite.live_indexes import LiveIndexes
from visavis.gallery.sqlite.nonmated_cache import keep_scores, kept_scores
from visavis.types import Vectors

_PIECE: Final = 16_384


def non_mated(
    database: Database,
    cipher: ValueCipher,
    search: Callable[[Vectors], list[list[Match]]],
    *,
    model_sha256: str,
    most: int,
    fusion: str,
    fewest: int,
    domain: Domain | None,
) -> NDArray[np.float32]:
    """Returns non-mated scores; see ``SqliteGallery.non_mated``.

    Args:
        database: open database.
        cipher: cipher of the gallery.
        search: finds the two closest people to each probe.
        model_sha256: hash of the model.
        most: maximum number of probes.
        fusion: fusion rule of ``search``.
        fewest: smallest number of templates for which the scores are cached.
        domain: domain in which ``search`` scores.
    """
    about = f"{model_sha256} {fusion} {most}"
    kept = kept_scores(database, cipher, about, fewest=fewest, domain=domain)
    if kept is not None:
        return kept
    with database.reading() as (db, state):
        clock, faces = state.clock, sum(tally.counts(db).values())
    probes, owners = reading.probe_a_person(database, cipher, model_sha256, most=most)
    if not probes:
        return np.zeros(0, np.float32)
    answers = search(np.stack(probes))
    with database.reading() as (db, _):
        ids = reading.uids(db, owners)
    closest = [
        next((match.score for match in matches if match.person_id != ids.get(owner)), None)
        for owner, matches in zip(owners, answers, strict=True)
    ]
    scores = np.array([score for score in closest if score is not None], np.float32)
    if faces >= fewest:
        keep_scores(database, cipher, about, scores, faces=faces, clock=clock, domain=domain)
    return scores


def people_mean(
    database: Database, cipher: ValueCipher, indexes: LiveIndexes, *, model_sha256: str, fewest: int
) -> tuple[NDArray[np.float32], int] | None:
    """Returns mean and number of people, cached for a large gallery; see ``GalleryStore.mean``."""
    about = f"{model_sha256} mean"
    kept = kept_scores(database, cipher, about, fewest=fewest)
    if kept is not None:
        return kept[:-1], int(kept[-1])
    with database.reading() as (db, _):
        model = reading.model_of(db, model_sha256)
    if model is None:
        return None
    indexes.prepare(model[0], cipher)
    with database.reading() as (db, state):
        columns = indexes.current(db, state, model[0], cipher).columns()
        owners, clock, faces = columns.people, state.clock, len(columns)
        if not faces:
            return None
        numbers, who, photos = np.unique(owners, return_inverse=True, return_counts=True)
        weight, total = 1 / photos[who], np.zeros(model[1])
        for at in range(0, faces, _PIECE):
            total += weight[at : at + _PIECE] @ columns.vectors[at : at + _PIECE]
    mean = (total / len(numbers)).astype(np.float32)
    if faces >= fewest:
        kept = np.append(mean, np.float32(len(numbers)))
        keep_scores(database, cipher, about, kept, faces=faces, clock=clock)
    return mean, len(numbers)
