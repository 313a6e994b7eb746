"""How a gallery in SQLite is used."""

from __future__ import annotations

from dataclasses import dataclass, field

from visavis.errors import OptionError
from visavis.gallery.crypto.keyring import SCRYPT_COST
from visavis.gallery.index.options import IndexOptions
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class GalleryOptions(Record):
    """Options of ``SqliteGallery``.

    Attributes:
        index: what is asked of the search.
        timeout: seconds to wait for other processes before ``GalleryBusyError``.
        snapshot_from: templates from which the index is kept on disk; a smaller one is made from
            the table in less time than it takes to notice.
        scrypt_cost: N of scrypt where a passphrase is set, a power of 2.

    Raises:
        OptionError: a value outside its range.
    """

    index: IndexOptions = field(default_factory=IndexOptions)
    timeout: float = 60.0
    snapshot_from: int = 20_000
    scrypt_cost: int = SCRYPT_COST

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise OptionError(f"timeout {self.timeout}", "give seconds above 0")
        if self.snapshot_from < 1:
            raise OptionError(f"snapshot_from {self.snapshot_from}", "give 1 or more")
        if not 2 <= self.scrypt_cost <= 2**20 or self.scrypt_cost & (self.scrypt_cost - 1):
            raise OptionError(
                f"scrypt_cost {self.scrypt_cost}", "give a power of 2 from 2 to 1,048,576"
            )
