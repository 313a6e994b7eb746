"""What the caller asks of a search index."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.errors import OptionError
from visavis.types import Record

EXACT_UP_TO = 50_000
"""Templates up to which every one of them is compared (``docs/concepts/search.md``)."""


@dataclass(frozen=True, slots=True)
class IndexOptions(Record):
    """How to search.

    Attributes:
        recall: share of probes whose closest template the search must find, in (0, 1]; 1: compare
            with every template whatever their number.
        threads: threads a search may use, 1 or more; making its structure takes all processors at
            times.
        exact_up_to: templates up to which the search is exact.

    Raises:
        OptionError: a value outside its range.
    """

    recall: float = 0.99
    threads: int = 1
    exact_up_to: int = EXACT_UP_TO

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise OptionError(f"recall {self.recall}", "give a share above 0 and up to 1")
        if self.threads < 1:
            raise OptionError(f"{self.threads} threads", "give 1 or more")
        if self.exact_up_to < 0:
            raise OptionError(f"exact_up_to {self.exact_up_to}", "give 0 or more")
