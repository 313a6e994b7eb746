"""Collections of a Milvus gallery: made, written, read in pages, rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from visavis.errors import OptionError
from visavis.gallery.milvus_connection import Connection
from visavis.gallery.milvus_options import MilvusOptions, index_kind, index_parameters

PAGE: Final = 1000
ROWS_AT_ONCE: Final = 1000
BYTES_AT_ONCE: Final = 8 << 20
MOST_HITS: Final = 16_384
"""Most hits that Milvus gives a probe."""

LONGEST_TEXT: Final = 65_535
"""Bytes of Milvus's longest text field."""

_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SCALARS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    # state: models, heads of the audit, unfinished writes; all small.
    "state": (("kind", "16"), ("key", "64"), ("text", "65535")),
    "people": (
        ("batch", "32"), ("name", "1024"), ("name_key", "64"), ("attributes", "65535"),
        ("created", "int"),
    ),
    "crops": (("face", "int"), ("part", "int"), ("data", "65535")),
    "audit": (
        ("writer", "int"), ("seq", "int"), ("op", "32"), ("time", "40"), ("action", "64"),
        ("subject", "64"), ("details", "65535"), ("hash", "64"),
    ),
}  # fmt: skip
_FACES: Final = (
    ("batch", "32"), ("person", "32"), ("settings", "4096"), ("usability", "float"),
    ("source", "8192"), ("source_sha256", "256"), ("source_key", "32"), ("created", "int"),
    ("expires", "int"), ("crop", "int"), ("tag", "32"),
)  # fmt: skip
TEXT_LIMITS: Final = {"settings": 4096, "photo": 8192, "photo_sha256": 256}

Row = dict[str, Any]


def tenant_name(tenant: str) -> str:
    """A tenant's name, usable in a filter as it is.

    Raises:
        OptionError: other than 1 to 64 of A-Z a-z 0-9 _ and -.
    """
    if not _TENANT.fullmatch(tenant):
        raise OptionError(f"the tenant {tenant!r}", "1 to 64 letters, digits, _ and - are accepted")
    return tenant


def one_of(field: str, values: Iterable[str | int]) -> str:
    """A filter for any of some values. Texts are hexadecimal digits, made by this package: nothing
    that a user typed is ever part of a filter."""
    written = ", ".join(str(v) if isinstance(v, int) else f'"{_hexadecimal(v)}"' for v in values)
    return f"{field} in [{written}]"


def _hexadecimal(text: str) -> str:
    if not set(text) <= set("0123456789abcdef"):
        raise OptionError(f"{text!r} in a filter", "hexadecimal digits are accepted")
    return text


def is_one(field: str, value: str) -> str:
    """A filter for one value of hexadecimal digits."""
    return f'{field} == "{_hexadecimal(value)}"'


class Tables:
    """The collections of one tenant.

    Every collection is reached by an alias, so that it can be rewritten as a whole. Those without
    templates carry a vector of two zeros, which Milvus versions before 2.6 ask for.
    """

    def __init__(self, connection: Connection, tenant: str, options: MilvusOptions) -> None:
        self.connection = connection
        self.tenant = tenant_name(tenant)
        self.options = options
        self.index = index_kind(options, lite=connection.lite)
        self._ready: set[str] = set()

    def name(self, table: str) -> str:
        """The alias of a table."""
        return f"{self.options.prefix}_{table}"

    def exists(self, table: str) -> bool:
        """Whether a table has been made; it is loaded then."""
        name = self.name(table)
        if name in self._ready:
            return True
        if not self.connection.call("has_collection", name):
            return False
        self.connection.call("load_collection", name)
        self._ready.add(name)
        return True

    def ensure(self, table: str, dimension: int = 0) -> None:
        """Make a table if it is not there; ``dimension`` for faces and centres."""
        if self.exists(table):
            return
        made = f"{self.name(table)}_v{self.connection.generation(self.name(table))}"
        self._create(table, made, dimension)
        self.connection.call("create_alias", made, self.name(table))
        self._ready.add(self.name(table))

    def _create(self, table: str, made: str, dimension: int) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        partitions = self.options.partitions
        if partitions is None:
            partitions = 0 if self.connection.lite else 64
        is_faces, is_centres = table.startswith("faces_"), table.startswith("centres_")
        if is_faces:
            schema.add_field("id", DataType.INT64, is_primary=True)
        else:
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=128)
        key = {"is_partition_key": True} if partitions else {}
        schema.add_field("tenant", DataType.VARCHAR, max_length=64, **key)
        kinds = {"int": DataType.INT64, "float": DataType.DOUBLE}
        fields = _FACES if is_faces else () if is_centres else _SCALARS[table]
        for field, kind in fields:
            if kind in kinds:
                schema.add_field(field, kinds[kind])
            else:
                schema.add_field(field, DataType.VARCHAR, max_length=int(kind))
        vectors = ["vector"] if is_faces else ["mean", "weighted"] if is_centres else ["none"]
        indexes = MilvusClient.prepare_index_params()
        kind, parameters = index_parameters(self.index) if dimension else ("FLAT", {})
        for field in vectors:
            schema.add_field(field, DataType.FLOAT_VECTOR, dim=dimension or 2)
            indexes.add_index(field, index_type=kind, metric_type="IP", params=parameters)
        if not self.connection.lite:
            self._scalar_indexes(indexes, {field for field, _ in fields})
        counts = {"num_partitions": partitions} if partitions else {}
        self.connection.call(
            "create_collection", made, schema=schema, consistency_level="Strong",
            num_shards=self.options.shards, **counts,
        )  # fmt: skip
        # Milvus Lite builds the (empty) index within the call; waiting would cost half a second.
        self.connection.call("create_index", made, indexes, sync=not self.connection.lite)
        self.connection.call("load_collection", made, replica_number=self.options.replicas)

    @staticmethod
    def _scalar_indexes(indexes: Any, fields: set[str]) -> None:
        for field in sorted(fields & {"person", "name_key", "batch", "face", "op", "expires"}):
            indexes.add_index(field, index_type="INVERTED")

    def insert(self, table: str, rows: Sequence[Row], *, replace: bool = False) -> None:
        """Write rows, in requests of a size that Milvus takes; those of the tenant only."""
        batch: list[Row] = []
        size = 0
        for row in rows:
            full = {"tenant": self.tenant, **row}
            if "none" not in full and table in _SCALARS:
                full["none"] = [0.0, 0.0]
            weight = sum(len(v) * 4 if not isinstance(v, int | float) else 8 for v in full.values())
            if batch and (len(batch) == ROWS_AT_ONCE or size + weight > BYTES_AT_ONCE):
                self._send(table, batch, replace)
                batch, size = [], 0
            batch.append(full)
            size += weight
        if batch:
            self._send(table, batch, replace)

    def _send(self, table: str, rows: list[Row], replace: bool) -> None:
        self.connection.call("upsert" if replace else "insert", self.name(table), rows)

    def delete(self, table: str, where: str) -> None:
        """Delete the tenant's rows that a filter names."""
        if self.exists(table):
            self.connection.call("delete", self.name(table), filter=self._mine(where))

    def _mine(self, where: str) -> str:
        mine = f'tenant == "{self.tenant}"'
        return f"{mine} and {where}" if where else mine

    def read(self, table: str, where: str, fields: Sequence[str]) -> list[Row]:
        """The tenant's rows that a filter names, in any order; few of them."""
        if not self.exists(table):
            return []
        found = self.connection.call(
            "query", self.name(table), filter=self._mine(where), output_fields=list(fields),
            consistency_level="Strong",
        )  # fmt: skip
        return [dict(row) for row in found]

    def read_in_parts(
        self, table: str, field: str, values: Iterable[str | int], fields: Sequence[str], *,
        also: str = "", at_once: int = 250,
    ) -> Iterator[Row]:  # fmt: skip
        """Rows whose field has one of many values, asked for in parts."""
        wanted = list(values)
        for start in range(0, len(wanted), at_once):
            where = one_of(field, wanted[start : start + at_once])
            yield from self.read(table, f"{where} and {also}" if also else where, fields)

    def pages(
        self, table: str, where: str, fields: Sequence[str], *, first: int = -1
    ) -> Iterator[list[Row]]:
        """The tenant's rows by rising whole number ``id``, page by page."""
        return self._pages(table, where, fields, first)

    def text_pages(self, table: str, where: str, fields: Sequence[str]) -> Iterator[list[Row]]:
        """The tenant's rows by rising text ``id``, which this package made, page by page."""
        return self._pages(table, where, fields, "")

    def _pages(
        self, table: str, where: str, fields: Sequence[str], last: int | str
    ) -> Iterator[list[Row]]:
        while self.exists(table):
            above = f"id > {last}" if isinstance(last, int) else f'id > "{last}"'
            mine = self._mine(f"{above} and {where}" if where else above)
            # What Milvus's own iterator sets: rows come in the order of the primary key.
            found = self.connection.call(
                "query", self.name(table), filter=mine,
                output_fields=["id", *fields], limit=PAGE, consistency_level="Strong",
                iterator="True", guarantee_timestamp=0, reduce_stop_for_best=True,
            )  # fmt: skip
            rows = sorted((dict(row) for row in found), key=lambda row: row["id"])
            if rows:
                yield rows
            if len(rows) < PAGE:
                return
            last = rows[-1]["id"]

    def count(self, table: str, where: str = "") -> int:
        """How many of the tenant's rows a filter names."""
        if not self.exists(table):
            return 0
        (row,) = self.connection.call(
            "query", self.name(table), filter=self._mine(where), output_fields=["count(*)"],
            consistency_level="Strong",
        )  # fmt: skip
        return int(row["count(*)"])

    def search(
        self, table: str, field: str, probes: np.ndarray[Any, Any], *, limit: int, where: str,
        fields: Sequence[str], parameters: Mapping[str, Any],
    ) -> list[list[Row]]:  # fmt: skip
        """The tenant's rows closest to each probe, best first, with ``id`` and ``distance``."""
        if not self.exists(table):
            return [[] for _ in probes]
        found = self.connection.call(
            "search", self.name(table), data=list(probes), anns_field=field, limit=limit,
            filter=self._mine(where), output_fields=list(fields), consistency_level="Strong",
            search_params={"metric_type": "IP", "params": dict(parameters)},
        )  # fmt: skip
        return [
            [{"id": hit["id"], "distance": hit["distance"], **hit["entity"]} for hit in hits]
            for hits in found
        ]

    def rewrite(self, table: str, dimension: int = 0) -> None:
        """Copy what is left of a table, of all tenants, and drop the old one with its files."""
        if not self.exists(table):
            return
        alias = self.name(table)
        old = self.connection.collection(alias)
        new = f"{alias}_v{self.connection.generation(alias)}"
        self._create(table, new, dimension)
        numbered, page = table.startswith("faces_"), 100 if table == "crops" else 5 * PAGE
        for rows in self.connection.everything(old, whole_numbers=numbered, page=page):
            self.connection.call("insert", new, rows)
        self.connection.call("alter_alias", new, alias)
        self.connection.call("drop_collection", old)
