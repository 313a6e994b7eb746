"""A gallery in plain dictionaries: what every ``GalleryStore`` is compared with."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from visavis.decision.domain import Domain
from visavis.errors import (
    GalleryError,
    ModelMismatchError,
    OptionError,
    PersonExistsError,
    UnknownPersonError,
)
from visavis.gallery.records import NewFace


def moved(vector: np.ndarray, domain: Domain, mean: np.ndarray) -> np.ndarray:
    """A template in the space of a domain, in float64."""
    rest = vector - mean.astype(float)
    if domain.whitening is not None:
        rest = domain.whitening.astype(float) @ rest
    return np.asarray(rest / np.sqrt(np.sum(rest**2)))


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


@dataclass
class GalleryModel:
    """People and faces; nothing here is shared with the library but the records and errors."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    faces: dict[int, NewFace] = field(default_factory=dict)
    models: dict[str, tuple[str, int]] = field(default_factory=dict)

    def refusal(self, batch: list[NewFace]) -> type[Exception] | None:
        """The error that a batch deserves."""
        lengths = {sha256: d for sha256, (_, d) in self.models.items()}
        for face in batch:
            name = nfc(face.person)
            if not 1 <= len(name) <= 200 or name != name.strip():
                return OptionError
            if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
                return OptionError
            vector = np.asarray(face.vector, dtype=np.float64)
            if vector.ndim != 1 or not abs(float(np.sqrt(np.sum(vector**2))) - 1) < 1e-3:
                return OptionError
            if lengths.setdefault(face.model_sha256, len(vector)) != len(vector):
                return ModelMismatchError
        return None

    def add(self, batch: list[NewFace], numbers: list[int]) -> None:
        """What a store did that gave these numbers."""
        assert len(numbers) == len(batch)
        for number, face in zip(numbers, batch, strict=True):
            name = nfc(face.person)
            self.people.setdefault(name, {})
            self.models.setdefault(face.model_sha256, (face.model, len(face.vector)))
            self.faces[number] = replace(face, person=name)

    def known(self, name: str) -> str:
        if nfc(name) not in self.people:
            raise UnknownPersonError("x", "y")
        return nfc(name)

    def of(self, name: str, sha256: str | None = None) -> dict[int, NewFace]:
        return {
            n: f for n, f in sorted(self.faces.items())
            if f.person == name and sha256 in {None, f.model_sha256}
        }  # fmt: skip

    def counts(self, name: str) -> dict[str, int]:
        found = [f.model_sha256 for f in self.of(name).values()]
        return {sha256: found.count(sha256) for sha256 in found}

    def rename(self, old: str, new: str) -> None:
        old, new = self.known(old), nfc(new)
        if new != old and new in self.people:
            raise PersonExistsError("x", "y")
        if new != old:
            self._erase_name(old)
        self.people[new] = self.people.pop(old)
        self._move(old, new)

    def set_expiry(self, name: str, expires: str | None) -> None:
        for n in self.of(self.known(name)):
            self.faces[n] = replace(self.faces[n], expires=expires)

    def _erase_name(self, name: str) -> None:
        for n in self.of(name):
            self.faces[n] = replace(self.faces[n], photo=_without(self.faces[n].photo, name))

    def _move(self, old: str, new: str) -> None:
        for n, f in list(self.faces.items()):
            if f.person == old:
                self.faces[n] = replace(f, person=new)

    def merge(self, into: str, *others: str) -> None:
        into, names = self.known(into), {self.known(o) for o in others}
        if into in names:
            raise OptionError("x", "y")
        for name in names:
            self._erase_name(name)
            self._move(name, into)
            del self.people[name]

    def split(self, name: str, faces: list[int], into: str) -> None:
        name, wanted, into = self.known(name), set(faces), nfc(into)
        mine = set(self.of(name))
        if not wanted or not wanted < mine or into == name:
            raise OptionError("x", "y")
        self.people.setdefault(into, {})
        for n in wanted:
            self.faces[n] = replace(self.faces[n], person=into)

    def remove(self, name: str) -> int:
        name = self.known(name)
        del self.people[name]
        return self.remove_faces(list(self.of(name)))

    def remove_faces(self, numbers: list[int], *, people: bool = False) -> int:
        gone = set(numbers) & set(self.faces)
        owners = {self.faces[n].person for n in gone}
        for n in gone:
            del self.faces[n]
        for name in owners if people else ():
            if not self.of(name):
                del self.people[name]
        return len(gone)

    def expire(self, now: str) -> int:
        when = datetime.fromisoformat(now)
        old = [
            n for n, f in self.faces.items()
            if f.expires is not None and datetime.fromisoformat(f.expires) < when
        ]  # fmt: skip
        return self.remove_faces(old, people=True)

    def crop(self, number: int) -> bytes | None:
        if number not in self.faces:
            raise GalleryError("x", "y")
        return self.faces[number].crop

    def score(
        self, probe: np.ndarray, faces: list[NewFace], fusion: str, domain: Domain | None = None
    ) -> float:
        """Fused score of one probe with one person's faces, in float64, one face after another."""
        probe = np.asarray(probe, dtype=np.float64)
        vectors = [np.asarray(f.vector, dtype=np.float64) for f in faces]
        if domain is not None:
            probe = moved(probe, domain, domain.mean if domain.mean_b is None else domain.mean_b)
            vectors = [moved(v, domain, domain.mean) for v in vectors]
        if fusion == "max":
            return max(float(np.sum(probe * v)) for v in vectors)
        weights = [1.0 if fusion == "mean" else float(f.quality_score) for f in faces]
        if sum(weights) == 0:
            weights = [1.0] * len(faces)
        mean = sum(w * v for w, v in zip(weights, vectors, strict=True)) / sum(weights)
        length = float(np.sqrt(np.sum(mean**2)))
        if length <= 1e-6:  # they cancel out: the first stands for all
            mean, length = vectors[0], 1.0
        return float(np.sum(probe * mean)) / length

    def mean(self, sha256: str) -> np.ndarray:
        """Mean of the people's mean templates."""
        mine = [list(self.of(name, sha256).values()) for name in self.people]
        return np.mean(
            [np.mean([f.vector for f in faces], axis=0, dtype=float) for faces in mine if faces],
            axis=0,
        )

    def scores(
        self, probe: np.ndarray, sha256: str, fusion: str, domain: Domain | None = None
    ) -> dict[str, float]:
        """Everybody who has templates of this model."""
        return {
            name: self.score(probe, list(self.of(name, sha256).values()), fusion, domain)
            for name in self.people
            if self.of(name, sha256)
        }

    def non_mated(
        self, sha256: str, fusion: str = "max", domain: Domain | None = None
    ) -> list[set[float]]:
        """For each person, the highest fused score with another person of each template."""
        found = []
        one_sided = None if domain is None else replace(domain, mean_b=None)
        for name in self.people:
            others = [list(self.of(o, sha256).values()) for o in self.people if o != name]
            mine = self.of(name, sha256).values()
            if any(others) and mine:
                found.append({
                    max(self.score(f.vector, o, fusion, one_sided) for o in others if o)
                    for f in mine
                })  # fmt: skip
        return found


def _without(path: str, name: str) -> str:
    """The path with an ellipsis for each whole occurrence of the name."""
    path, plain = nfc(path), nfc(name).lower().replace("_", " ")
    kept, at = "", 0
    while at < len(path):
        end = at + len(plain)
        around = (kept[-1:], path[end : end + 1])
        if path[at:end].lower().replace("_", " ") == plain and not any(map(str.isalpha, around)):
            kept, at = kept + "…", end
        else:
            kept, at = kept + path[at], at + 1
    return kept
