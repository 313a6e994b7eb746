"""What ``visavis cluster`` and its corrections share: the state, and telling what came out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from visavis.cli.output import console, echo_json, messages

if TYPE_CHECKING:
    from visavis.albums.records import Album


def state_of(out: Path, state: Path | None) -> Path:
    """The file of a collection's memory: as told, in the folder, or where the folder says."""
    from visavis.albums import outputs

    if state is not None:
        return state
    usual, elsewhere = out / outputs.STATE, out / outputs.ELSEWHERE
    if not usual.is_file() and elsewhere.is_file():
        return Path(elsewhere.read_text(encoding="utf-8").strip())
    return usual


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """One command at a time works on a collection.

    Raises:
        DataError: another one does, or the folder cannot be made.
    """
    from filelock import FileLock, Timeout

    from visavis.errors import DataError
    from visavis.writing import private_folder

    try:
        private_folder(state.parent)
        with FileLock(state.with_name(f".{state.name}.lock"), timeout=5):
            yield
    except Timeout as error:
        raise DataError(
            f"{state}: another visavis works on this collection", "wait until it is done"
        ) from error
    except OSError as error:
        raise DataError(
            f"{state.parent}: cannot be used ({error.strerror or error})", "choose another folder"
        ) from error


def tell(album: Album, out: Path, notes: Sequence[str], *, json: bool) -> None:
    """The result: in full as JSON, or in a few lines."""
    from visavis.albums import outputs
    from visavis.albums.sheet import merge_lines

    for note in notes:
        messages.print(f"visavis: {note}", markup=False)
    failed = [file for file in album.files if file.failed]
    if json:
        echo_json({**album.to_dict(), "out": str(out)})
        return
    for file in failed[:20]:
        messages.print(f"visavis: {file.message}", markup=False)
    if len(failed) > 20:
        messages.print(f"… and {len(failed) - 20} more photos that could not be read")
    counts = album.counts()
    several = counts["clusters"] - counts["alone"]
    console.print(
        f"{_many(counts['faces'], 'face')} in {_many(counts['photos'], 'photo')}: "
        f"{_many(several, 'person', 'people')} seen more than once, {counts['alone']} seen once"
    )
    own = " about these people's own mean" if album.settings.mean_of_people else ""
    rate = f"{100 * album.settings.false_merge:g} %"
    console.print(
        f"two faces are one person from a score of {album.settings.threshold:.3f}: at most about "
        f"{rate} of faces beside a stranger ({album.settings.algorithm}, calibration "
        f"{album.settings.calibration}{own})",
        markup=False,
    )
    if counts["without_faces"]:
        console.print(f"photos that show no face: {counts['without_faces']}")
    if counts["failed"]:
        console.print(f"photos that could not be read: {counts['failed']} (see clusters.csv)")
    if album.run > 1:
        console.print(f"new faces in this run: {counts['new_faces']}")
    for line in merge_lines(album):
        console.print(line, markup=False)
    if counts["corrections"]:
        console.print(f"corrections in force: {counts['corrections']}")
    console.print(f"contact sheet: {out / outputs.SHEET}", markup=False)
    line = shlex.join(["visavis", "cluster", "fix", str(out)])
    console.print(f"correct it: {line} --help", markup=False)


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or f'{one}s'}"
