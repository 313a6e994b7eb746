"""Writes ``clusters.json`` and ``clusters.csv``."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np

from visavis.albums.records import Album, AlbumFace
from visavis.albums.writing import private_text

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
