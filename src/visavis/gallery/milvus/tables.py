"""Creates, writes, reads and rewrites the collections of a Milvus gallery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from visavis.errors import GalleryError, OptionError
from visavis.gallery.milvus.connection import Connection
from visavis.gallery.milvus.options import MilvusOptions, index_kind, index_parameters

PAGE: Final = 1000
ROWS_AT_ONCE: Final = 1000
BYTES_AT_ONCE: Final = 8 << 20
MOST_HITS: Final = 16_384
"""Milvus's maximum number of hits per probe."""

LONGEST_TEXT: Final = 65_535
"""Milvus's maximum size of a text field in bytes."""

TEXT_LIMITS: Final = {"pipeline_id": 4096, "photo": 8192, "photo_sha256": 256, "model": 1024}

_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Fields besides id, tenant and vector: size of a text in bytes, or type of a number.
_FIELDS: Final[Mapping[str, Mapping[str, int | str]]] = {
    "models": {"sha256": 64, "name": 1024, "dimension": "int"},
    "people": {"name": 1024, "name_key": 64, "attributes": LONGEST_TEXT, "created": "int"},
    "crops": {"face": "int", "part": "int", "data": LONGEST_TEXT},
    "faces": {
        "person": 32, "settings": 4096, "usability": "float", "source": 8192, "source_sha256": 256,
        "source_key": 32, "created": "int", "expires": "int", "crop": "int", "levelled": "int",
        "tag": 32,
    },
    "mean": {},
    "weighted": {},
}  # fmt: skip
# Servers before 2.4 do not know INVERTED.
_SCALAR_INDEX: Final = {
    "person": "Trie", "name_key": "Trie", "face": "STL_SORT", "expires": "STL_SORT",
}  # fmt: skip
_NOTHING: Final = [0.0, 0.0]

Row = dict[str, Any]


def is_one(field: str, value: str | int) -> str:
    """Returns a filter for one value.

    Texts are hexadecimal digits made by this package: a filter never contains user input.
    """
    return f"{field} == {_written(value)}"


def one_of(field: str, values: Iterable[str | int]) -> str:
    """Returns a filter for any of some values."""
    return f"{field} in [{', '.join(map(_written, values))}]"


def _written(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    if not set(value) <= set("0123456789abcdef"):
        raise OptionError(f"{value!r} in a filter", "hexadecimal digits are accepted")
    return f'"{value}"'


def dimension_of(table: str) -> int:
    """Returns the vector dimension at the end of a table's name; 0 if it has no templates."""
    return int(table.rpartition("_")[2]) if "_" in table else 0


class Tables:
    """The collections of one tenant. Names: ``people``, ``faces_HASH_DIMENSION``, ...

    Each collection has an alias, so that a rewrite can replace it; it exists once the alias does.
    Collections without templates have a vector of two zeros, which Milvus requires. All writes are
    upserts and thus idempotent.
    """

    def __init__(self, connection: Connection, tenant: str, options: MilvusOptions) -> None:
        if not _TENANT.fullmatch(tenant):
            raise OptionError(
                f"the tenant {tenant!r}", "1 to 64 letters, digits, _ and - are accepted"
            )
        self.connection, self.tenant, self.options = connection, tenant, options
        self.index = index_kind(options, lite=connection.lite)
        self._ready: set[str] = set()

    def require_layout(self) -> None:
        """Raises GalleryError if a former version made the collections."""
        if self.connection.call("has_collection", self._name("audit")):
            raise GalleryError(
                f"the gallery {self.connection.uri} was made by an earlier visavis",
                "with that version, export it and import the file into a gallery in a folder, "
                "which this version opens",
            )

    def _name(self, table: str) -> str:
        return f"{self.options.prefix}_{table}"

    def exists(self, table: str) -> bool:
        """Returns whether a table exists; loads it then."""
        name = self._name(table)
        if name not in self._ready and self.connection.call("has_collection", name):
            self.connection.call("load_collection", name)
            self._ready.add(name)
        return name in self._ready

    def ensure(self, *tables: str) -> None:
        """Creates missing tables."""
        made = {
            self._name(table): self._create(table) for table in tables if not self.exists(table)
        }
        with ThreadPoolExecutor(max(len(made), 1)) as pool:  # takes seconds per table on a server
            list(pool.map(self._load, made.values()))
        for alias, collection in made.items():
            self.connection.call("create_alias", collection, alias)
            self._ready.add(alias)

    def _load(self, collection: str) -> None:
        self.connection.call("load_collection", collection, replica_number=self.options.replicas)

    def _create(self, table: str) -> str:
        from pymilvus import DataType, MilvusClient

        made = f"{self._name(table)}_v{self.connection.generation(self._name(table))}"
        kind, dimension, partitions = (
            table.split("_", maxsplit=1)[0],
            dimension_of(table),
            self._partitions(),
        )
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        if kind == "faces":
            schema.add_field("id", DataType.INT64, is_primary=True)
        else:
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=128)
        key = {"is_partition_key": True} if partitions else {}
        schema.add_field("tenant", DataType.VARCHAR, max_length=64, **key)
        numbers = {"int": DataType.INT64, "float": DataType.DOUBLE}
        indexes = MilvusClient.prepare_index_params()
        for field, type_ in _FIELDS[kind].items():
            if isinstance(type_, int):
                schema.add_field(field, DataType.VARCHAR, max_length=type_)
            else:
                schema.add_field(field, numbers[type_])
            if field in _SCALAR_INDEX and not self.connection.lite:
                indexes.add_index(field, index_type=_SCALAR_INDEX[field])
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension or len(_NOTHING))
        type_, parameters = index_parameters(self.index) if dimension else ("FLAT", {})
        indexes.add_index("vector", index_type=type_, metric_type="IP", params=parameters)
        counts = {"num_partitions": partitions} if partitions else {}
        self.connection.call(
            "create_collection", made, schema=schema, consistency_level="Strong",
            num_shards=self.options.shards, **counts,
        )  # fmt: skip
        # The index of an empty collection exists at once; waiting would cost half a second.
        self.connection.call("create_index", made, indexes, sync=False)
        return made

    def _partitions(self) -> int:
        asked = self.options.partitions
        if asked == 0 or (asked is None and self.connection.lite):
            return 0
        old = self.connection.before(2, 4)
        if asked and old:
            raise OptionError(
                f"{asked} partitions on the server {self.connection.uri}",
                "servers before 2.4 misplace what is written again; leave the option out, or "
                "update the server",
            )
        return 0 if old else asked or 64

    def put(self, table: str, rows: Sequence[Row], *, collection: str = "") -> None:
        """Upserts rows in requests that Milvus accepts; adds the tenant if missing."""
        batch: list[Row] = []
        size = 0
        for row in rows:
            full = {"tenant": self.tenant, "vector": _NOTHING, **row}
            weight = sum(len(v) * 4 if not isinstance(v, int | float) else 8 for v in full.values())
            if batch and (len(batch) == ROWS_AT_ONCE or size + weight > BYTES_AT_ONCE):
                self.connection.call("upsert", collection or self._name(table), batch)
                batch, size = [], 0
            batch.append(full)
            size += weight
        if batch:
            self.connection.call("upsert", collection or self._name(table), batch)

    def delete(self, table: str, field: str, values: Iterable[str | int]) -> None:
        """Deletes the tenant's rows whose field has one of some values."""
        wanted = list(values)
        for start in range(0, len(wanted) if self.exists(table) else 0, ROWS_AT_ONCE):
            where = self._mine(one_of(field, wanted[start : start + ROWS_AT_ONCE]))
            self.connection.call("delete", self._name(table), filter=where)

    def _mine(self, where: str) -> str:
        mine = f'tenant == "{self.tenant}"'
        return f"{mine} and {where}" if where else mine

    def read(
        self, table: str, field: str, values: Iterable[str | int], fields: Sequence[str], *,
        also: str = "",
    ) -> Iterator[Row]:  # fmt: skip
        """Returns the tenant's rows whose field has one of some values, in any order."""
        wanted = list(values)
        for start in range(0, len(wanted) if self.exists(table) else 0, 250):
            where = one_of(field, wanted[start : start + 250])
            found = self.connection.call(
                "query", self._name(table), output_fields=list(fields),
                filter=self._mine(f"{where} and {also}" if also else where),
                consistency_level="Strong",
            )  # fmt: skip
            yield from map(dict, found)

    def pages(
        self, table: str, where: str, fields: Sequence[str], *, after: int | str | None = None
    ) -> Iterator[list[Row]]:
        """Yields pages of the tenant's rows, ``id`` ascending."""
        if self.exists(table):
            yield from self._pages(self._name(table), table, self._mine(where), fields, after=after)

    def _pages(
        self, collection: str, table: str, where: str, fields: Sequence[str], *,
        after: int | str | None = None, size: int = PAGE,
    ) -> Iterator[list[Row]]:  # fmt: skip
        last: int | str = (-1 if table.startswith("faces_") else "") if after is None else after
        full = True
        while full:  # ``last`` increases with each page
            above = f"id > {last}" if isinstance(last, int) else f'id > "{last}"'
            # Set by Milvus's own iterator: rows are sorted by primary key.
            found = self.connection.call(
                "query", collection, filter=f"{where} and {above}" if where else above,
                output_fields=["id", *fields], limit=size, consistency_level="Strong",
                iterator="True", guarantee_timestamp=0, reduce_stop_for_best=True,
            )  # fmt: skip
            rows = sorted(map(dict, found), key=lambda row: row["id"])
            if rows:
                last = rows[-1]["id"]
                yield rows
            full = len(rows) == size

    def count(self, table: str, where: str = "") -> int:
        """Returns the number of the tenant's rows that match a filter."""
        if not self.exists(table):
            return 0
        (row,) = self.connection.call(
            "query", self._name(table), filter=self._mine(where), output_fields=["count(*)"],
            consistency_level="Strong",
        )  # fmt: skip
        return int(row["count(*)"])

    def search(
        self, table: str, probes: np.ndarray[Any, Any], *, limit: int, fields: Sequence[str],
        parameters: Mapping[str, Any],
    ) -> list[list[Row]]:  # fmt: skip
        """Returns the tenant's closest rows to each probe, best first: ``id`` and ``distance``."""
        if not self.exists(table):
            return [[] for _ in probes]
        found = self.connection.call(
            "search", self._name(table), data=list(probes), anns_field="vector", limit=limit,
            filter=self._mine(""), output_fields=list(fields), consistency_level="Strong",
            search_params={"metric_type": "IP", "params": dict(parameters)},
        )  # fmt: skip
        return [
            [{"id": hit["id"], "distance": hit["distance"], **hit["entity"]} for hit in hits]
            for hits in found
        ]

    def erase(self, tables: Iterable[str]) -> None:
        """Removes deleted rows from the files: rewrites tables in a Milvus Lite folder, asks a
        server to compact them."""
        for table in sorted(tables):
            if not self.exists(table):
                continue
            if self.connection.lite:
                self._rewrite(table)
            else:
                self.connection.call("compact", self._name(table))

    def _rewrite(self, table: str) -> None:
        """Copies a table, of all tenants, without deleted rows, and drops the old one."""
        alias = self._name(table)
        old = self.connection.call("describe_alias", alias)["collection_name"]
        new = self._create(table)
        self._load(new)
        size = 100 if table == "crops" else 5 * PAGE
        for rows in self._pages(old, table, "", ["*"], size=size):
            self.put(table, rows, collection=new)
        self.connection.call("alter_alias", new, alias)
        self.connection.call("drop_collection", old)
