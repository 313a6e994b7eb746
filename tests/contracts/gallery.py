"""What every ``GalleryStore`` must do. Subclass ``GalleryContract``; give the fixture ``opener``.

Beside it, ``gallery_machine.run_histories`` compares random histories with plain dictionaries.
"""

from __future__ import annotations

from .gallery_common import Abilities, Opener
from .gallery_keeping import KeepingContract
from .gallery_names import AcceptingContract
from .gallery_search import SearchingContract
from .gallery_writing import WritingContract

__all__ = ["Abilities", "GalleryContract", "Opener"]


class GalleryContract(WritingContract, AcceptingContract, SearchingContract, KeepingContract):
    """Give a fixture ``opener`` in a subclass, and ``abilities`` where the store lacks one."""
