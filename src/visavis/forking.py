"""What a forked process must not use: threads of libraries do not survive a fork."""

from __future__ import annotations

import os
from typing import Any

_forked: list[bool] = []


def forked() -> bool:
    """Returns whether this process was forked after this module was imported."""
    return bool(_forked)


def load_faiss() -> Any:
    """Returns the module FAISS; in a forked process it computes in the calling thread only.

    Its OpenMP would wait forever for the threads of the parent process.
    """
    import faiss

    if forked():
        faiss.omp_set_num_threads(1)
    return faiss


os.register_at_fork(after_in_child=lambda: _forked.append(True))
