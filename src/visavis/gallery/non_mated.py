"""How close a stranger comes to a gallery in SQLite: its people are strangers to one another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from visavis.gallery import reading
from visavis.gallery.cipher import Seal
from visavis.gallery.counting import FaceCounts
from visavis.gallery.database import Database
from visavis.gallery.own_scores_kept import keep_scores, kept_scores
from visavis.gallery.records import Match
from visavis.types import Vectors


def non_mated(
    database: Database,
    seal: Seal,
    counts: FaceCounts,
    search: Callable[[Vectors], list[list[Match]]],
    *,
    model_sha256: str,
    most: int,
    fusion: str,
    fewest: int,
) -> NDArray[np.float32]:
    """See ``SqliteGallery.non_mated``.

    Args:
        database: open.
        seal: the gallery's.
        counts: of its templates.
        search: the two closest people to each probe.
        model_sha256: whose templates.
        most: people to take for strangers.
        fusion: how ``search`` makes one score of a person's templates.
        fewest: templates from which the scores are kept.
    """
    about = f"{model_sha256} {fusion} {most}"
    kept = kept_scores(database, seal, about, fewest=fewest)
    if kept is not None:
        return kept
    with database.reading() as (db, state):
        clock, faces = state.clock, sum(counts.now(db, state).values())
    probes, owners = reading.probe_a_person(database, seal, model_sha256, most=most)
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
        keep_scores(database, seal, about, scores, faces=faces, clock=clock)
    return scores
