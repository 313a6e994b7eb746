"""How many templates a gallery holds, and which, without a look at all of them each time."""

from __future__ import annotations

import sqlite3

from visavis.former import levelled
from visavis.gallery.sqlite.database import State


class FaceCounts:
    """Templates by model, counted once and then kept up by what came and went.

    The clock gives every face and every removal its number, so what happened since the last count
    is a range of each table. Not safe to use from two threads at once.
    """

    def __init__(self) -> None:
        self._clock = -1
        self._counts: dict[int, int] = {}

    def now(self, db: sqlite3.Connection, state: State) -> dict[int, int]:
        """Templates by model's row number, in this read transaction; models without any left out.

        Args:
            db: within the transaction.
            state: of the transaction.
        """
        if not max(state.floor, 0) <= self._clock <= state.clock:
            self._counts = _all(db)
        elif self._clock < state.clock:
            for model, count in db.execute(
                "SELECT model, count(*) FROM face WHERE id > ? GROUP BY model", (self._clock,)
            ):
                self._counts[model] = self._counts.get(model, 0) + count
            # What came and went since the last count is in neither.
            for model, count in db.execute(
                "SELECT model, count(*) FROM removal WHERE seq > ? AND face <= ? GROUP BY model",
                (self._clock, self._clock),
            ):
                self._counts[model] = self._counts.get(model, 0) - count
        self._clock = state.clock
        return {model: count for model, count in self._counts.items() if count > 0}


class LevelledFaces:
    """Which models have templates that a former version levelled.

    Faces have rising numbers and keep their pipeline id, so nothing below the first levelled face
    of a model is read twice. If no pipeline id is a levelled one, no face is read. Not thread-safe.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}

    def now(self, db: sqlite3.Connection, state: State) -> dict[int, str]:
        """Settings of the first levelled face by model's row number, in this read transaction.

        Args:
            db: within the transaction.
            state: of the transaction.
        """
        texts = {
            number: text
            for number, text in db.execute("SELECT id, text FROM setting")
            if levelled(text)
        }
        found: dict[int, str] = {}
        if not texts:
            return found
        marks = ", ".join("?" * len(texts))
        for (model,) in db.execute("SELECT id FROM model").fetchall():
            first = min(self._first.get(model, 0), state.clock + 1)
            row = db.execute(
                "SELECT id, setting FROM face WHERE id >= ? AND model = ? "
                f"AND setting IN ({marks}) ORDER BY id LIMIT 1",
                (first, model, *texts),
            ).fetchone()
            self._first[model] = state.clock + 1 if row is None else row[0]
            if row is not None:
                found[model] = texts[row[1]]
        return found


def _all(db: sqlite3.Connection) -> dict[int, int]:
    models = [number for (number,) in db.execute("SELECT id FROM model")]
    if len(models) == 1:  # the table's shortest index, and nothing to sort
        return {models[0]: db.execute("SELECT count(*) FROM face").fetchone()[0]}
    return dict(db.execute("SELECT model, count(*) FROM face GROUP BY model").fetchall())
