"""Erase faces and templates from the folder of a run; the model and its figures stay."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from visavis.errors import DataError

PACK: Final = "data.pack"
"""Crops that a run made of photos; it goes when the run is over."""
DISJOINT: Final = "disjoint.pack"
"""The same without those that are in the test protocol."""

_PRIVATE: Final = (
    PACK,
    "data-[0-9]*.pack",  # what an earlier run of other photos left
    f"{DISJOINT}*",
    f"{PACK}.partial*",
    f".{PACK}*",
    f".{DISJOINT}*",
    "checkpoints/last.ckpt*",
    "validation.npz",
    ".validation.npz*",
)


def forget(folder: Path) -> list[str]:
    """Erase crops, the checkpoint (its head may hold a template a person) and kept templates.

    Args:
        folder: of a run of ``visavis train``, finished or not.

    Returns:
        What is gone, relative to the folder.

    Raises:
        DataError: it is no such folder, or something cannot be removed.
    """
    found = sorted({path for one in _PRIVATE for path in folder.glob(one) if path.is_file()})
    if not found and not (folder / "run.json").is_file():
        raise DataError(
            f"{folder} holds no training run", "give the folder that was --out of the run"
        )
    try:
        for path in found:
            path.unlink()
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}", "remove the folder yourself") from error
    return [path.relative_to(folder).as_posix() for path in found]
