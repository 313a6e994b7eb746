"""Clustering report: one self-contained HTML page without scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visavis.errors import writing_to
from visavis.evaluation import pages
from visavis.evaluation.clustering import plots, tables
from visavis.evaluation.clustering.records import ClusteringEvaluation, LabelledFaces
from visavis.metrics.clustering import contingency
from visavis.types import Record
from visavis.version import __version__
from visavis.writing import private_folder, replacing


def write(folder: Path, result: ClusteringEvaluation) -> None:
    """Writes report.html, summary.json and clusters.csv, each atomically.

    Raises:
        DataError: a file cannot be written.
    """
    with writing_to(folder):
        private_folder(folder)
        tables.write(folder / "clusters.csv", result.faces)
        summary = json.dumps(result.to_dict(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        for name, text in (("summary.json", summary), ("report.html", render(result))):
            with replacing(folder / name, private=True) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def render(result: ClusteringEvaluation) -> str:
    """Returns the page as text."""
    from markupsafe import Markup

    environment = pages.environment()
    environment.filters.update(setting=plots.row_name)
    summary = result.summary
    return environment.get_template("clustering.html.jinja").render(
        s=summary,
        asked=summary.asked,
        version=__version__,
        style=Markup(environment.get_template("report.css").render()),
        figures={
            name: Markup(text)
            for name, text in (
                ("pairwise", plots.over_settings(summary, "pairwise")),
                ("bcubed", plots.over_settings(summary, "bcubed")),
                ("sizes", plots.cluster_sizes(summary)),
            )
        },
        mixed=mixed(result.faces),
        divided=divided(result.faces),
    )


@dataclass(frozen=True, slots=True)
class Mistake(Record):
    """A cluster of several people, or a person in several clusters.

    Attributes:
        name: the cluster or the person.
        faces: number of faces.
        parts: people (or clusters) with their number of faces, largest first.
        pairs: wrong pairs of faces in it (or missed pairs).
    """

    name: str
    faces: int
    parts: tuple[tuple[str, int], ...]
    pairs: int


def mixed(faces: LabelledFaces, *, most: int = 10) -> list[Mistake]:
    """Returns the clusters with the most pairs of two people.

    >>> found = LabelledFaces(("a", "b", "c"), ("Eva", "Eva", "Max"), np.array([4, 4, 4]))
    >>> mixed(found)[0].parts, mixed(found)[0].pairs
    ((('Eva', 2), ('Max', 1)), 2)
    """
    return _mistakes(faces, most, by_person=False)


def divided(faces: LabelledFaces, *, most: int = 10) -> list[Mistake]:
    """Returns the people with the most pairs of faces in different clusters.

    >>> found = LabelledFaces(("a", "b", "c"), ("Eva", "Eva", "Max"), np.array([4, 5, 5]))
    >>> divided(found)
    [Mistake(name='Eva', faces=2, parts=(('4', 1), ('5', 1)), pairs=1)]
    """
    return _mistakes(faces, most, by_person=True)


def _mistakes(faces: LabelledFaces, most: int, *, by_person: bool) -> list[Mistake]:
    there = faces.cluster >= 0
    people, clusters = np.array(faces.person)[there], faces.cluster[there]
    if not len(clusters):
        return []
    table = contingency(people, clusters)
    names, numbers = np.unique(people), np.unique(clusters)
    whole, part = (table.person, table.cluster) if by_person else (table.cluster, table.person)
    titles, parts = (names, numbers) if by_person else (numbers, names)
    size = table.people if by_person else table.clusters
    inside = np.zeros(len(size), dtype=np.int64)
    np.add.at(inside, whole, table.count * (table.count - 1) // 2)
    pairs = size * (size - 1) // 2 - inside
    found = []
    for k in np.argsort(-pairs, kind="stable")[:most].tolist():
        if pairs[k] == 0:
            break
        own = np.flatnonzero(whole == k)
        own = own[np.argsort(-table.count[own], kind="stable")]
        found.append(
            Mistake(
                name=str(titles[k]),
                faces=int(size[k]),
                parts=tuple((str(parts[part[c]]), int(table.count[c])) for c in own.tolist()),
                pairs=int(pairs[k]),
            )
        )
    return found
