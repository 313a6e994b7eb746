"""Searches a gallery on Milvus: Milvus finds candidates, NumPy computes exact scores."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain, people_mean
from visavis.errors import ModelMismatchError, OptionError
from visavis.gallery.entries import usable_vectors
from visavis.gallery.fusion import FUSIONS, fused_scores
from visavis.gallery.milvus.faces import Model
from visavis.gallery.milvus.options import score_error, search_parameters
from visavis.gallery.milvus.people import People
from visavis.gallery.milvus.tables import MOST_HITS, Row, Tables
from visavis.gallery.records import Match
from visavis.gallery.store import Fusion
from visavis.types import Vectors

_PROBES: Final = 64
_SCANNED: Final = 200_000
_AVERAGED: Final = 20_000
_CANDIDATES: Final = 64


class MilvusSearch:
    """Finds the people closest to probes.

    Milvus returns candidates: faces for ``max``, mean templates for the means. More are requested
    while others may score as high as the k-th, including the error of the index's quantization, up
    to Milvus's limit of 16,384 per probe. Then the candidates' templates are read and scored as in
    a SQLite gallery, so that both return the same scores. With a domain, candidates are those
    closest to ``Domain.query``, as in a SQLite gallery.
    """

    def __init__(self, tables: Tables, people: People) -> None:
        self.tables, self.people = tables, people

    def checked(self, vectors: Vectors, model: Model | None, k: int, fusion: str) -> Vectors:
        """Returns checked probes.

        Raises:
            OptionError, ModelMismatchError: see ``GalleryStore.search``.
        """
        probes = usable_vectors(vectors)
        if k < 1:
            raise OptionError(f"k is {k}", "ask for at least 1 person")
        require_fusion(fusion)
        if model is not None and probes.shape[1] != model.dimension:
            raise ModelMismatchError(
                f"the probes have {probes.shape[1]} numbers, templates of {model.name} "
                f"({model.sha256[:12]}) have {model.dimension}",
                "embed the probes with that model",
            )
        return probes

    def search(
        self, probes: Vectors, model: Model, *, k: int, fusion: Fusion,
        domain: Domain | None = None,
    ) -> list[list[Match]]:  # fmt: skip
        """Returns the ``k`` closest people to each probe. See ``GalleryStore.search``."""
        answers: list[list[Match]] = []
        queries = probes
        if domain is not None:
            probes = domain.apply(probes, side="b")
            queries = domain.query(probes)
        for start in range(0, len(probes), _PROBES):
            part = slice(start, start + _PROBES)
            candidates = self._candidates(
                queries[part], model, k=k, fusion=fusion, all_hits=domain is not None
            )
            answers += self._scored(
                probes[part], candidates, model, k=k, fusion=fusion, domain=domain
            )
        return answers

    def _candidates(
        self, probes: Vectors, model: Model, *, k: int, fusion: Fusion, all_hits: bool
    ) -> list[list[str]]:
        table = dict(zip(FUSIONS, (model.faces, *model.means), strict=True))[fusion]
        found: list[list[str]] = [[] for _ in probes]
        open_ = list(range(len(probes)))
        limit = min(max(4 * k, _CANDIDATES if all_hits else 32), MOST_HITS)
        doubt = 2 * score_error(self.tables.index)  # of the k-th, and of those that may precede it
        while open_:
            hits = self._hits(table, probes[open_], limit)
            people = self.people.names({_owner(hit) for each in hits for hit in each})
            unsure = []
            for at, each in zip(open_, hits, strict=True):
                best: dict[str, float] = {}
                for hit in each:
                    person = _owner(hit)
                    if person in people:
                        best[person] = max(best.get(person, -2.0), hit["distance"])
                ranked = sorted(best.values(), reverse=True)
                enough = len(ranked) >= k and not all_hits
                least = ranked[k - 1] - doubt if enough else -2.0
                found[at] = [person for person, score in best.items() if score >= least]
                last = each[-1]["distance"] if each else -2.0
                if len(each) == limit and last >= least and (len(best) < k or not all_hits):
                    unsure.append(at)
            if limit == MOST_HITS:
                break
            open_, limit = unsure, min(limit * 4, MOST_HITS)
        return found

    def _hits(self, table: str, probes: Vectors, limit: int) -> list[list[Row]]:
        fields = ["person"] if table.startswith("faces_") else []
        parameters = search_parameters(self.tables.index, self.tables.options.recall, limit=limit)
        return self.tables.search(table, probes, limit=limit, fields=fields, parameters=parameters)

    def _scored(
        self, probes: Vectors, candidates: list[list[str]], model: Model, *, k: int,
        fusion: Fusion, domain: Domain | None,
    ) -> list[list[Match]]:  # fmt: skip
        everybody = {person for each in candidates for person in each}
        names = self.people.names(everybody)
        faces: dict[str, list[Row]] = defaultdict(list)
        fields = ["id", "person", "usability", "vector"]
        for row in self.tables.read(model.faces, "person", sorted(names), fields):
            faces[row["person"]].append(row)
        held = {person: _Held(sorted(rows, key=_number), domain) for person, rows in faces.items()}
        answers = []
        for probe, each in zip(probes, candidates, strict=True):
            matches = [
                held[person].match(probe, person, names[person], fusion)
                for person in each
                if person in held
            ]
            answers.append(sorted(matches, key=lambda m: (-m.score, m.person))[:k])
        return answers

    def non_mated(
        self, model: Model, *, most: int, fusion: Fusion, domain: Domain | None
    ) -> NDArray[np.float32]:
        """Returns non-mated scores. See ``GalleryStore.non_mated``.

        Draws people from the first 200,000 faces only.
        """
        owners = self._owners(model)
        there = self.people.names(owners)
        people = sorted(person for person in owners if person in there)
        rng = np.random.default_rng(0)
        picked: dict[int, str] = {}
        for at in rng.permutation(len(people))[: max(most, 0)].tolist():
            numbers = owners[people[at]]
            picked[numbers[int(rng.integers(len(numbers)))]] = people[at]
        found = self.tables.read(model.faces, "id", sorted(picked), ["id", "vector"])
        rows = {row["id"]: row["vector"] for row in found}
        numbers = [number for number in picked if number in rows]
        if len(people) < 2 or not numbers:
            return np.zeros(0, dtype=np.float32)
        probes = np.array([rows[number] for number in numbers], dtype=np.float32)
        answers = self.search(probes, model, k=2, fusion=fusion, domain=domain)
        closest = [
            next((match.score for match in matches if match.person_id != picked[number]), None)
            for number, matches in zip(numbers, answers, strict=True)
        ]
        return np.array([score for score in closest if score is not None], dtype=np.float32)

    def mean(self, model: Model) -> tuple[NDArray[np.float32], int] | None:
        """Returns mean and number of people of the first faces. See ``GalleryStore.mean``."""
        rows: list[Row] = []
        for page in self.tables.pages(model.faces, "", ["person", "vector"]):
            rows += page
            if len(rows) >= _AVERAGED:
                break
        there = self.people.names({row["person"] for row in rows})
        rows = [row for row in rows if row["person"] in there]
        if not rows:
            return None
        owners = np.unique([row["person"] for row in rows], return_inverse=True)[1]
        vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
        return people_mean(vectors, owners), len(there)

    def _owners(self, model: Model) -> dict[str, list[int]]:
        owners: dict[str, list[int]] = defaultdict(list)
        scanned = 0
        for rows in self.tables.pages(model.faces, "", ["person"]):
            for row in rows:
                owners[row["person"]].append(row["id"])
            scanned += len(rows)
            if scanned >= _SCANNED:
                break
        return owners


def require_fusion(fusion: str) -> None:
    """Checks the name of a fusion.

    Raises:
        OptionError: not one of ``FUSIONS``.
    """
    if fusion not in FUSIONS:
        raise OptionError(f"the fusion {fusion!r}", f"choose one of {', '.join(FUSIONS)}")


def _owner(hit: Row) -> str:
    return str(hit.get("person", hit["id"]))


def _number(row: Row) -> int:
    return int(row["id"])


class _Held:
    """One person's templates, sorted by number."""

    def __init__(self, rows: list[Row], domain: Domain | None) -> None:
        self.numbers = [int(row["id"]) for row in rows]
        self.vectors: Vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
        if domain is not None:
            self.vectors = domain.apply(self.vectors)
        self.quality_score = np.array([row["usability"] for row in rows])
        self.owners: NDArray[Any] = np.zeros(len(rows), dtype=np.int64)

    def match(self, probe: NDArray[np.float32], person: str, name: str, fusion: Fusion) -> Match:
        each = np.clip(self.vectors @ probe, -1, 1)
        best = int(np.argmax(each))
        score = float(each[best])
        if fusion != "max":
            fused = fused_scores(
                probe[None],
                self.vectors,
                self.owners,
                fusion=fusion,
                quality_score=self.quality_score,
            )
            score = float(fused[0, 0])
        return Match(
            person=name, person_id=person, score=score, best_score=float(each[best]),
            best_face=self.numbers[best], faces=len(self.numbers),
        )  # fmt: skip
