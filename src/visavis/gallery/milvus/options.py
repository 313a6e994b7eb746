"""How a gallery on Milvus is laid out, and which index serves a recall that is asked for."""

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
        index: ``flat`` compares with everybody, exactly; ``hnsw`` a graph in memory; ``ivf_sq8``
            bytes in memory; ``diskann`` a graph on the query nodes' disks. ``auto``: ``flat`` in a
            Milvus Lite folder, ``hnsw`` on a cluster. Fixed when a model's first face is enrolled.
        recall: share of the true best that an index other than ``flat`` should find, 0.5 to 1.
            It sets the search effort from a table (docs/concepts/scale-out.md). What it gives on
            your faces is not measured: compare with ``flat`` on some of them.
        partitions: physical partitions among which Milvus spreads the tenants by hash; 0: none,
            tenants are told apart by a filter. ``None``: 64 on a server from 2.4 on, else 0
            (earlier servers put what is written again into another partition).
        shards: write channels of a new collection.
        replicas: copies in the memory of the query nodes.
        writer: number of this machine among those that write to one tenant, 0 to 1023; machines
            must have different ones.
        wait: seconds to wait for a Milvus Lite folder that another process has open.
        timeout: seconds that one request may take.
        erase: ``now`` rewrites a Milvus Lite folder at each removal, so that no byte stays;
            ``later`` leaves that to ``compact``. On a cluster both only ask it to compact.
        prefix: what the names of the collections begin with.
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
    """The index that ``auto`` stands for.

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
    """Milvus's name and build parameters of an index.

    Args:
        kind: ``flat``, ``hnsw``, ``ivf_sq8`` or ``diskann``.
        expected: vectors of a sealed segment and its neighbours, for the number of IVF cells.

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
    """Cells of an inverted file: the power of two next to 4·√n, 128 to 65,536.

    >>> cells(1_000_000)
    4096
    """
    wanted = 4 * max(vectors, 1) ** 0.5
    sizes = [128 << k for k in range(10)]
    return next((size for size in sizes if size * 1.5 >= wanted), sizes[-1])


def search_parameters(kind: IndexKind, recall: float, *, limit: int) -> dict[str, Any]:
    """Search effort for a recall, from a table that errs on the side of effort.

    Args:
        kind: of the index.
        recall: asked for.
        limit: hits asked for; HNSW's ``ef`` and DISKANN's list are never below it.

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
    """How far a score that Milvus reports may lie from the exact one.

    All but ``ivf_sq8`` compare the vectors as stored, up to float32 rounding. Scalar quantization
    rounds each number of a template to one of 256 levels between the least and the greatest of
    its dimension, at most 2 apart: for a unit probe the score is off with standard deviation
    (2/255)/√12 = 0.0023 at worst (four of them are allowed for); 0.0007 on 128 numbers that
    span 0.6.

    >>> score_error("ivf_sq8"), score_error("hnsw")
    (0.01, 2e-06)
    """
    return 1e-2 if kind == "ivf_sq8" else 2e-6


def _least(table: tuple[tuple[float, Any], ...], recall: float) -> Any:
    return next(effort for reached, effort in table if recall <= reached)
