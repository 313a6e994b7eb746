"""Training data of ``visavis train``: crops of photos, without people of the test protocol."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from visavis.cli.output import messages, progress
from visavis.errors import DataError, OptionError

if TYPE_CHECKING:
    from visavis.cli.train_run import Wanted
    from visavis.training.data.pack import Pack
    from visavis.training.recipes import Recipe

LFW_TEST: Final = "peopleDevTest.txt"
_MARGIN: Final = 0.94
"""A packed crop shows a little more around the face than the network's, for jitter."""


def make_folder(out: Path) -> None:
    """Make the folder of the run, for its owner alone.

    Raises:
        DataError: it cannot be made.
    """
    from visavis.writing import private_folder

    try:
        private_folder(out)
    except OSError as error:
        raise DataError(
            f"--out {out} ({error.strerror or error})", "name a folder that can be written"
        ) from error


def first_process() -> bool:
    """Whether this is the first of those that Lightning or torchrun started."""
    return all(int(os.environ.get(key, "0")) == 0 for key in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def tell(text: str) -> None:
    """Print a line on standard error, once for all processes."""
    if first_process():
        messages.print(f"visavis: {text}", markup=False)


@contextmanager
def place_for_crops(wanted: Wanted, out: Path) -> Iterator[Path]:
    """Yield the folder for crops of photos; remove the crops after a finished or dry run.

    After an interrupted run the crops stay, so that it can be resumed, and the user is told.
    """
    from visavis.training.forgetting import DISJOINT, PACK

    packing = _are_photos(wanted.data)
    if wanted.dry_run and packing and not wanted.keep_pack:
        place = next(folder for folder in out.absolute().parents if folder.is_dir())
        with _folder_for_a_try(place) as folder:
            yield Path(folder)
        return
    over = False
    try:
        yield out
        over = True
    finally:
        if first_process():
            if (out / DISJOINT).is_file():
                (out / DISJOINT).unlink()
            if over and packing and not wanted.keep_pack:
                (out / PACK).unlink()
            kept = [path.name for path in sorted(out.glob("data*.pack*"))]
            if kept:
                tell(
                    f"crops of faces stay in {out} ({', '.join(kept)}); "
                    f"{shlex.join(['visavis', 'train', 'forget', str(out)])} erases them"
                )


def _folder_for_a_try(place: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder on the disk of the future run, where there is space."""
    try:
        return tempfile.TemporaryDirectory(dir=place, prefix=".visavis-dry-run-")
    except OSError as error:
        raise DataError(
            f"{place} ({error.strerror or error})", "name a folder by --out that can be written"
        ) from error


def _are_photos(data: Path) -> bool:
    """Whether the data are photos, not a pack, so that crops have to be made first."""
    return data.is_dir() or data.suffix.lower() in {".rec", ".csv", ".tsv"}


def pack_photos(wanted: Wanted, recipe: Recipe, out: Path, folder: Path) -> Pack:
    """Open the given pack, or make one from the given photos."""
    from visavis.cli.data_sources import finder, gather
    from visavis.training.data import packing
    from visavis.training.data.pack import SCALE, SIZE, open_pack
    from visavis.training.forgetting import PACK
    from visavis.training.resume import Run

    if not wanted.data.exists():
        raise DataError(f"{wanted.data}: not there", "give a pack, or a folder of photos")
    if not _are_photos(wanted.data):
        if wanted.part is not None:
            raise OptionError(
                f"--part {wanted.part} with a pack", "leave it out: a pack has no parts"
            )
        return open_pack(wanted.data)
    found = gather(wanted.data, part=wanted.part)
    make, how = (
        (None, "aligned crops")
        if found.aligned
        else finder(wanted.detector, "central", **wanted.looking)
    )
    scale = min(SCALE, round(recipe.crop_scale * _MARGIN, 3))
    needed = recipe.input_size * recipe.crop_scale / scale
    make_folder(folder)
    with progress("photos", quiet=wanted.json) as update:
        made = packing.pack(
            found.photos,
            folder / PACK,
            finder=make,
            how=how,
            origin=f"{found.origin} ({how})",
            size=112 if found.aligned else max(SIZE, 8 * -(-int(needed) // 8)),
            scale=1.0 if found.aligned else scale,
            replace=not Run(out).last.exists(),
            progress=update,
        )
    if made.left_out:
        tell(f"{len(made.left_out)} of {len(found.photos)} photos left out")
        for one in made.left_out[:20]:
            tell(f"left out: {one.message}")
        if len(made.left_out) > 20:
            tell("… and more: `visavis data pack` lists all, and its pack can be trained on")
    return made


def without_leaks(wanted: Wanted, pack: Pack, out: Path) -> Pack:
    """The pack without photos of the test protocol; raises if its people are in the pack.

    The protocol is that of ``--against``, or LFW's if the pack was made of LFW.
    """
    from visavis.cli.data_sources import protocol_of
    from visavis.training.data import leakage, thinning
    from visavis.training.forgetting import DISJOINT

    place = wanted.against or _own_protocol(wanted.data, pack)
    if place is None:
        return pack
    protocol = protocol_of(
        place,
        detector=wanted.detector,
        rule="central",
        root=None,
        workers=None,
        no_cache=wanted.no_cache,
        quiet=wanted.json,
        **wanted.looking,
    )
    leaks = leakage.find_leaks(pack, protocol)
    leakage.check_disjoint(leaks)
    if not leaks.copies:
        tell(f"nobody of {protocol.name} is in the training data")
        return pack
    tell(
        f"{len(leaks.copies)} photos are left out: near-identical ones are in {protocol.name}: "
        + ", ".join(copy.photo for copy in leaks.copies)
    )
    if wanted.dry_run:
        return pack
    make_folder(out)
    return thinning.without(pack, leaks.rows, out / DISJOINT, left_out=leakage.left_out(leaks))


def _own_protocol(data: Path, pack: Pack) -> Path | None:
    """LFW's folder where LFW is trained on, if it is known."""
    if (data / LFW_TEST).is_file():
        return data
    if not pack.origin.startswith("LFW"):
        return None
    known = os.environ.get("VISAVIS_LFW")
    if known and (Path(known) / LFW_TEST).is_file():
        return Path(known)
    raise OptionError(
        f"{pack.path}, made of LFW, without LFW's test people",
        "give LFW's folder with --against DIR, so that no test person is in the training data",
    )
