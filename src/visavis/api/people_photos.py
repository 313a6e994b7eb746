"""Photos of known people: a folder with one subfolder per person."""

from __future__ import annotations

from pathlib import Path

from visavis.errors import DataError
from visavis.images import photos_below
from visavis.reading import read_text


def people_in(folder: Path, people_list: Path | None) -> tuple[list[Path], list[str]]:
    """Returns photos below a folder with one subfolder per person, and the person of each.

    Raises:
        DataError: fewer than two people with photos.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder", "give a folder with one subfolder per person")
    wanted = names_in(people_list) if people_list else None
    photos: list[Path] = []
    owners: list[str] = []
    for person in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        if wanted is not None and person.name not in wanted:
            continue
        own = photos_below(person)
        photos += own
        owners += [person.name] * len(own)
    if len(set(owners)) < 2:
        raise DataError(
            f"{folder}: photos of {len(set(owners))} people",
            "give a folder with one subfolder per person, two people or more",
        )
    return photos, owners


def names_in(people_list: Path) -> set[str]:
    """Reads names of people, one per line; text after a tab is ignored.

    Raises:
        DataError: the file cannot be read as text.
    """
    try:
        lines = read_text(people_list).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{people_list} ({error})", "give a text file, one name a line") from error
    # LFW's lists start with the number of names, and give each person's number of photos.
    return {line.split("\t")[0].strip() for line in lines if not line.strip().isdigit()} - {""}
