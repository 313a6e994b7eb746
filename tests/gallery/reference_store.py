"""The simplest ``GalleryStore`` that passes the contract: it pickles everything at every write."""

from __future__ import annotations

import hashlib
import json
import pickle
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from tests.contracts.gallery_model import GalleryModel, nfc

from visavis.errors import (
    GalleryError,
    ModelMismatchError,
    OptionError,
    PersonExistsError,
    UnknownFaceError,
    UnknownPersonError,
)
from visavis.gallery.records import (
    AuditEntry,
    CheckReport,
    GalleryInfo,
    Match,
    NewFace,
    Person,
    StoredFace,
)

_LOCK = threading.RLock()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


class ReferenceStore:
    """Everything in ``gallery.pickle``, read and written whole. Slow and plain on purpose."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gallery.pickle"
        self._closed = False
        if not self._path.exists():
            self._save({
                "model": GalleryModel(), "ids": {}, "made": {}, "times": {}, "audit": [], "next": 1,
            })  # fmt: skip

    def _load(self) -> dict[str, Any]:
        if self._closed:
            raise GalleryError("the gallery is closed", "open it again")
        with _LOCK:
            return pickle.loads(self._path.read_bytes())

    def _save(self, everything: dict[str, Any]) -> None:
        self._path.write_bytes(pickle.dumps(everything))

    def _write(self, action: str, act: Callable[[dict[str, Any]], tuple[str, Any, Any]]) -> Any:
        """Changes a copy and saves it with an audit entry, or raises and saves nothing."""
        with _LOCK:
            everything = self._load()
            subject, details, result = act(everything)
            if details is not None:
                text = json.dumps(details, allow_nan=False)
                last = everything["audit"][-1].hash if everything["audit"] else ""
                seq, time = len(everything["audit"]) + 1, _now()
                body = f"{last}{seq}{time}{action}{subject}{text}"
                digest = hashlib.sha256(body.encode()).hexdigest()
                everything["audit"].append(
                    AuditEntry(seq, time, action, subject, json.loads(text), digest)
                )
            self._save(everything)
            return result

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        def act(e: dict[str, Any]) -> tuple[str, Any, list[int]]:
            refusal = e["model"].refusal(list(faces))
            if refusal is not None:
                raise refusal("a face", "give another")
            for f in faces:
                bad = not 0 <= f.quality_score <= 1 or not set(f.model_sha256) <= set(
                    "0123456789abcdef"
                )
                if bad or (f.expires and _instant(f.expires) is None):
                    raise OptionError("a field", "give another")
            numbers = list(range(e["next"], e["next"] + len(faces)))
            e["next"] += len(faces)
            copies = [replace(f, vector=np.array(f.vector, np.float32)) for f in faces]
            e["model"].add(copies, numbers)
            for number, f in zip(numbers, copies, strict=True):
                e["times"][number] = _now()
                e["ids"].setdefault(nfc(f.person), secrets.token_hex(8))
                e["made"].setdefault(nfc(f.person), _now())
            return "", {"faces": len(faces)} if faces else None, numbers

        return self._write("enrol", act)

    def _person(self, e: dict[str, Any], name: str) -> Person:
        return Person(
            name, e["ids"][name], e["model"].counts(name), e["model"].people[name], e["made"][name]
        )

    def people(self) -> Iterator[Person]:
        e = self._load()
        return iter([self._person(e, name) for name in sorted(e["model"].people)])

    def person(self, name: str, /) -> Person:
        e = self._load()
        if nfc(name) not in e["model"].people:
            similar = get_close_matches(name, e["model"].people)
            raise UnknownPersonError(f"nobody is called {name}", f"perhaps {similar}")
        return self._person(e, nfc(name))

    def name_of(self, person_id: str, /) -> str:
        for name, number in self._load()["ids"].items():
            if number == person_id:
                return name
        raise UnknownPersonError("nobody has this id", "list people")

    def set_expiry(self, name: str, expires: str | None, /) -> None:
        def act(e: dict[str, Any]) -> tuple[str, Any, None]:
            if expires is not None and _instant(expires) is None:
                raise OptionError("a time", "give another")
            e["model"].set_expiry(name, expires)
            return e["ids"][nfc(name)], {}, None

        self._write("expiry", act)

    def add_person(self, name: str, /) -> None:
        def act(e: dict[str, Any]) -> tuple[str, Any, None]:
            if nfc(name) in e["model"].people:
                raise PersonExistsError("enrolled", "another name")
            unit = np.ones(1, dtype=np.float32)
            if (refusal := e["model"].refusal([NewFace(name, unit, "none", "0" * 64)])) is not None:
                raise refusal("a name", "give another")
            e["model"].people[nfc(name)] = {}
            e["ids"][nfc(name)], e["made"][nfc(name)] = secrets.token_hex(8), _now()
            return e["ids"][nfc(name)], {}, None

        self._write("add", act)

    def face(self, number: int, /) -> StoredFace:
        for found in self.faces(after=number - 1):
            if found.id == number:
                return found
        raise UnknownFaceError("no such face", "give another")

    def faces(
        self, *, person: str | None = None, model_sha256: str | None = None, after: int = 0
    ) -> Iterator[StoredFace]:
        e = self._load()
        wanted = None if person is None else self.person(person).name
        for n, f in sorted(e["model"].faces.items()):
            if n <= after:
                continue
            if wanted in {None, f.person} and model_sha256 in {None, f.model_sha256}:
                yield StoredFace(
                    n, f.person, f.vector, f.model, f.model_sha256, f.pipeline_id, f.quality_score,
                    f.photo, f.photo_sha256, e["times"][n], f.expires, f.crop is not None,
                )  # fmt: skip

    def crop(self, face: int, /) -> bytes | None:
        return self._load()["model"].crop(face)

    def has_person(self, name: str, /) -> bool:
        return nfc(name) in self._load()["model"].people

    def has_source(self, source_sha256: str, /, *, person: str, model_sha256: str) -> bool:
        mine = self._load()["model"].of(nfc(person), model_sha256)
        return any(f.photo_sha256 == source_sha256 for f in mine.values())

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        def act(e: dict[str, Any]) -> tuple[str, Any, None]:
            try:
                text = json.dumps(attributes, allow_nan=False, ensure_ascii=False)
                text.encode()
            except (TypeError, ValueError) as error:
                raise OptionError(str(error), "give JSON") from error
            if json.loads(text) != attributes:
                raise OptionError("attributes", "give JSON")
            e["model"].people[e["model"].known(name)] = json.loads(text)
            return e["ids"][nfc(name)], {}, None

        self._write("attributes", act)

    def rename(self, old: str, new: str, /) -> None:
        def act(e: dict[str, Any]) -> tuple[str, Any, None]:
            if e["model"].refusal([NewFace(new, np.ones(1, np.float32), "", "0" * 64)]):
                raise OptionError("a name", "give another")
            e["model"].rename(old, new)
            for names in (e["ids"], e["made"]):
                names[nfc(new)] = names.pop(nfc(old))
            return e["ids"][nfc(new)], {}, None

        self._write("rename", act)

    def merge(self, into: str, *others: str) -> None:
        def act(e: dict[str, Any]) -> tuple[str, Any, None]:
            e["model"].merge(into, *others)
            self._forget(e)
            return e["ids"][nfc(into)], {}, None

        self._write("merge", act)

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        def act(e: dict[str, Any]) -> tuple[str, Any, None]:
            if e["model"].refusal([NewFace(into, np.ones(1, np.float32), "", "0" * 64)]):
                raise OptionError("a name", "give another")
            e["model"].split(name, list(faces), into)
            e["ids"].setdefault(nfc(into), secrets.token_hex(8))
            e["made"].setdefault(nfc(into), _now())
            return e["ids"][nfc(name)], {}, None

        self._write("split", act)

    def _forget(self, e: dict[str, Any]) -> None:
        for names in (e["ids"], e["made"]):
            for name in set(names) - set(e["model"].people):
                del names[name]

    def remove(self, name: str, /) -> int:
        def act(e: dict[str, Any]) -> tuple[str, Any, int]:
            subject = e["ids"][e["model"].known(name)]
            count = e["model"].remove(name)
            self._forget(e)
            return subject, {"faces": count}, count

        return self._write("remove", act)

    def remove_faces(self, faces: Sequence[int], /, *, people: bool = False) -> int:
        def act(e: dict[str, Any]) -> tuple[str, Any, int]:
            count = e["model"].remove_faces(list(faces), people=people)
            return "", {"faces": count}, count

        return self._write("remove", act)

    def expire(self, now: str, /) -> int:
        def act(e: dict[str, Any]) -> tuple[str, Any, int]:
            if _instant(now) is None:
                raise OptionError(now, "give a time")
            count = e["model"].expire(now)
            self._forget(e)
            return "", {"faces": count}, count

        return self._write("expire", act)

    def search(
        self, vectors: Any, /, *, model_sha256: str, k: int = 5, fusion: Any = "max",
        domain: Any = None,
    ) -> list[list[Match]]:  # fmt: skip
        e = self._load()
        model = e["model"]
        lengths = np.linalg.norm(vectors, axis=-1)
        if vectors.ndim != 2 or not np.all(np.abs(lengths - 1) < 1e-3) or k < 1:
            raise OptionError("probes or k", "give others")
        if domain is not None and len(domain.mean) != vectors.shape[1]:
            raise OptionError("the domain", "give another")
        if fusion not in {"max", "mean", "weighted"}:
            raise OptionError(fusion, "give another")
        if model_sha256 in model.models and model.models[model_sha256][1] != vectors.shape[1]:
            raise ModelMismatchError("probes", "give others")
        answers = []
        for probe in vectors:
            matches = []
            for name, score in model.scores(probe, model_sha256, fusion, domain).items():
                mine = model.of(name, model_sha256)
                each = {n: model.score(probe, [f], "max", domain) for n, f in mine.items()}
                best = max(each, key=each.__getitem__)
                matches.append(
                    Match(name, e["ids"][name], min(score, 1.0), each[best], best, len(mine))
                )
            answers.append(sorted(matches, key=lambda m: (-m.score, m.person))[:k])
        return answers

    def non_mated(
        self, *, model_sha256: str, most: int = 2000, fusion: Any = "max", domain: Any = None
    ) -> np.ndarray:
        each = self._load()["model"].non_mated(model_sha256, fusion, domain)
        return np.array([max(scores) for scores in each][:most], dtype=np.float32)

    def mean(self, model_sha256: str, /) -> tuple[np.ndarray, int] | None:
        model = self._load()["model"]
        people = sum(bool(model.of(name, model_sha256)) for name in model.people)
        return (model.mean(model_sha256).astype(np.float32), people) if people else None

    def note(self, action: str, /, *, subject: str = "", details: Mapping[str, Any]) -> None:
        try:
            self._write(action, lambda e: (subject, details, None))
        except ValueError as error:
            raise OptionError(str(error), "give JSON") from error

    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        return iter([e for e in self._load()["audit"] if action in {None, e.action}])

    def info(self) -> GalleryInfo:
        e = self._load()
        shas = [f.model_sha256 for f in e["model"].faces.values()]
        return GalleryInfo(
            "reference", str(self._path), len(e["model"].people), {s: shas.count(s) for s in shas},
            {s: e["model"].models[s][0] for s in shas}, False, {}, 0, len(e["audit"]),
            levelled={
                f.model_sha256: f.pipeline_id
                for f in e["model"].faces.values()
                if " levelled " in f.pipeline_id
            },
        )  # fmt: skip

    def check(self) -> CheckReport:
        e = self._load()
        return CheckReport(True, len(e["model"].faces), len(e["audit"]))

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> ReferenceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _instant(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else None
