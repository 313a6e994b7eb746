"""The audit of a gallery on Milvus: a collection of its own, chained by hashes.

Its entries are also the commit records: a write has happened once its entry is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from visavis.errors import OptionError
from visavis.gallery import timestamps
from visavis.gallery.milvus_tables import LONGEST_TEXT, Row, Tables, is_one
from visavis.gallery.records import AuditEntry
from visavis.gallery.sqlite.audit import event

_FIELDS: Final = ("writer", "seq", "op", "time", "action", "subject", "details", "hash")
_PAGE: Final = 500
_ACTION: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_BITS: Final = 10  # of a face's number say which machine gave it


class Audit:
    """Appends to and reads a tenant's audit. Each writer (machine) has a chain of its own, so
    that several can append at once; with one writer there is one chain, as in any gallery."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.writer = tables.options.writer

    def numbers(self, count: int) -> list[int]:
        """Numbers for new faces: microseconds since 1970 and the writer, rising, never again."""
        last = self._head().get("number", 0) >> _BITS
        first = max(timestamps.now(), last + 1)
        return [(first + i) << _BITS | self.writer for i in range(count)]

    def append(
        self, op: str, action: str, subject: str, details: Mapping[str, Any], *, number: int = 0
    ) -> None:
        """Append one entry; ``number`` is the highest face number given out with it.

        Raises:
            OptionError: no action, or details that are not JSON values or too long.
        """
        one = event(action, subject, details)
        text = json.dumps(one.details, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) > LONGEST_TEXT or len(action.encode()) > 64 or len(subject) > 64:
            raise OptionError("an audit entry is too long for Milvus", "give fewer details")
        self.tables.ensure("audit")
        head = self._head()
        seq, link, before = head.get("seq", 0), head.get("hash", ""), head.get("time", "")
        time = max(before, timestamps.written(timestamps.now()))
        row = self._row(seq + 1, link, op, time, action, subject, text)
        self.tables.insert("audit", [row])
        self._keep_head(row, max(number, head.get("number", 0)))

    def _row(  # noqa: PLR0917
        self, seq: int, before: str, op: str, time: str, action: str, subject: str, details: str
    ) -> Row:
        return {
            "id": f"{self.tables.tenant}/{self.writer}/{seq:012}",
            "writer": self.writer, "seq": seq, "op": op, "time": time,
            "action": action, "subject": subject, "details": details,
            "hash": _link(before, seq, time, action, subject, details),
        }  # fmt: skip

    def head(self) -> str:
        """Hash of this writer's last entry; "" where there is none."""
        return str(self._head().get("hash", ""))

    def _head(self) -> dict[str, Any]:
        mine = f'kind == "head" and {is_one("key", _key(self.writer))}'
        found = self.tables.read("state", mine, ["text"])
        head: dict[str, Any] = json.loads(found[0]["text"]) if found else {}
        # An entry may have been written without the head: the process ended in between.
        while True:
            seq = int(head.get("seq", 0)) + 1
            where = f"writer == {self.writer} and seq >= {seq} and seq < {seq + _PAGE}"
            rows = self.tables.read("audit", where, ["seq", "hash", "time"])
            if not rows:
                return head
            last = max(rows, key=lambda row: int(row["seq"]))
            head |= {"seq": last["seq"], "hash": last["hash"], "time": last["time"]}

    def _heads(self) -> list[dict[str, Any]]:
        rows = self.tables.read("state", 'kind == "head"', ["text"])
        return [json.loads(row["text"]) for row in rows]

    def _keep_head(self, row: Row, number: int) -> None:
        text = json.dumps({"seq": row["seq"], "hash": row["hash"], "time": row["time"],
                           "number": number})  # fmt: skip
        head = {
            "id": f"{self.tables.tenant}/head/{self.writer}", "kind": "head",
            "key": _key(self.writer), "text": text,
        }  # fmt: skip
        self.tables.ensure("state")
        self.tables.insert("state", [head], replace=True)

    def committed(self, ops: list[str]) -> set[str]:
        """Which of these writes have happened."""
        rows = self.tables.read_in_parts("audit", "op", ops, ["op"])
        return {row["op"] for row in rows}

    def rows(self) -> Iterator[Row]:
        """All entries, by number and then by writer."""
        last = max((head["seq"] for head in self._heads()), default=0)
        for first in range(1, last + _PAGE + 1, _PAGE):  # a head may be an entry behind
            where = f"seq >= {first} and seq < {first + _PAGE}"
            rows = self.tables.read("audit", where, _FIELDS)
            if not rows:
                return
            yield from sorted(rows, key=_order)

    def _of(self, action: str) -> Iterator[Row]:
        if not _ACTION.fullmatch(action):  # a filter is a text: nothing else gets into one
            return (row for row in self.rows() if row["action"] == action)
        pages = self.tables.text_pages("audit", f'action == "{action}"', _FIELDS)
        return iter(sorted((row for page in pages for row in page), key=_order))

    def entries(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """All entries, or those of one action, as records."""
        for row in self.rows() if action is None else self._of(action):
            yield AuditEntry(
                seq=row["seq"], time=row["time"], action=row["action"], subject=row["subject"],
                details=json.loads(row["details"]), hash=row["hash"],
            )  # fmt: skip

    def verify(self) -> Iterator[str | None]:
        """Walk the chains: ``None`` for each link that holds, a sentence for each that does not."""
        # A process that ended between an entry and its head leaves the head one entry behind.
        wanted = {(head["seq"], head["hash"]) for head in self._heads() if head["seq"]}
        chains: dict[int, tuple[int, str]] = {}
        for row in self.rows():
            writer, (seq, before) = row["writer"], chains.get(row["writer"], (0, ""))
            if row["seq"] != seq + 1:
                yield f"audit entries {seq + 1} to {row['seq'] - 1} of writer {writer} are missing"
            made = _link(before, row["seq"], row["time"], row["action"], row["subject"],
                         row["details"])  # fmt: skip
            right = made == row["hash"]
            yield None if right else f"audit entry {row['seq']} or one before it was changed"
            chains[writer] = (row["seq"], row["hash"])
            wanted.discard(chains[writer])
        for seq, _ in sorted(wanted):
            yield f"the audit does not lead to entry {seq}, which should be there"


def _order(row: Row) -> tuple[int, int]:
    return row["seq"], row["writer"]


def _key(writer: int) -> str:
    return f"{writer:04x}"


def _link(  # noqa: PLR0917
    before: str, seq: int, time: str, action: str, subject: str, details: str
) -> str:
    body = json.dumps([seq, time, action, subject, details], separators=(",", ":"))
    return hashlib.sha256((before + body).encode("utf-8", "surrogatepass")).hexdigest()
