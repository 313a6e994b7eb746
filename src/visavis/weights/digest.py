"""SHA-256 of files, computed once a process for a file that has not changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Final

from visavis.reading import open_regular

# A file written moments ago could change again within the file system's clock tick and look the
# same, so what was hashed that early is not remembered. FAT's ticks are two seconds.
_SETTLED_NS: Final = 2_000_000_000

_Identity = tuple[int, int, int, int, int]

_known: dict[str, tuple[_Identity, str]] = {}


def sha256_of(path: Path, *, afresh: bool = False) -> str:
    """SHA-256 of a file, 64 lower-case hexadecimal digits.

    Remembered for this process under the file's path, device, inode, size and both change times:
    10 MB take 7 ms on one core (SHA extensions), too little to trust a stamp kept on disk instead.

    Args:
        afresh: read the file even if its hash is known.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        stat = os.fstat(file.fileno())
        identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = _known.get(str(path))
        if known is not None and known[0] == identity and not afresh:
            return known[1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
        _known[str(path)] = (identity, digest)
    else:
        _known.pop(str(path), None)
    return digest
