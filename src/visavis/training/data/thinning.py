"""A pack without some of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from visavis.errors import DataError, OptionError, writing_to
from visavis.training.data import layout
from visavis.training.data.pack import LeftOut, Pack, open_pack
from visavis.writing import replacing


def without(pack: Pack, rows: ArrayLike, out: Path, *, left_out: Sequence[LeftOut]) -> Pack:
    """Write a pack that lacks ``rows``; people who lose their last crop go too.

    Args:
        pack: the pack to copy from.
        rows: rows to leave out.
        out: the file to write, not the pack itself.
        left_out: why, a reason a row; added to the pack's own.

    Raises:
        OptionError: a row that is not there, or ``out`` is the pack.
        DataError: nothing is left, or the file cannot be written.
    """
    dropped = np.unique(np.asarray(rows, dtype=np.int64))
    if dropped.size and not 0 <= dropped[0] <= dropped[-1] < len(pack):
        raise OptionError(f"rows {dropped[0]} to {dropped[-1]}", f"there are {len(pack)}")
    if out.exists() and out.samefile(pack.path):
        raise OptionError(f"{out}: is the pack itself", "name another file")
    kept = np.setdiff1d(np.arange(len(pack)), dropped)
    if not len(kept):
        raise DataError(f"{pack.path}: no crop is left", "leave fewer out")
    people, labels = np.unique(pack.labels[kept], return_inverse=True)
    index = layout.Index(
        size=pack.size,
        scale=pack.scale,
        labels=labels.tolist(),
        people=[pack.people[person] for person in people],
        names=[pack.names[row] for row in kept],
        sources=[pack.sources[row] for row in kept],
        digests=[pack.digests[row] for row in kept],
        left_out=[[o.photo, o.reason, o.message] for o in (*pack.left_out, *left_out)],
        origin=pack.origin,
        request="",
    )
    with (
        writing_to(out, "make room there, or name a file in a folder that exists"),
        replacing(out, private=True, durable=True) as temporary,
        temporary.open("r+b") as file,
    ):
        file.seek(layout.START)
        for row in kept:
            file.write(pack.crops[row].data)
        layout.finish(file, index)
    return open_pack(out)
