"""Writes one folder per person, with links to the photos or copies."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from visavis.albums.records import Album, AlbumCluster
from visavis.errors import DataError
from visavis.writing import replacing

_LIST: Final = ".visavis-folders.json"
ALONE: Final = "alone"
"""Folder of faces in clusters of one."""


def write(folder: Path, album: Album) -> str | None:
    """Writes one folder per person into ``folder``, replacing those of an earlier run.

    The new tree is complete before the old one is removed. Photos are linked (or copied, with
    ``album.settings.copy``), never changed. If the old tree contains other files, it is kept under
    another name.

    Returns:
        A sentence about a kept old tree, or ``None``.

    Raises:
        DataError: ``folder`` is something else, or links cannot be created.
    """
    check(folder)
    try:
        _tidy(folder)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-new.", dir=folder.parent))
        try:
            new.chmod(0o700)
            _write_list(new, "[]")
            written = sorted(_fill(new, folder, album))
            text = json.dumps(written, ensure_ascii=True)
            _write_list(new, text)
            return _swap(folder, new)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder}: the folders cannot be written ({error.strerror or error})",
            "if the file system has no links, use copies: --copy",
        ) from error


def check(folder: Path) -> None:
    """Refuses a folder that ``write`` may not replace.

    Raises:
        DataError: it exists and was not written by us.
    """
    if folder.is_symlink() or (folder.exists() and not (folder / _LIST).is_file()):
        raise DataError(
            f"{folder}: not a folder that visavis wrote", "move it, or choose another --out"
        )


def _write_list(folder: Path, text: str) -> None:
    """Writes a private list: who is in which photo."""
    with replacing(folder / _LIST, private=True) as file:
        file.write_text(text, encoding="utf-8")


def _tidy(folder: Path) -> None:
    """Removes temporary files of a killed run beside ``folder``."""
    for left in folder.parent.glob(f".{folder.name}-new.*"):
        if (left / _LIST).is_file():
            shutil.rmtree(left)
    for left in folder.parent.glob(f".{folder.name}-old.*"):
        _clear(left, folder)


def _fill(new: Path, folder: Path, album: Album) -> Iterator[str]:
    paths: dict[str, list[str]] = {}
    for file in album.files:
        if file.sha256:
            paths.setdefault(file.sha256, []).append(file.photo)
    root = Path(album.settings.root)
    place = folder.resolve()
    names = folder_names(album.clusters)
    taken: dict[str, dict[str, int]] = defaultdict(dict)
    for cluster in album.clusters:
        inside = new / names[cluster.id]
        inside.mkdir(mode=0o700, exist_ok=True)
        # Relative paths start from the final place, not from the temporary one.
        way = _relative_path(root, place / inside.name)
        photos = dict.fromkeys(album.faces[face].photo_sha256 for face in cluster.faces)
        for path in (path for photo in photos for path in paths.get(photo, ())):
            target = inside / _free(Path(path).name, taken[inside.name])
            if album.settings.copy:
                shutil.copy2(root / path, target)
                target.chmod(0o600)
            else:
                target.symlink_to(way / path)
            yield f"{inside.name}/{target.name}"


def _relative_path(root: Path, folder: Path) -> Path:
    try:
        return Path(os.path.relpath(root, folder))
    except ValueError:  # another drive
        return root


def _free(name: str, taken: dict[str, int]) -> str:
    """Returns a free name.

    Args:
        name: the wanted name.
        taken: the last number that was tried for each name, case-folded; updated.
    """
    wanted = name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - of a name, not of a path
    number = taken.get(wanted.casefold(), 1)
    while name.casefold() in taken:
        number += 1
        name = f"{stem} ({number}){suffix}"
    taken[wanted.casefold()] = number
    taken[name.casefold()] = taken.get(name.casefold(), 1)
    return name


def _swap(folder: Path, new: Path) -> str | None:
    if not folder.exists():
        new.rename(folder)
        return None
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old.", dir=folder.parent))
    folder.rename(old)  # onto an empty folder
    new.rename(folder)
    return _clear(old, folder)


def _clear(old: Path, folder: Path) -> str | None:
    """Removes an old tree, or renames it if it contains other files."""
    if not _foreign(old):
        shutil.rmtree(old)
        return None
    number = 1
    while (kept := folder.with_name(f"{folder.name}-kept-{number}")).exists():
        number += 1
    old.rename(kept)
    return f"{kept} keeps files that were put into {folder.name}/ by hand"


def _foreign(old: Path) -> bool:
    """Whether a tree contains files that we did not write."""
    try:
        ours = {str(name) for name in json.loads((old / _LIST).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        ours = set()  # our files are unknown: remove nothing
    ours.add(_LIST)
    return any(
        path.relative_to(old).as_posix() not in ours
        for path in old.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def folder_names(clusters: Iterable[AlbumCluster]) -> dict[int, str]:
    """Returns a folder name per cluster: its name, as far as file systems allow, or its number.

    >>> one = AlbumCluster(3, "Zoë / Åsa", "you", 0.0, (1, 2), 2, 0.5, 0)
    >>> two = AlbumCluster(7, "", "", 0.0, (4, 5), 2, 0.5, 0)
    >>> folder_names([one, two])
    {3: 'Zoë - Åsa', 7: 'cluster 0007'}
    """
    answer: dict[int, str] = {}
    taken = {ALONE}
    for cluster in clusters:
        if not cluster.name:
            answer[cluster.id] = ALONE if len(cluster.faces) == 1 else f"cluster {cluster.id:04d}"
            continue
        name = _usable(cluster.name)
        if not name or name.casefold() in taken or name.casefold().startswith("cluster "):
            name = f"{name} ({cluster.id})".strip()
        taken.add(name.casefold())
        answer[cluster.id] = name
    return answer


def _usable(name: str) -> str:
    """Removes characters that file systems refuse."""
    name = unicodedata.normalize("NFC", name)
    name = "".join("-" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in name)
    while len(name.encode("utf-8", "surrogatepass")) > 200:
        name = name[:-1]
    return name.strip(" .")


def erase(folder: Path) -> bool:
    """Removes what ``write`` wrote; returns whether the folder is gone.

    Other files are kept, and so are folders that we did not write.

    Raises:
        OSError: a file cannot be removed.
    """
    _tidy(folder)
    if folder.is_symlink() or not (folder / _LIST).is_file():
        return False
    if not _foreign(folder):
        shutil.rmtree(folder)
        return True
    try:
        ours = [str(name) for name in json.loads((folder / _LIST).read_text(encoding="utf-8"))]
    except (ValueError, TypeError):
        return False
    for name in ours:
        path = folder / name
        if ".." not in path.parts and path.is_relative_to(folder) and not path.is_dir():
            path.unlink(missing_ok=True)
        elif path.is_symlink():
            path.unlink()
    (folder / _LIST).unlink()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
    return False


def written_by_us(root: Path) -> set[Path]:
    """Returns folders below ``root`` written by ``write``: their photos are copies."""
    return {path.parent for path in root.rglob(_LIST)}
