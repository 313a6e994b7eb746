"""Whether bytes of something deleted are still in a file.

SQLite's ``secure_delete`` overwrites what is deleted, but not the copies that its B-trees leave in
unused parts of a page when rows move to another page. So after each removal the database is looked
through, and written anew (``VACUUM``) where something is found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.sqlite.open_files import Inode, read

MOST_WORDS: Final = 100_000
"""Beyond as many, writing the database anew is as quick as looking for them."""

_MOST_TEXTS = 16
_STEP = 8 << 20
_WORD = 8
_PLAIN = 4  # a word with fewer different bytes, such as zeros, says nothing


class Remnants:
    """What to look for.

    A stretch of 15 bytes or more of a blob is found wherever it lies in the file, for it covers an
    aligned word of 8 bytes, and all words of the blob are looked for; texts are found whole. What
    is found need not be a remnant (two people have the same photo): that costs time, nothing else.

    Args:
        blobs: random-looking bytes: templates, ciphertexts, compressed pictures.
        texts: names and the like.
    """

    def __init__(self, blobs: Iterable[bytes], texts: Iterable[bytes]) -> None:
        self._texts = {text for text in texts if text}
        parts, count = [_words(b"")], 0
        for blob in blobs:
            words = _words(blob)
            parts.append(words)
            count += len(words)
            if count > MOST_WORDS:
                break
        self.too_many = count > MOST_WORDS or len(self._texts) > _MOST_TEXTS
        self._words = np.unique(np.concatenate(parts))
        self._low = np.zeros(1 << 16, np.bool_)
        self._low[(self._words & np.uint64(0xFFFF)).astype(np.int64)] = True

    def are_in(self, inode: Inode) -> bool:
        """Whether any of it is in a file that ``open_files`` holds."""
        longest = max((len(text) for text in self._texts), default=0)
        overlap = -(-longest // _WORD) * _WORD
        for piece in read(inode, step=_STEP, overlap=overlap):
            if any(text in piece for text in self._texts) or self._has_word(piece):
                return True
        return False

    def _has_word(self, piece: bytes) -> bool:
        if not len(self._words):
            return False
        words = np.frombuffer(piece, "<u8", len(piece) // _WORD)
        low = words.view("<u2")[::4]
        likely = words[self._low[low]]
        return bool(np.isin(likely, self._words).any())


def _words(blob: bytes) -> NDArray[np.uint64]:
    """All words of 8 bytes in a blob, at every offset, that could be nothing else."""
    if len(blob) < _WORD:
        return np.empty(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(blob, np.uint8), _WORD)
    ordered = np.sort(windows, axis=1)
    different = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
    telling = np.ascontiguousarray(windows[different >= _PLAIN])
    return telling.view("<u8").ravel().astype(np.uint64)
