"""Reads and writes templates, crops and mean templates of a gallery on Milvus."""

from __future__ import annotations

import base64
import hashlib
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.former import levelled
from visavis.gallery import timestamps
from visavis.gallery.fusion import mean_templates
from visavis.gallery.milvus.people import People
from visavis.gallery.milvus.tables import TEXT_LIMITS, Row, Tables, is_one
from visavis.gallery.names import without_name
from visavis.gallery.records import NewFace, StoredFace

NEVER: Final = 2**62
"""Means: never expires."""

_PART: Final = 45_000  # bytes of a crop per row: 60,000 characters of base64
TEMPLATE: Final = ("id", "person", "usability", "vector")
"""Fields needed to compute means."""

_WHOLE: Final = (
    *TEMPLATE, "settings", "source", "source_sha256", "source_key", "created", "expires", "crop",
    "levelled", "tag",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Model:
    """A model of which the tenant has templates."""

    sha256: str
    name: str
    dimension: int

    @property
    def faces(self) -> str:
        """Name of the table of faces."""
        return f"faces_{self.sha256[:24]}_{self.dimension}"

    @property
    def means(self) -> tuple[str, str]:
        """Names of the tables of mean templates: equal weights, weighted by quality score."""
        end = self.faces.removeprefix("faces")
        return f"mean{end}", f"weighted{end}"


def tag(number: int, model_sha256: str, vector: NDArray[np.float32]) -> str:
    """Returns the permanent checksum of a template."""
    content = f"{number} {model_sha256} ".encode() + np.ascontiguousarray(vector).tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def source_key(source_sha256: str) -> str:
    """Returns the key of a photo's hash in filters."""
    return hashlib.sha256(source_sha256.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def batch_key(faces: Sequence[NewFace]) -> str:
    """Returns the hash of a batch, which identifies it if it is sent again."""
    content = hashlib.blake2b(digest_size=32)
    for face in faces:
        crop = hashlib.blake2b(face.crop or b"").digest()
        content.update(repr((face.to_dict(), crop)).encode("utf-8", "surrogatepass"))
        content.update(face.vector.tobytes())
    return content.hexdigest()


def means_of(
    rows: Sequence[Row], model: Model
) -> Iterator[tuple[str, list[str], NDArray[np.float32]]]:
    """Yields mean templates of the people of some rows, for each table of means.

    Rows are sorted by number and include all rows of each person. Yields the name of the table,
    the people, and ``(P, D)`` float32.
    """
    order = {person: at for at, person in enumerate(dict.fromkeys(row["person"] for row in rows))}
    owners = np.array([order[row["person"]] for row in rows])
    vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
    quality_score = np.array([row["usability"] for row in rows], dtype=np.float64)
    for table, weights in zip(model.means, (None, quality_score), strict=True):
        yield table, list(order), mean_templates(vectors, owners, weights=weights)


class Faces:
    """Reads and writes faces of one tenant. All changes are idempotent."""

    def __init__(self, tables: Tables, people: People) -> None:
        self.tables, self.people = tables, people

    def models(self) -> dict[str, Model]:
        """Returns the tenant's models by hash."""
        fields = ["sha256", "name", "dimension"]
        rows = [row for page in self.tables.pages("models", "", fields) for row in page]
        return {row["sha256"]: Model(*(row[field] for field in fields)) for row in rows}

    def keep_models(self, faces: Sequence[NewFace], models: dict[str, Model]) -> None:
        """Creates tables for faces, and adds their models if new."""
        for face in faces:
            known, length = models.get(face.model_sha256), len(face.vector)
            if known is None or known.dimension != length:
                model = Model(face.model_sha256, face.model, length)
                self.tables.ensure(model.faces, *model.means, "models", "people", "crops")
                models[model.sha256] = model
                self.tables.put("models", [{
                    "id": f"{self.tables.tenant}/{model.sha256}", "sha256": model.sha256,
                    "name": model.name, "dimension": model.dimension,
                }])  # fmt: skip

    def put(
        self, faces: Sequence[NewFace], numbers: Sequence[int], people: Mapping[str, str],
        models: Mapping[str, Model],
    ) -> dict[str, list[Row]]:  # fmt: skip
        """Writes crops, then faces, so that a visible face is complete. Returns rows by model."""
        now = timestamps.now()
        crops: list[Row] = []
        rows: dict[str, list[Row]] = defaultdict(list)
        for number, face in zip(numbers, faces, strict=True):
            if face.crop is not None:
                crops += self._crop_rows(number, face.crop)
            rows[face.model_sha256].append({
                "id": number, "person": people[face.person], "vector": face.vector,
                "settings": face.pipeline_id, "usability": float(face.quality_score),
                "source": face.photo, "source_sha256": face.photo_sha256,
                "source_key": source_key(face.photo_sha256), "created": now,
                "expires": NEVER if face.expires is None else timestamps.microseconds(face.expires),
                "crop": int(face.crop is not None), "levelled": int(levelled(face.pipeline_id)),
                "tag": tag(number, face.model_sha256, face.vector),
            })  # fmt: skip
        if crops:
            self.tables.put("crops", crops)
        for sha256, some in rows.items():
            self.tables.put(models[sha256].faces, some)
        return rows

    def _crop_rows(self, number: int, crop: bytes) -> Iterator[Row]:
        for part, start in enumerate(range(0, max(len(crop), 1), _PART)):
            data = base64.b64encode(crop[start : start + _PART]).decode()
            yield {"id": f"{self.tables.tenant}/{number}/{part}", "face": number, "part": part,
                   "data": data}  # fmt: skip

    def crop(self, number: int) -> bytes:
        """Returns the crop of a face that has one."""
        rows = self.tables.read("crops", "face", [number], ["part", "data"])
        ordered = sorted(rows, key=lambda row: int(row["part"]))
        return b"".join(base64.b64decode(row["data"]) for row in ordered)

    def owners(self, numbers: Iterable[int], models: Iterable[Model]) -> dict[int, str]:
        """Returns the person of each face, by number; omits unknown faces."""
        wanted = list(numbers)
        return {
            row["id"]: row["person"]
            for model in models
            for row in self.tables.read(model.faces, "id", wanted, ["id", "person"])
        }

    def numbers(self, person: str, models: Iterable[Model]) -> list[int]:
        """Returns the numbers of a person's faces."""
        return [
            row["id"]
            for model in models
            for row in self.tables.read(model.faces, "person", [person], ["id"])
        ]

    def put_means(self, rows: Sequence[Row], model: Model) -> None:
        """Writes mean templates of people, given all their faces."""
        for table, people, means in means_of(rows, model) if rows else ():
            self.tables.put(
                table, [{"id": p, "vector": mean} for p, mean in zip(people, means, strict=True)]
            )

    def refresh_means(self, people: Iterable[str], models: Iterable[Model]) -> set[str]:
        """Recomputes people's mean templates from their faces; returns people who have faces."""
        wanted, there = sorted(set(people)), set()
        for model in models:
            for start in range(0, len(wanted), 250):
                some = wanted[start : start + 250]
                found = self.tables.read(model.faces, "person", some, TEMPLATE)
                rows = sorted(found, key=lambda row: int(row["id"]))
                held = {row["person"] for row in rows}
                for table in model.means:
                    self.tables.delete(table, "id", sorted(set(some) - held))
                self.put_means(rows, model)
                there |= held
        return there

    def delete(
        self, numbers: Sequence[int], people: Iterable[str], models: Sequence[Model]
    ) -> tuple[set[str], set[str]]:
        """Deletes faces and updates their people's means.

        Returns the people who still have faces, and the changed tables.
        """
        touched = {"crops"} if any(self.tables.read("crops", "face", numbers, ["id"])) else set()
        self.tables.delete("crops", "face", numbers)
        for model in models:
            if any(self.tables.read(model.faces, "id", numbers, ["id"])):
                touched |= {model.faces, *model.means}
                self.tables.delete(model.faces, "id", numbers)
        return self.refresh_means(people, models), touched

    def move(
        self, people: Sequence[str], into: str, models: Sequence[Model],
        *, only: Collection[int] | None = None,
    ) -> None:  # fmt: skip
        """Moves faces of people to another person, and erases the people's names from the photos'
        paths; or moves ``only`` some of the faces."""
        names = {} if only is not None else self.people.names(people)
        for model in models:
            found = self.tables.read(model.faces, "person", people, _WHOLE)
            moved = [
                _without_name(row, names.get(row["person"], "")) | {"person": into}
                for row in found
                if only is None or row["id"] in only
            ]
            self.tables.put(model.faces, moved)
        self.refresh_means([into, *people], models)

    def erase_name(self, person: str, name: str, models: Iterable[Model]) -> None:
        """Erases a person's name from the paths of the photos."""
        for model in models:
            rows = self.tables.read(model.faces, "person", [person], _WHOLE)
            self.tables.put(model.faces, [_without_name(row, name) for row in rows])

    def set_expiry(self, person: str, expires: str | None, models: Sequence[Model]) -> None:
        """Set when a person's faces expire (see ``instant``); ``None``: never."""
        when = NEVER if expires is None else timestamps.microseconds(expires)
        for model in models:
            rows = self.tables.read(model.faces, "person", [person], _WHOLE)
            self.tables.put(model.faces, [row | {"expires": when} for row in rows])

    def one(self, number: int, models: Iterable[Model]) -> StoredFace | None:
        """Returns a face by number; ``None`` if there is none."""
        if not 0 < number < 2**63:
            return None
        for model in models:
            for row in self.tables.read(model.faces, "id", [number], _WHOLE):
                for name in self.people.names([row["person"]]).values():
                    return _stored_face(row, model, name)
        return None

    def by_number(
        self, models: Sequence[Model], where: str, *, after: int = 0
    ) -> Iterator[StoredFace]:
        """Yields the faces that match a filter; faces removed meanwhile may be missing."""
        streams = [self._stored(model, where, after) for model in models]
        yield from heapq.merge(*streams, key=lambda face: face.id)

    def _stored(self, model: Model, where: str, last: int) -> Iterator[StoredFace]:
        page: list[Row] | None = []
        while page is not None:  # ``last`` increases with each page
            with self.tables.connection.lock:
                page = next(self.tables.pages(model.faces, where, _WHOLE, after=last), None)
                names = self.people.names({row["person"] for row in page or ()})
            for row in page or ():
                if row["person"] in names:
                    yield _stored_face(row, model, names[row["person"]])
                last = row["id"]

    def levelled(self, models: Mapping[str, Model]) -> dict[str, str]:
        """Returns the pipeline id of a face levelled by a former version, by model hash."""
        found = {}
        for sha256, model in models.items():
            for row in next(
                self.tables.pages(model.faces, is_one("levelled", 1), ["settings"]), []
            ):
                found[sha256] = row["settings"]
        return found


def _without_name(row: Row, name: str) -> Row:
    return row | {"source": without_name(row["source"], name)}


def check_lengths(faces: Iterable[NewFace]) -> None:
    """Raises OptionError if a text is too long for Milvus."""
    for face in faces:
        for field, most in TEXT_LIMITS.items():
            if len(getattr(face, field).encode()) > most:
                raise OptionError(
                    f"the {field} of '{face.person}' is longer than {most} bytes",
                    "Milvus keeps no more; shorten it",
                )


def _stored_face(row: Row, model: Model, name: str) -> StoredFace:
    expires = None if row["expires"] == NEVER else timestamps.written(row["expires"])
    return StoredFace(
        id=row["id"], person=name, vector=np.array(row["vector"], dtype=np.float32),
        model=model.name, model_sha256=model.sha256, pipeline_id=row["settings"],
        quality_score=row["usability"], photo=row["source"], photo_sha256=row["source_sha256"],
        created=timestamps.written(row["created"]), expires=expires, has_crop=bool(row["crop"]),
    )  # fmt: skip
