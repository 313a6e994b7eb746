"""Finishing or undoing what a process that died had begun in a gallery on Milvus."""

from __future__ import annotations

from visavis.gallery.milvus_journal import Journal
from visavis.gallery.milvus_writes import Writes


def recover(journal: Journal, writes: Writes, *, erase: bool) -> None:
    """Take back enrollments and splits that were not committed, and finish every write that was.

    Args:
        journal: what was begun.
        writes: the tenant's rows.
        erase: rewrite what held erased rows.
    """
    for intent, happened in journal.dead():
        payload = intent.payload
        touched: set[str] = set()
        if intent.kind in {"add", "split"} and not happened:
            writes.take_back(intent.op)
        elif intent.kind == "add":
            writes.centre_batch(intent.op)
        elif happened and intent.kind == "remove":
            touched = writes.delete_people([payload["person"]])
        elif happened and intent.kind == "faces":
            touched = writes.delete_faces(payload)
        elif happened and intent.kind == "merge":
            writes.move(payload["into"], payload["others"])
        elif happened and intent.kind == "split":
            writes.move_faces(payload)
        if touched and erase:
            # The death may have been within the rewriting: of all, then.
            writes.erase({"people", "crops", *writes.by_table()})
        journal.finish(intent.op)
