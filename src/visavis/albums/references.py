"""Text forms of faces and clusters: ``f12``, ``beach.jpg#2``; ``3``, ``Anna``."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from visavis.albums.planning import Link
from visavis.albums.records import PhotoFile
from visavis.albums.store import AlbumStore
from visavis.errors import DataError, OptionError, VisavisError
from visavis.reading import open_regular


class References:
    """Resolves references to faces and clusters.

    Args:
        store: state of the collection.
        names: names of clusters.
    """

    def __init__(self, store: AlbumStore, names: Mapping[int, str] | None = None) -> None:
        self._names = {name: cluster for cluster, name in (names or {}).items()}
        self._files = store.files()
        last = store.last_run()
        self._root = None if last is None else Path(last[2]["root"])
        self._numbers: set[int] = set()
        self._in_photo: dict[str, dict[int, int]] = defaultdict(dict)
        for face in store.faces():
            self._numbers.add(face.id)
            if face.here:
                self._in_photo[face.photo][face.number] = face.id

    def face(self, text: str) -> int:
        """Returns the number of a face.

        Args:
            text: ``f12``, or a photo and the face's position from left to right, ``beach.jpg#2``.
                The photo is its path in the collection, the end of the path, or a shell path.
                ``beach.jpg`` is enough if it has one face.

        Raises:
            OptionError: unknown face, or several photos of that name.
        """
        if re.fullmatch(r"f[0-9]+", text):
            number = int(text[1:])
            if number not in self._numbers:
                raise OptionError(f"face {text}", "there is none; clusters.csv lists them")
            return number
        name, _, place = text.rpartition("#") if re.search(r"#\d+$", text) else (text, "", "")
        photos = matching(name, self._files) or self._shell_path(name)
        shown = {file.sha256 for file in photos}
        if len(shown) > 1:
            raise OptionError(
                f"photo {name!r}, which {len(shown)} photos are called",
                f"give more of its path, such as {photos[0].photo!r}",
            )
        faces = self._in_photo.get(shown.pop(), {}) if shown else {}
        if not shown and not photos:
            raise OptionError(f"face {text!r}", "write f12 or photo.jpg#2, as clusters.csv does")
        if not place and len(faces) == 1:
            return next(iter(faces.values()))
        if not place or int(place) not in faces:
            raise OptionError(
                f"face {text!r} of a photo with {len(faces)} face{'' if len(faces) == 1 else 's'}",
                f"write {name}#1 for the leftmost"
                + (f", up to #{max(faces)}" if len(faces) > 1 else ""),
            )
        return faces[int(place)]

    def _shell_path(self, name: str) -> list[PhotoFile]:
        """Resolves a path relative to the current folder."""
        try:
            path = Path(name).absolute().relative_to(self._root or Path())
        except ValueError:
            return []
        return [file for file in self._files if file.photo == path.as_posix()]

    def faces(self, texts: Iterable[str]) -> list[int]:
        """Returns the numbers of several faces."""
        return [self.face(text) for text in texts]

    def cluster(self, text: str) -> int:
        """Returns the number of a cluster.

        Args:
            text: its number or name.

        Raises:
            OptionError: unknown cluster.
        """
        if text in self._names:
            return self._names[text]
        if re.fullmatch(r"\d{1,18}", text):
            return int(text)
        raise OptionError(f"cluster {text!r}", "give its number, or a name that you gave it")

    def read_links(self, path: Path, /, *, must: bool) -> list[Link]:
        """Reads links from a CSV file: two faces per line, as the user names them.

        A first line ``a,b`` is a header; empty lines and lines that start with ``#`` and a space
        are skipped. Quoted cells may contain commas and line ends.

        Args:
            path: the file, UTF-8.
            must: whether the pairs are one person (else two).

        Raises:
            DataError: it cannot be read, or a line does not name two faces of the collection.
        """
        links = []
        try:
            with io.TextIOWrapper(open_regular(path), "utf-8-sig", newline="") as file:
                rows = csv.reader(file, strict=True)
                first = True
                for row in rows:
                    cells = [cell.strip() for cell in row]
                    if not any(cells) or cells[0].startswith("# "):
                        continue
                    heading = first and [cell.lower() for cell in cells] == ["a", "b"]
                    first = False
                    if not heading:
                        where = f"{path.name}, line {rows.line_num}"
                        links.append(_link(cells, where, self, must=must))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"{path}: cannot be read ({error})", "give a CSV file in UTF-8"
            ) from error
        return links


def matching(name: str, files: Sequence[PhotoFile]) -> list[PhotoFile]:
    """Returns files whose path ends with ``name``; only the exact match if there is one.

    >>> files = [PhotoFile("a/x.jpg", "1"), PhotoFile("b/x.jpg", "2"), PhotoFile("x.jpg", "3")]
    >>> [file.photo for file in matching("x.jpg", files)]
    ['x.jpg']
    >>> [file.photo for file in matching("b/x.jpg", files)]
    ['b/x.jpg']
    """
    exact = [file for file in files if file.photo == name]
    if exact:
        return exact
    wanted = PurePosixPath(name.replace("\\", "/")).parts
    if not wanted:
        return []
    return [f for f in files if PurePosixPath(f.photo).parts[-len(wanted) :] == wanted]


def _link(cells: list[str], source: str, references: References, *, must: bool) -> Link:
    if len(cells) != 2:
        raise DataError(f"{source}: {len(cells)} cells", "give two faces per line: f12,f15")
    try:
        a, b = references.faces(cells)
    except VisavisError as error:
        raise DataError(f"{source}: {error.got}", error.remedy) from error
    return Link(a, b, must, source)
