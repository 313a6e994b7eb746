"""Which code trained a model."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

_SECONDS: Final = 10


def git_revision(folder: Path | None = None) -> str:
    """The commit that the running code comes from, with ``-changed`` if files differ from it.

    Empty where the code does not lie in a git repository that knows it (an installed package), or
    git is not there.

    Args:
        folder: of the code; this package's when ``None``.
    """
    place = Path(__file__).resolve().parents[2] if folder is None else folder
    if _git(place, "ls-files", "--error-unmatch", ".") is None:
        return ""
    commit = _git(place, "rev-parse", "HEAD")
    if not commit:
        return ""
    changed = _git(place, "status", "--porcelain", "--untracked-files=no", ".")
    return f"{commit}-changed" if changed else commit


def _git(folder: Path, *words: str) -> str | None:
    """What git says, or ``None`` where it fails."""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
