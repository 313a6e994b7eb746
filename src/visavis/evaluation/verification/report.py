"""Verification report: one self-contained HTML page without scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.errors import VisavisError
from visavis.evaluation import pages
from visavis.evaluation.scores.table import ScoreFile
from visavis.evaluation.verification import plots
from visavis.evaluation.verification.records import Summary
from visavis.evaluation.verification.run import Evaluation
from visavis.faces import align
from visavis.types import Face, Image
from visavis.version import __version__

MOST: Final = 12


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst rows of a score file, worst first.

    Attributes:
        matches: the non-mated pairs with the highest scores.
        non_matches: the mated pairs with the lowest scores.
    """

    matches: tuple[int, ...]
    non_matches: tuple[int, ...]


def worst(scores: ScoreFile, *, most: int = MOST) -> Worst:
    """Returns the ``most`` worst pairs of each kind.

    Args:
        scores: the score file.
        most: most pairs of a kind.
    """

    def first(rows: NDArray[np.bool_], badness: NDArray[np.float64]) -> tuple[int, ...]:
        places = np.flatnonzero(rows)
        order = np.argsort(-badness[places], kind="stable")[:most]
        return tuple(places[order].tolist())

    return Worst(
        matches=first(scores.scored & ~scores.same, scores.score),
        non_matches=first(scores.scored & scores.same, -scores.score),
    )


def write(
    path: Path,
    scores: ScoreFile,
    summary: Summary,
    *,
    pictures: Mapping[int, tuple[str, str]] | None = None,
) -> None:
    """Writes the report atomically; creates the folder.

    Args:
        path: the HTML file.
        scores: the score file.
        summary: its metrics.
        pictures: data URIs of both faces by row; ``None`` to show no faces.

    Raises:
        DataError: the file cannot be written.
    """
    pages.save(path, render(scores, summary, pictures=pictures), private=pictures is not None)


def render(
    scores: ScoreFile,
    summary: Summary,
    *,
    pictures: Mapping[int, tuple[str, str]] | None = None,
) -> str:
    """Returns the page as text; see ``write``."""
    from markupsafe import Markup

    env = pages.environment()
    found = worst(scores)
    points = summary.about.projection
    return env.get_template("report.html.jinja").render(
        s=summary,
        about=summary.about,
        version=__version__,
        style=Markup(env.get_template("report.css").render()),
        figures={
            name: Markup(text)
            for name, text in (
                ("roc", plots.roc(scores, summary)),
                ("det", plots.det(scores, summary)),
                ("histogram", plots.histogram(scores, summary)),
                ("rates", plots.rates(scores, summary)),
                ("reliability", plots.reliability(scores, summary)),
                ("projection", plots.projection(points) if points else ""),
            )
        },
        worst_matches=[_pair(scores, row, pictures) for row in found.matches],
        worst_non_matches=[_pair(scores, row, pictures) for row in found.non_matches],
        pictures=pictures is not None,
    )


def _pair(
    scores: ScoreFile, row: int, pictures: Mapping[int, tuple[str, str]] | None
) -> dict[str, Any]:
    return {
        "a": scores.a[row],
        "b": scores.b[row],
        "score": float(scores.score[row]),
        "pictures": (pictures or {}).get(row),
    }


SIDE: Final = 144


def pictures_of(evaluation: Evaluation, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Returns data URIs of both aligned faces of some pairs.

    Args:
        evaluation: a scored protocol whose photos still exist.
        rows: indices of the pairs.

    Returns:
        JPEG data URIs of ``SIDE`` pixels by row; missing photos are left out.
    """
    protocol, embedded = evaluation.protocol, evaluation.embedded
    found: dict[int, tuple[str, str]] = {}
    for row in rows:
        i, j = int(protocol.first[row]), int(protocol.second[row])
        left, right = embedded.vectors[i], embedded.vectors[j]
        if not len(left) or not len(right):
            continue
        best = np.unravel_index(int((left @ right.T).argmax()), (len(left), len(right)))
        try:
            pair = [
                _picture(images.decode(protocol.photos[k]), embedded.faces[k], int(which))
                for k, which in ((i, best[0]), (j, best[1]))
            ]
        except VisavisError:
            # The photo was deleted after embedding: the report leaves it out.
            continue
        found[row] = (pair[0], pair[1])
    return found


def _picture(photo: Image, faces: tuple[Face, ...], which: int) -> str:
    from PIL import Image as Pictures

    crop = align.crop(photo, faces[which].landmarks, size=SIDE)
    buffer = io.BytesIO()
    Pictures.fromarray(crop).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
