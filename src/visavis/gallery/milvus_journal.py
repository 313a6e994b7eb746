"""Writes to Milvus that are whole or not at all, although Milvus has no transactions."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visavis.gallery.milvus_audit import Audit
from visavis.gallery.milvus_tables import Row, Tables, is_one


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that has begun: its number, what it does, and to whom (never a name)."""

    op: str
    kind: str
    payload: Mapping[str, Any]
    began: float


class Journal:
    """What has begun and is not finished.

    A write notes its intent, writes its rows, appends its entry to the audit (from then on it has
    happened), tidies up, and deletes the intent. Rows of an intent without an audit entry are
    hidden from every reader and taken back later; with one, what was left to do is done again.
    """

    def __init__(self, tables: Tables, audit: Audit) -> None:
        self.tables = tables
        self.audit = audit

    def begin(self, kind: str, payload: Mapping[str, Any]) -> str:
        """Note an intent; returns its number."""
        op = secrets.token_hex(12)
        self.tables.ensure("state")
        self.tables.insert("state", [self._row(op, kind, payload)])
        return op

    def _row(self, op: str, kind: str, payload: Mapping[str, Any]) -> Row:
        text = json.dumps({"kind": kind, "payload": payload, "began": time.time()})
        return {"id": f"{self.tables.tenant}/op/{op}", "kind": "op", "key": op, "text": text}

    def finish(self, op: str) -> None:
        """The intent is carried out, or taken back."""
        self.tables.delete("state", f'kind == "op" and {is_one("key", op)}')

    def pending(self) -> list[Intent]:
        """Intents that are not finished."""
        found = []
        for row in self.tables.read("state", 'kind == "op"', ["key", "text"]):
            noted = json.loads(row["text"])
            found.append(Intent(row["key"], noted["kind"], noted["payload"], noted["began"]))
        return sorted(found, key=lambda intent: intent.began)

    def hidden(self) -> str:
        """A filter, perhaps empty, that leaves out rows whose write has not happened (yet)."""
        ops = [intent.op for intent in self.pending() if intent.kind in {"add", "split"}]
        waiting = sorted(set(ops) - self.audit.committed(ops)) if ops else []
        return (
            "" if not waiting else "batch not in [" + ", ".join(f'"{op}"' for op in waiting) + "]"
        )

    def dead(self) -> list[tuple[Intent, bool]]:
        """Intents that nobody works on any more, and whether each has happened.

        In a Milvus Lite folder that is all of them: its one process calls this under its lock. On
        a cluster, those older than ``stale_after``.
        """
        pending = self.pending()
        if not self.tables.connection.lite:
            oldest = time.time() - self.tables.options.stale_after
            pending = [intent for intent in pending if intent.began < oldest]
        happened = self.audit.committed([intent.op for intent in pending]) if pending else set()
        return [(intent, intent.op in happened) for intent in pending]
