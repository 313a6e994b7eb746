"""What a write changes in the collections of a Milvus gallery; each can be done twice."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.fusion import mean_templates
from visavis.gallery.milvus_tables import Row, Tables, is_one, one_of

_PART: Final = 45_000  # bytes of a crop in a row: 60,000 characters of base64
_WHOLE_FACE: Final = (
    "id", "batch", "person", "settings", "usability", "source", "source_sha256", "source_key",
    "created", "expires", "crop", "tag", "vector",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the tenant has templates of."""

    sha256: str
    name: str
    dimension: int

    @property
    def faces(self) -> str:
        """Name of the table of its faces."""
        return f"faces_{self.sha256[:24]}_{self.dimension}"

    @property
    def centres(self) -> str:
        """Name of the table of its people's mean templates."""
        return f"centres_{self.sha256[:24]}_{self.dimension}"


def tag(number: int, model_sha256: str, vector: NDArray[np.float32]) -> str:
    """A checksum that a template keeps for life."""
    content = f"{number} {model_sha256} ".encode() + np.ascontiguousarray(vector).tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class Writes:
    """Changes of a tenant's rows. None of them is a whole write: see ``Journal``."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def models(self) -> dict[str, Model]:
        """The tenant's models by hash."""
        found = self.tables.read("state", 'kind == "model"', ["key", "text"])
        kept = [Model(row["key"], **json.loads(row["text"])) for row in found]
        return {model.sha256: model for model in sorted(kept, key=lambda m: m.sha256)}

    def keep_model(self, model: Model) -> None:
        """Note a model and make its tables."""
        self.tables.ensure(model.faces, model.dimension)
        self.tables.ensure(model.centres, model.dimension)
        self.tables.ensure("state")
        text = json.dumps({"name": model.name, "dimension": model.dimension})
        row = {"id": f"{self.tables.tenant}/model/{model.sha256}", "kind": "model",
               "key": model.sha256, "text": text}  # fmt: skip
        self.tables.insert("state", [row], replace=True)

    def keep_crop(self, number: int, crop: bytes) -> Iterator[Row]:
        """Rows that hold a crop."""
        for part, start in enumerate(range(0, max(len(crop), 1), _PART)):
            data = base64.b64encode(crop[start : start + _PART]).decode()
            yield {"id": f"{self.tables.tenant}/{number}/{part}", "face": number, "part": part,
                   "data": data}  # fmt: skip

    def crop(self, number: int) -> bytes:
        """The crop of a face that has one."""
        rows = self.tables.read("crops", f"face == {number}", ["part", "data"])
        ordered = sorted(rows, key=lambda row: int(row["part"]))
        return b"".join(base64.b64decode(row["data"]) for row in ordered)

    def centre(self, model: Model, people: Iterable[str], hidden: str = "") -> None:
        """Compute people's mean templates anew from their faces."""
        wanted = list(dict.fromkeys(people))
        for start in range(0, len(wanted), 250):
            some = wanted[start : start + 250]
            rows = list(self.tables.read_in_parts(
                model.faces, "person", some, ["id", "person", "usability", "vector"], also=hidden,
            ))  # fmt: skip
            rows.sort(key=lambda row: int(row["id"]))
            gone = sorted(set(some) - {row["person"] for row in rows})
            if gone:
                self.tables.delete(model.centres, one_of("id", gone))
            if rows:
                self.put_centres(
                    model, [row["person"] for row in rows],
                    np.array([row["vector"] for row in rows], dtype=np.float32),
                    np.array([row["usability"] for row in rows]),
                )  # fmt: skip

    def put_centres(
        self, model: Model, people: list[str], vectors: NDArray[np.float32],
        usability: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Write mean templates of people whose faces are all given."""
        order = {person: at for at, person in enumerate(dict.fromkeys(people))}
        owners = np.array([order[person] for person in people])
        mean = mean_templates(vectors, owners)
        weighted = mean_templates(vectors, owners, weights=usability)
        rows = [{"id": p, "mean": mean[at], "weighted": weighted[at]} for p, at in order.items()]
        self.tables.insert(model.centres, rows, replace=True)

    def take_back(self, op: str) -> None:
        """Undo an enrolment that has not happened."""
        for model in self.models().values():
            crops = self.tables.read(model.faces, f"{is_one('batch', op)} and crop == 1", ["id"])
            self._delete_crops(row["id"] for row in crops)
            self.tables.delete(model.faces, is_one("batch", op))
        self.tables.delete("people", is_one("batch", op))

    def centre_batch(self, op: str) -> None:
        """Finish an enrolment that has happened."""
        for model in self.models().values():
            rows = self.tables.read(model.faces, is_one("batch", op), ["person"])
            self.centre(model, (row["person"] for row in rows))

    def delete_people(self, people: list[str]) -> set[str]:
        """Delete people and all of theirs; returns the tables that held something.

        The rows of the people go first: faces without a person are seen by nobody.
        """
        self.tables.delete("people", one_of("id", people))
        touched = {"people"}
        for model in self.models().values():
            rows = list(self.tables.read_in_parts(model.faces, "person", people, ["id", "crop"]))
            if rows:
                touched |= {model.faces, model.centres}
            touched |= self._delete_crops(row["id"] for row in rows if row["crop"])
            self.tables.delete(model.faces, one_of("person", people))
            self.tables.delete(model.centres, one_of("id", people))
        return touched

    def delete_faces(self, payload: Mapping[str, Any]) -> set[str]:
        """Delete faces by number and bring their people's means up to date."""
        touched = self._delete_crops(payload["faces"])
        for model in self.models().values():
            if self.tables.read(model.faces, one_of("id", payload["faces"]), ["id"]):
                touched |= {model.faces, model.centres}
            self.tables.delete(model.faces, one_of("id", payload["faces"]))
            self.centre(model, payload["people"])
        if payload["drop"]:
            kept: set[str] = set()
            for model in self.models().values():
                rows = self.tables.read_in_parts(
                    model.faces, "person", payload["people"], ["person"]
                )
                kept |= {row["person"] for row in rows}
            empty = sorted(set(payload["people"]) - kept)
            if empty:
                self.tables.delete("people", one_of("id", empty))
                touched.add("people")
        return touched

    def _delete_crops(self, faces: Iterable[int]) -> set[str]:
        numbers = list(faces)
        found = False
        for start in range(0, len(numbers), 250):
            where = one_of("face", numbers[start : start + 250])
            found = found or self.tables.count("crops", where) > 0
            self.tables.delete("crops", where)
        return {"crops"} if found else set()

    def move(self, into: str, others: list[str]) -> None:
        """Give the others' faces to a person and delete the others."""
        for model in self.models().values():
            rows = list(self.tables.read_in_parts(model.faces, "person", others, _WHOLE_FACE))
            moved = [{**row, "person": into} for row in rows]
            if moved:
                self.tables.insert(model.faces, moved, replace=True)
            self.centre(model, [into])
            self.tables.delete(model.centres, one_of("id", others))
        self.tables.delete("people", one_of("id", others))

    def faces_of(self, person: str, hidden: str) -> set[int]:
        """Numbers of a person's faces."""
        where = f"{is_one('person', person)} and {hidden}" if hidden else is_one("person", person)
        return {
            row["id"]
            for model in self.models().values()
            for rows in self.tables.pages(model.faces, where, [])
            for row in rows
        }

    def move_faces(self, payload: Mapping[str, Any]) -> None:
        """Give those faces of a person that are still theirs to another."""
        mine = is_one("person", payload["from"])
        for model in self.models().values():
            rows = list(self.tables.read_in_parts(
                model.faces, "id", payload["faces"], _WHOLE_FACE, also=mine
            ))  # fmt: skip
            moved = [{**row, "person": payload["into"]} for row in rows]
            if moved:
                self.tables.insert(model.faces, moved, replace=True)
            self.centre(model, [payload["from"], payload["into"]])

    def by_table(self) -> Mapping[str, int]:
        """Dimension of the tables of templates."""
        dimensions: dict[str, int] = defaultdict(int)
        for model in self.models().values():
            dimensions[model.faces] = dimensions[model.centres] = model.dimension
        return dimensions

    def erase(self, touched: Iterable[str]) -> None:
        """See to it that deleted rows leave the files: rewrite the tables in a Milvus Lite folder,
        ask a cluster to compact them."""
        dimensions = self.by_table()
        for table in sorted(touched):
            if not self.tables.exists(table):
                continue
            if self.tables.connection.lite:
                self.tables.rewrite(table, dimensions.get(table, 0))
            else:
                self.tables.connection.call("compact", self.tables.name(table))
