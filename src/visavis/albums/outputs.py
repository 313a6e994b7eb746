"""Writes the results of a run or a correction to a folder."""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from visavis.albums import folders, pictures, sheet
from visavis.albums.records import Album, AlbumFace
from visavis.albums.store import AlbumStore
from visavis.albums.writing import private_text
from visavis.errors import DataError
from visavis.writing import private_folder

COLUMNS: Final = (
    "photo", "number", "face", "x", "y", "width", "height", "cluster", "name", "quality_score",
    "score", "cohesion", "doubt", "confirmed", "reason",
)  # fmt: skip
"""Columns: one line per face and file; a file without faces has a line with the reason."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def write_json(path: Path, album: Album) -> None:
    """Writes all data of an album; one line per cluster, face and photo."""
    with private_text(path) as file:
        between = "{"
        for key, value in album.to_dict().items():
            file.write(f"{between}\n{json.dumps(key)}: ")
            if isinstance(value, list) and value:
                lines = (json.dumps(one, ensure_ascii=False, allow_nan=False) for one in value)
                file.write("[\n")
                file.write(",\n".join(lines))
                file.write("\n]")
            else:
                file.write(json.dumps(value, ensure_ascii=False, allow_nan=False))
            between = ","
        file.write("\n}\n")


def write_csv(path: Path, album: Album) -> None:
    """Writes one line per face; photos in order, faces from left to right.

    No cell is a spreadsheet formula: paths that look like one get the prefix ``./``, names an
    apostrophe. ``clusters.json`` has the original text.
    """
    inside: dict[str, list[AlbumFace]] = defaultdict(list)
    for face in album.faces.values():
        inside[face.photo_sha256].append(face)
    clusters = {one.id: one for one in album.clusters}
    with private_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for photo in album.files:
            faces = sorted(inside.get(photo.sha256, ()), key=lambda face: face.number)
            for face in faces:
                cluster = clusters.get(face.cluster or 0)
                writer.writerow(
                    [
                        _path(photo.photo),
                        face.number,
                        face.ref,
                        *(f"{value:.1f}" for value in face.box),
                        "" if cluster is None else cluster.id,
                        "" if cluster is None else _text(cluster.name),
                        _fixed(face.quality_score),
                        _fixed(face.score),
                        "" if cluster is None else _fixed(cluster.cohesion),
                        face.doubt,
                        int(face.confirmed),
                        "not-a-face" if face.cluster is None else "",
                    ]
                )
            if not faces:
                writer.writerow(
                    [_path(photo.photo), *[""] * (len(COLUMNS) - 2), photo.reason or "no-face"]
                )


def _path(path: str) -> str:
    return f"./{path}" if path.startswith(_FORMULA) else path


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _fixed(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


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
    write_json(out / JSON, album)
    write_csv(out / CSV, album)
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
