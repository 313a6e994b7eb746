"""Pair lists in CSV files with columns a, b, same, and optionally fold, group, people."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from visavis.errors import DataError
from visavis.evaluation.protocols.protocol import Protocol, require_photos
from visavis.evaluation.tables import Table, parse_flag, read_table

_REQUIRED: Final = {
    "a": "the path of a photo",
    "b": "the path of the photo to compare it with",
    "same": "1 for the same person, 0 for different people",
}


@dataclass(frozen=True, slots=True)
class PairList:
    """Rows of a pair list.

    Attributes:
        photos: unique names.
        pairs: per row, the indices of its two photos in ``photos``, and whether it is mated.
        fold: fold of each row, or ``None``.
        group: group of each row, or ``None``.
        people: person of each photo, or ``None`` if unknown.
        repeated: number of rows that repeat a pair.
    """

    photos: tuple[str, ...]
    pairs: tuple[tuple[int, int, bool], ...]
    fold: tuple[int, ...] | None
    group: tuple[str, ...] | None
    people: tuple[str, ...] | None
    repeated: int


def read_list(path: Path) -> PairList:
    """Reads the rows of a pair list; mated rows alone are enough here.

    Columns ``a`` and ``b`` (paths below ``root``, or absolute) and ``same`` (1/0, true/false,
    yes/no); optionally ``fold`` (whole numbers), ``group`` (any text), ``person_a`` and
    ``person_b`` (names, which let intervals be taken over people). Other columns are ignored.

    Args:
        path: the CSV file, UTF-8.

    Raises:
        DataError: an invalid column or cell; names the file, the row and the remedy.
    """
    table = read_table(path, required=_REQUIRED)
    if "person_a" in table.columns and "person_b" not in table.columns:
        raise DataError(f"{path}: person_a without person_b", "give both columns or neither")
    photos: dict[str, int] = {}
    people: dict[str, str] = {}
    seen: dict[frozenset[str], bool] = {}
    pairs: list[tuple[int, int, bool]] = []
    fold: list[int] = []
    group: list[str] = []
    repeated = 0
    for number, cells in table.records():
        a, b = cells["a"].strip(), cells["b"].strip()
        same = _check_pair(table, number, a, b, cells["same"])
        repeated += frozenset((a, b)) in seen
        if seen.setdefault(frozenset((a, b)), same) != same:
            raise table.error(number, f"{a} and {b} are the same and different", "keep one row")
        pairs.append((photos.setdefault(a, len(photos)), photos.setdefault(b, len(photos)), same))
        if "fold" in table.columns:
            fold.append(_fold(table, number, cells["fold"]))
        if "group" in table.columns:
            group.append(cells["group"].strip())
        if "person_a" in table.columns:
            _name_people(
                table, number, people, same, (a, cells["person_a"]), (b, cells["person_b"])
            )
    if not pairs:
        raise DataError(f"{path}: a header without rows", "add one row per pair")
    return PairList(
        photos=tuple(photos),
        pairs=tuple(pairs),
        fold=tuple(fold) if fold else None,
        group=tuple(group) if group else None,
        people=tuple(people[name] for name in photos) if people else None,
        repeated=repeated,
    )


def read(path: Path, root: Path | None = None) -> Protocol:
    """Reads a pair list as a protocol; for columns see ``read_list``.

    Args:
        path: the CSV file, UTF-8.
        root: folder that paths are relative to; ``None``: the CSV file's own.

    Raises:
        DataError: an invalid column or cell, or all rows are of one kind; names the file, the row
            and the remedy.
    """
    listed = read_list(path)
    folder = root if root is not None else path.parent
    kinds = {same for _, _, same in listed.pairs}
    if len(kinds) == 1:
        raise DataError(
            f"{path}: {len(listed.pairs)} pairs, all {'mated' if kinds == {True} else 'non-mated'}",
            "error rates need pairs of the same person and pairs of different people",
        )
    first, second, flags = (np.array(column) for column in zip(*listed.pairs, strict=True))
    files = tuple(folder / name for name in listed.photos)
    require_photos(str(path), files)
    repeated = f"{listed.repeated} rows repeat a pair of the list."
    return Protocol(
        name=path.name,
        photos=files,
        labels=listed.photos,
        first=first.astype(np.int64),
        second=second.astype(np.int64),
        same=flags.astype(np.bool_),
        fold=np.array(listed.fold, dtype=np.int64) if listed.fold is not None else None,
        group=listed.group,
        people=listed.people,
        notes=(repeated,) if listed.repeated else (),
    )


def _check_pair(table: Table, number: int, a: str, b: str, same: str) -> bool:
    for column, name in (("a", a), ("b", b)):
        if not name:
            raise table.error(number, f"column {column} is empty", "give the path of a photo")
        if "\0" in name:
            raise table.error(number, f"column {column} holds a NUL byte", "give a path")
    if a == b:
        raise table.error(
            number, f"{a} is compared with itself", "remove the row: its score says nothing"
        )
    flag = parse_flag(same)
    if flag is None:
        raise table.error(
            number, f"same is {same!r}", "write 1, true or yes, or else 0, false or no"
        )
    return flag


def _fold(table: Table, number: int, text: str) -> int:
    if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", text):
        raise table.error(number, f"fold is {text!r}", "write a whole number")
    return int(text)


def _name_people(
    table: Table,
    number: int,
    people: dict[str, str],
    same: bool,
    *named: tuple[str, str],
) -> None:
    (_, first), (_, second) = named
    if same != (first.strip() == second.strip()):
        raise table.error(
            number,
            f"same contradicts the people {first!r} and {second!r}",
            "correct the one or the other",
        )
    for photo, text in named:
        person = text.strip()
        if not person:
            raise table.error(
                number, "a person has no name", "fill person_a and person_b, or leave both out"
            )
        if people.setdefault(photo, person) != person:
            raise table.error(
                number, f"{photo} is {person}, but {people[photo]} above", "give it one name"
            )


def write(path: Path, protocol: Protocol) -> None:
    """Writes a protocol whose photos are files as a pair list for ``read``.

    Args:
        path: the CSV file to write.
        protocol: the protocol; its ``labels`` become the paths.
    """
    columns: list[tuple[str, Callable[[int], object]]] = [
        ("a", lambda k: protocol.labels[protocol.first[k]]),
        ("b", lambda k: protocol.labels[protocol.second[k]]),
        ("same", lambda k: int(protocol.same[k])),
    ]
    if (fold := protocol.fold) is not None:
        columns.append(("fold", lambda k: int(fold[k])))
    if (group := protocol.group) is not None:
        columns.append(("group", lambda k: group[k]))
    if (people := protocol.people) is not None:
        columns.append(("person_a", lambda k: people[protocol.first[k]]))
        columns.append(("person_b", lambda k: people[protocol.second[k]]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, _ in columns])
        for k in range(len(protocol)):
            writer.writerow([cell(k) for _, cell in columns])
