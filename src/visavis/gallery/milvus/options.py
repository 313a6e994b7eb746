"""Options of a gallery on Milvus, and index parameters for a requested recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from visavis.errors import OptionError
from visavis.types import Record

IndexKind = Literal["auto", "flat", "hnsw", "ivf_sq8", "diskann"]

INDEXES: Final = ("auto", "flat", "hnsw", "ivf_sq8", "diskann")
MOST_WRITERS: Final = 1024

_EF: Final = ((0.90, 48), (0.95, 96), (0.98, 192), (0.99, 320), (0.995, 512), (1.0, 1024))
_PROBED: Final = ((0.90, 0.01), (0.95, 0.02), (0.98, 0.05), (0.99, 0.08), (0.995, 0.12), (1.0, 0.3))


@dataclass(frozen=True, slots=True)
class MilvusOptions(Record):
    """Options of ``MilvusGallery``.

    Attributes:
        index: ``flat``: exact search of all; ``hnsw``: graph in memory; ``ivf_sq8``: 8-bit codes
            in memory; ``diskann``: graph on the query nodes' disks. ``auto``: ``flat`` in a Milvus
            Lite folder, ``hnsw`` on a cluster. Fixed when a model's first face is enrolled.
        recall: share of the true best that an index other than ``flat`` should find, 0.5 to 1.
            It selects the search effort from a table (docs/concepts/scale-out.md). The recall on
            your faces is not measured: compare with ``flat`` on some of them.
        partitions: number of physical partitions to which Milvus assigns tenants by hash; 0: a
            filter separates tenants. ``None``: 64 on a server from 2.4 on, else 0 (earlier servers
            write a repeated upsert to another partition).
        shards: number of write channels of a new collection.
        replicas: number of copies in the memory of the query nodes.
        writer: number of this machine, 0 to 1023, different for each machine that writes to the
            same tenant.
        wait: seconds to wait for a Milvus Lite folder opened by another process.
        timeout: maximum time of a request in seconds.
        erase: ``now`` rewrites a Milvus Lite folder at each removal, so that no byte remains;
            ``later`` leaves that to ``compact``. On a cluster, both only request a compaction.
        prefix: prefix of the collections' names.
    """

    index: IndexKind = "auto"
    recall: float = 0.99
    partitions: int | None = None
    shards: int = 1
    replicas: int = 1
    writer: int = 0
    wait: float = 5.0
    timeout: float = 60.0
    erase: Literal["now", "later"] = "now"
    prefix: str = "visavis"

    def __post_init__(self) -> None:
        wrong = {
            "index": self.index not in INDEXES,
            "recall": not 0.5 <= self.recall <= 1,
            "partitions": self.partitions is not None and not 0 <= self.partitions <= 1024,
            "shards": not 1 <= self.shards <= 16,
            "replicas": self.replicas < 1,
            "writer": not 0 <= self.writer < MOST_WRITERS,
            "wait": not self.wait >= 0,
            "timeout": not self.timeout > 0,
            "erase": self.erase not in {"now", "later"},
            "prefix": not (self.prefix.isascii() and self.prefix.isidentifier()),
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise OptionError(
                    f"the Milvus option {name} is {getattr(self, name)!r}",
                    "see visavis.gallery.milvus.options.MilvusOptions for what is accepted",
                )


def index_kind(options: MilvusOptions, *, lite: bool) -> IndexKind:
    """Returns the index kind; resolves ``auto``.

    Raises:
        OptionError: Milvus Lite has no DISKANN.
    """
    if options.index == "auto":
        return "flat" if lite else "hnsw"
    if options.index == "diskann" and lite:
        raise OptionError(
            "the index diskann in a Milvus Lite folder", "choose flat, hnsw or ivf_sq8"
        )
    return options.index


def index_parameters(kind: IndexKind, *, expected: int = 10_000_000) -> tuple[str, dict[str, Any]]:
    """Returns Milvus's name and build parameters of an index.

    Args:
        kind: ``flat``, ``hnsw``, ``ivf_sq8`` or ``diskann``.
        expected: expected number of vectors per segment, for the number of IVF cells.

    >>> index_parameters("hnsw")
    ('HNSW', {'M': 32, 'efConstruction': 360})
    """
    if kind == "hnsw":
        return "HNSW", {"M": 32, "efConstruction": 360}
    if kind == "ivf_sq8":
        return "IVF_SQ8", {"nlist": cells(expected)}
    if kind == "diskann":
        return "DISKANN", {}
    return "FLAT", {}


def cells(vectors: int) -> int:
    """Returns the number of IVF cells: the power of two nearest to 4·√n, 128 to 65,536.

    >>> cells(1_000_000)
    4096
    """
    wanted = 4 * max(vectors, 1) ** 0.5
    sizes = [128 << k for k in range(10)]
    return next((size for size in sizes if size * 1.5 >= wanted), sizes[-1])


def search_parameters(kind: IndexKind, recall: float, *, limit: int) -> dict[str, Any]:
    """Returns search parameters for a recall, from a conservative table.

    Args:
        kind: kind of index.
        recall: requested recall.
        limit: requested number of hits, the minimum of HNSW's ``ef`` and DISKANN's list.

    >>> search_parameters("hnsw", 0.99, limit=50)
    {'ef': 320}
    """
    if kind == "hnsw":
        return {"ef": max(_least(_EF, recall), limit)}
    if kind == "diskann":
        return {"search_list": max(_least(_EF, recall) // 2, limit)}
    if kind == "ivf_sq8":
        return {"nprobe": max(int(cells(10_000_000) * _least(_PROBED, recall)), 8)}
    return {}


def score_error(kind: IndexKind) -> float:
    """Returns the maximum error of a score reported by Milvus.

    All but ``ivf_sq8`` compare stored vectors, up to float32 rounding. Scalar quantization rounds
    each component to one of 256 levels between its minimum and maximum, at most 2 apart. For a unit
    probe, the standard deviation of the error is at most (2/255)/√12 = 0.0023 (four of them are
    allowed); 0.0007 for 128 components with a range of 0.6.

    >>> score_error("ivf_sq8"), score_error("hnsw")
    (0.01, 2e-06)
    """
    return 1e-2 if kind == "ivf_sq8" else 2e-6


def _least(table: tuple[tuple[float, Any], ...], recall: float) -> Any:
    return next(effort for reached, effort in table if recall <= reached)
