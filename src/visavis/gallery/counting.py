"""How many templates a gallery holds, without counting all of them each time."""

from __future__ import annotations

import sqlite3

from visavis.gallery.database import State


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


def _all(db: sqlite3.Connection) -> dict[int, int]:
    models = [number for (number,) in db.execute("SELECT id FROM model")]
    if len(models) == 1:  # the table's shortest index, and nothing to sort
        return {models[0]: db.execute("SELECT count(*) FROM face").fetchone()[0]}
    return dict(db.execute("SELECT model, count(*) FROM face GROUP BY model").fetchall())
