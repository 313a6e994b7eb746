"""Keeps the search indexes of a gallery up to date with its table."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visavis.errors import GalleryDamagedError, GalleryError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.index.template_index import IndexOptions, TemplateIndex
from visavis.gallery.sqlite import tally
from visavis.gallery.sqlite.database import Database, State, damaged
from visavis.gallery.sqlite.erase import Eraser
from visavis.gallery.sqlite.row_codec import FACE_COLUMNS, open_vectors
from visavis.gallery.sqlite.write import WriteResult

_BATCH = 20_000


@dataclass(slots=True)
class _Live:
    """An index in memory.

    Attributes:
        faces: clock value up to which faces were read from the table.
        removals: clock value up to which removals were applied.
        changes: number of faces added and removed since it was last saved.
        saved: whether a snapshot was read or written.
        origin: source of the index, in words.
        compared: clock value at which it was compared with the tally.
    """

    index: TemplateIndex
    faces: int
    removals: int
    saved: bool
    origin: str
    changes: int = 0
    compared: int = -1


class LiveIndexes:
    """One index per model, made at the first use.

    Args:
        database: open database.
        folder: folder of the snapshots.
        eraser: provides the lock for writing them.
        options: options of the search.
        snapshot_from: smallest number of templates for which a snapshot is written.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        eraser: Eraser,
        options: IndexOptions,
        snapshot_from: int,
    ) -> None:
        self._database, self._folder, self._eraser = database, folder, eraser
        self._options, self._snapshot_from = options, snapshot_from
        self._live: dict[int, _Live] = {}

    def prepare(self, model: int, cipher: ValueCipher, *, keep: bool = True) -> None:
        """Updates the index to the state at the call, in short transactions.

        An index that had to be built from the table is then saved, if ``keep``.
        """
        goal: int | None = None
        behind = True
        while behind:  # each step brings the index closer, however much others write
            with self._database.reading() as (db, state):
                goal = state.clock if goal is None else goal
                live = self._held(db, state, model, cipher)
                behind = self._advance(live, db, state, model, cipher) and live.faces < goal
        with self._database.alone():
            live.index.settle()
        if keep and not live.saved and len(live.index) >= self._snapshot_from:
            self._save_if_possible(model, cipher)

    def near(self, state: State, model: int) -> bool:
        """Returns whether the index is in memory, ready, and at most one batch behind the table."""
        live = self._live.get(model)
        return (
            live is not None
            and live.index.settled
            and state.floor <= live.removals <= state.clock
            and state.clock - live.faces <= _BATCH
        )

    def current(
        self, db: sqlite3.Connection, state: State, model: int, cipher: ValueCipher
    ) -> TemplateIndex:
        """Returns the index, up to date with this read transaction."""
        live = self._held(db, state, model, cipher)
        self._advance_fully(live, db, state, model, cipher)
        if live.compared != state.clock and not _complete(live.index, db, model):
            # The snapshot, or a list of changes, is not what it was: the table decides.
            live = self._live[model] = self._empty(db, state, model, "made from the table")
            self._advance_fully(live, db, state, model, cipher)
            if not _complete(live.index, db, model):
                del self._live[model]
                raise damaged(
                    self._database.folder,
                    f"{tally.faces_of(db, model).faces:,} templates of a model were written, "
                    f"{len(live.index):,} can be read, or others",
                )
        live.compared = state.clock
        return live.index

    def _advance_fully(
        self, live: _Live, db: sqlite3.Connection, state: State, model: int, cipher: ValueCipher
    ) -> None:
        # Ends: each batch takes ``live.faces`` closer to the clock of this transaction.
        while self._advance(live, db, state, model, cipher):
            pass

    def follow(self, before: State, written: WriteResult) -> None:
        """Adds newly enrolled faces without reading them back.

        Call it before any other change through this connection. An index that is not in memory is
        not loaded, but the index of a new model is created.

        Args:
            before: state at the start of the transaction.
            written: enrolled faces.
        """
        for model, dimension in written.new_models.items():
            index = TemplateIndex(dimension, options=self._options)
            self._live[model] = _Live(
                index, before.clock, before.clock, False, "made while faces were enrolled"
            )
        models = np.array(written.models)
        for model, live in list(self._live.items()):
            if not live.faces == live.removals == before.clock:
                continue  # another process wrote, too: the next search reads both from the table
            mine = np.flatnonzero(models == model)
            try:
                if len(mine):
                    vectors = written.vectors
                    if isinstance(vectors, list):
                        vectors = np.stack([vectors[at] for at in mine.tolist()])
                    live.index.add(
                        np.array(written.numbers)[mine],
                        vectors if len(vectors) == len(mine) else vectors[mine],
                        people=np.array(written.people)[mine],
                        quality_score=np.array(written.quality_score)[mine],
                    )
            except BaseException:
                del self._live[model]  # perhaps half done; the table is complete
                raise
            live.changes += len(mine)
            live.faces = live.removals = written.clock

    def describe(self, db: sqlite3.Connection, model: int) -> str:
        """Returns a description of the index, without building it."""
        live = self._live.get(model)
        if live is not None:
            return f"{live.index.describe()}; {live.origin}"
        row = db.execute("SELECT state FROM snapshot WHERE model = ?", (model,)).fetchone()
        return "not loaded; " + ("a snapshot is kept" if row else "made at the first search")

    def save(self, model: int, cipher: ValueCipher) -> None:
        """Writes a snapshot of a loaded index.

        Raises:
            GalleryBusyError: another process held the lock for too long.
            GalleryError: the files cannot be written.
        """
        with self._eraser.lock():
            self._save(model, cipher)

    def _save_if_possible(self, model: int, cipher: ValueCipher) -> None:
        """Saves a snapshot; ignores errors, because it only saves time."""
        with contextlib.suppress(GalleryError), self._eraser.lock(timeout=0):
            self._save(model, cipher)

    def load_before_erasing(self, cipher: ValueCipher) -> None:
        """Loads all snapshots, because an erasure deletes them; ``close`` writes them again."""
        with self._database.reading() as (db, _):
            recorded = [number for (number,) in db.execute("SELECT model FROM snapshot")]
        for model in recorded:
            if model not in self._live:
                with contextlib.suppress(GalleryDamagedError):  # perhaps to be erased
                    self.prepare(model, cipher, keep=False)

    def save_worthwhile(self, cipher: ValueCipher) -> None:
        """Writes snapshots that would save a later process noticeable time."""
        with self._database.reading() as (db, _):
            recorded = {number for (number,) in db.execute("SELECT model FROM snapshot")}
        for model, live in self._live.items():
            size = len(live.index)
            stale = model not in recorded or live.changes > size // 20
            if size >= self._snapshot_from and stale:
                self._save_if_possible(model, cipher)

    def save_all(self, cipher: ValueCipher) -> None:
        """Updates every index and saves those large enough.

        Raises:
            GalleryBusyError: another process held the lock for too long.
        """
        with self._database.reading() as (db, _):
            models = [number for (number,) in db.execute("SELECT id FROM model")]
        for model in models:
            self.prepare(model, cipher, keep=False)
            if len(self._live[model].index) >= self._snapshot_from:
                self.save(model, cipher)

    def loaded(self) -> list[int]:
        """Returns models whose index is in memory."""
        return list(self._live)

    def forget(self) -> None:
        """Removes all indexes from memory."""
        self._live.clear()

    def _held(self, db: sqlite3.Connection, state: State, model: int, cipher: ValueCipher) -> _Live:
        live = self._live.get(model)
        if live is None or not state.floor <= live.removals <= state.clock:
            live = self._loaded(db, state, model, cipher)
            self._live[model] = live
        return live

    def _loaded(
        self, db: sqlite3.Connection, state: State, model: int, cipher: ValueCipher
    ) -> _Live:
        """Returns the index of a valid snapshot, else an empty one, to be filled from the table."""
        (dimension,) = db.execute("SELECT dimension FROM model WHERE id = ?", (model,)).fetchone()
        row = db.execute("SELECT file, state FROM snapshot WHERE model = ?", (model,)).fetchone()
        origin = "made from the table"
        if row is not None:
            file, at = row
            try:
                index = TemplateIndex.load(
                    self._folder / file, options=self._options, cipher=cipher
                )
                if (index.dimension, index.state) == (dimension, at) and at >= state.floor:
                    return _Live(index, at, at, True, "loaded from a snapshot")
                origin += " (the snapshot is not of this gallery)"
            except FileNotFoundError:
                origin += " (the snapshot is gone)"
            except (GalleryDamagedError, OSError):
                origin += " (the snapshot is damaged)"
        return self._empty(db, state, model, origin)

    def _empty(self, db: sqlite3.Connection, state: State, model: int, origin: str) -> _Live:
        """Returns an empty index, to be filled from the table."""
        (dimension,) = db.execute("SELECT dimension FROM model WHERE id = ?", (model,)).fetchone()
        # Faces removed so far are not in the table that fills it.
        index = TemplateIndex(dimension, options=self._options)
        return _Live(index, 0, state.clock, False, origin)

    def _advance(
        self, live: _Live, db: sqlite3.Connection, state: State, model: int, cipher: ValueCipher
    ) -> bool:
        """Applies one batch of changes of the table; returns whether there are more."""
        index = live.index
        if live.removals < state.clock:
            gone = db.execute(
                "SELECT face FROM removal WHERE seq > ? AND model = ?", (live.removals, model)
            ).fetchall()
            if gone:
                live.changes += index.remove(np.array([face for (face,) in gone], np.int64))
            moved = db.execute(
                "SELECT face, person FROM moved WHERE seq > ? AND model = ? ORDER BY seq",
                (live.removals, model),
            ).fetchall()
            whose = dict(moved)  # the last owner counts
            if whose:
                index.assign(np.fromiter(whose, np.int64), np.fromiter(whose.values(), np.int64))
            live.changes += len(moved)
            live.removals = state.clock
        if live.faces == state.clock:
            return False
        rows = db.execute(
            f"SELECT {FACE_COLUMNS} FROM face WHERE id > ? AND model = ? ORDER BY id LIMIT ?",
            (live.faces, model, _BATCH),
        ).fetchall()
        if rows:
            if any(row[0] <= live.faces for row in rows) or sorted(rows, key=_number) != rows:
                raise damaged(self._database.folder, "its faces are out of order")
            quality_score, vectors = open_vectors(cipher, rows, index.dimension)
            index.add(
                np.array([row[0] for row in rows], np.int64),
                vectors,
                people=np.array([row[1] for row in rows], np.int64),
                quality_score=quality_score,
            )
            live.changes += len(rows)
        more = len(rows) == _BATCH
        live.faces = rows[-1][0] if more else state.clock
        return more

    def _save(self, model: int, cipher: ValueCipher) -> None:
        with self._database.alone():  # no other thread may change the index now
            with self._database.reading() as (db, state):
                index = self.current(db, state, model, cipher)
            file = f"{model}-{secrets.token_hex(8)}.index"
            index.save(self._folder / file, state=state.clock, cipher=cipher)
            with self._database.writing() as (db, _):
                row = (model, file, state.clock)
                db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)", row)
            self._eraser.drop_stale_snapshots()
            self._live[model].saved, self._live[model].changes = True, 0


def _number(row: Sequence[Any]) -> int:
    return int(row[0])


def _complete(index: TemplateIndex, db: sqlite3.Connection, model: int) -> bool:
    """Returns whether an index has the faces that were written, with their owners."""
    columns = index.columns()
    sums = tally.FaceSums(len(index), int(columns.ids.sum()), int(columns.people.sum()))
    return sums == tally.faces_of(db, model)
