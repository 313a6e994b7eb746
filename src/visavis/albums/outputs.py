"""Writes the results of a run or a correction to a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from visavis.albums import folders, pictures, sheet, tables
from visavis.albums.records import Album
from visavis.albums.store import AlbumStore
from visavis.albums.writing import private_text
from visavis.errors import DataError
from visavis.writing import private_folder

SHEET: Final = "contact-sheet.html"
JSON: Final = "clusters.json"
CSV: Final = "clusters.csv"
PEOPLE: Final = "people"
STATE: Final = "album.sqlite"
ELSEWHERE: Final = "album.sqlite.path"
"""File with the path of the state, if it is not in the folder."""


def state_of(out: Path, state: Path | None) -> Path:
    """Returns the state file of a collection: given, in the folder, or where the folder says."""
    if state is not None:
        return state
    usual, elsewhere = out / STATE, out / ELSEWHERE
    if not usual.is_file() and elsewhere.is_file():
        return Path(elsewhere.read_text(encoding="utf-8").strip())
    return usual


def check(out: Path) -> None:
    """Checks the folder for ``write`` before the work.

    Raises:
        DataError: not writable, or its ``people`` was not written by us.
    """
    if out.exists() and not os.access(out, os.W_OK):
        raise DataError(f"{out}: cannot be written to", "choose another --out")
    folders.check(out / PEOPLE)


def write(
    out: Path,
    album: Album,
    store: AlbumStore,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Writes tables, folders and contact sheet, each atomically.

    Args:
        out: the folder, created if missing.
        album: the album.
        store: caches the thumbnails, so that a correction need not open photos again.
        workers: photos processed in parallel.
        progress: called with (photos done, all photos) for thumbnails.

    Returns:
        Messages for the user.

    Raises:
        DataError: a file cannot be written.
    """
    try:
        private_folder(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be made ({error.strerror})", "choose another --out") from (
            error
        )
    if store.path.resolve() != (out / STATE).resolve():
        with private_text(out / ELSEWHERE) as file:
            file.write(f"{store.path.resolve()}\n")
    tables.write_json(out / JSON, album)
    tables.write_csv(out / CSV, album)
    kept = folders.write(out / PEOPLE, album)
    have: dict[int, bytes] = {}
    if album.settings.pictures:
        have = store.pictures()
        wanted = {face for faces in sheet.shown(album).values() for face in faces}
        missing = sorted(wanted - have.keys())
        if missing:
            cut = list(pictures.cut(album, missing, workers=workers, progress=progress))
            with store.changing():
                store.add_pictures(cut)
            have.update(cut)
    else:
        with store.changing():
            store.drop_pictures()
    sheet.write(out / SHEET, album, have)
    return [kept] if kept else []


def erase(out: Path) -> list[str]:
    """Removes what ``write`` wrote; returns the removed paths.

    Raises:
        DataError: a file cannot be removed.
    """
    gone = []
    try:
        for name in (SHEET, JSON, CSV, ELSEWHERE):
            if (out / name).is_file():
                (out / name).unlink()
                gone.append(name)
        for folder in (out / PEOPLE, *sorted(out.glob(f"{PEOPLE}-kept-*"))):
            if folders.erase(folder):
                gone.append(f"{folder.name}/")
        for name in (SHEET, JSON, CSV, ELSEWHERE):
            for left in out.glob(f".{name}.????????"):  # of a killed run
                left.unlink()
    except OSError as error:
        raise DataError(f"{out}: {error.strerror}", "remove the folder yourself") from error
    return gone
