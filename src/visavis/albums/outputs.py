"""All that a run or a correction writes into the folder of results."""

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
"""Says where the state is, where it is not in the folder of results."""


def state_of(out: Path, state: Path | None) -> Path:
    """The file of a collection's memory: as told, in the folder, or where the folder says."""
    if state is not None:
        return state
    usual, elsewhere = out / STATE, out / ELSEWHERE
    if not usual.is_file() and elsewhere.is_file():
        return Path(elsewhere.read_text(encoding="utf-8").strip())
    return usual


def check(out: Path) -> None:
    """Refuse a folder that ``write`` could not use, before the work and not after it.

    Raises:
        DataError: it cannot be written to, or its ``people`` is not of ours.
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
    """Write tables, folders and contact sheet; each takes the place of the earlier one whole.

    Args:
        out: the folder, made where missing.
        album: what to write.
        store: keeps the pictures, so that a correction need not open photos again.
        workers: photos in work at once.
        progress: called with (photos done, photos in all) while pictures are cut.

    Returns:
        Sentences that the user should read.

    Raises:
        DataError: something cannot be written.
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
    """Remove what ``write`` wrote, and nothing else; returns what is gone.

    Raises:
        DataError: something cannot be removed.
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
            for left in out.glob(f".{name}.????????"):  # of a run that was killed
                left.unlink()
    except OSError as error:
        raise DataError(f"{out}: {error.strerror}", "remove the folder yourself") from error
    return gone
