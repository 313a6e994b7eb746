"""Contact sheet: an album as one self-contained HTML page."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.albums.records import Album, AlbumCluster
from visavis.albums.writing import private_text
from visavis.faces.quality import POOR
from visavis.plots import pages as templates_of
from visavis.version import __version__

MOST_FACES: Final = 12_000
"""Most faces on a page. Larger collections show fewer faces per person."""

_TOP: Final = 13
_STEPS: Final = (1000, 300, 100, 50, 25, 12, 6, 3, 1)


def shown(album: Album) -> dict[int, tuple[int, ...]]:
    """Returns the faces to show per cluster: all if at most ``MOST_FACES``, else the most typical
    and some doubtful ones of each."""
    fitting = [c for c in album.clusters if len(c.faces) >= album.settings.min_size]
    room = next(
        (step for step in _STEPS if sum(min(len(c.faces), step) for c in fitting) <= MOST_FACES),
        1,
    )
    answer: dict[int, tuple[int, ...]] = {}
    for cluster in fitting[:MOST_FACES]:
        faces = cluster.faces
        # Doubtful faces are last; a partial cluster shows some of both kinds.
        unsure = min(cluster.doubtful, room // 3) if len(faces) > room else 0
        last = faces[len(faces) - unsure :] if unsure else ()
        answer[cluster.id] = (*faces[: room - unsure], *last)
    return answer


def write(path: Path, album: Album, pictures: Mapping[int, bytes]) -> None:
    """Writes the page atomically.

    Args:
        path: the HTML file, in the results folder for ``visavis cluster fix``.
        album: the album.
        pictures: JPEG by face; empty to show no faces.

    Raises:
        DataError: it cannot be written.
    """
    page = render(album, pictures, out=path.parent)
    with private_text(path) as file:
        file.write(page)


def render(album: Album, pictures: Mapping[int, bytes], *, out: Path) -> str:
    """Returns the page as text; see ``write``."""
    from markupsafe import Markup

    environment = templates_of("visavis.albums")
    environment.filters["count"] = lambda value: f"{value:,}"
    photos = {file.sha256: file.photo for file in reversed(album.files)}
    faces = {
        number: {
            "ref": face.ref, "number": face.number, "cluster": face.cluster,
            "photo": photos.get(face.photo_sha256, "?"), "doubt": face.doubt,
            "poor": face.quality_score < POOR,
            "confirmed": face.confirmed, "first": False, "picture": number in pictures,
        }
        for number, face in album.faces.items()
    }  # fmt: skip
    on_page = shown(album)
    clusters = {one.id: one for one in album.clusters}
    cards = [_card(clusters[number], on_page[number], faces) for number in on_page]
    return environment.get_template("sheet.html.jinja").render(
        title=Path(album.settings.root).name or album.settings.root,
        s=album.settings,
        run=album.run,
        made=album.made[:16].replace("T", ", "),
        counts=album.counts(),
        merged=merge_lines(album),
        fix=shlex.join(["visavis", "cluster", "fix", str(out)]),
        pairs=[
            {
                "a": _side(clusters[pair.a], faces),
                "b": _side(clusters[pair.b], faces),
                "score": pair.score,
                "one_in": _one_in(pair.fmr),
            }
            for pair in album.likely_same
            if pair.a in on_page and pair.b in on_page
        ],
        # Clusters of poor faces only are hard to judge: last.
        cards=sorted(
            (card for card in cards if card["size"] > 1 or card["name"]),
            key=lambda card: not card["name"] and all(face["poor"] for face in card["top"]),
        ),
        once=_once([c["top"][0] for c in cards if c["size"] == 1 and not c["name"]]),
        hidden_clusters=len(album.clusters) - len(on_page),
        with_pictures=bool(pictures),
        pictures=[
            (f"f{face}", base64.b64encode(pictures[face]).decode("ascii"))
            for face in sorted({face for some in on_page.values() for face in some})
            if face in pictures
        ],
        rate=lambda value: f"{100 * value:g} %",
        version=__version__,
        style=Markup(environment.get_template("sheet.css").render()),
        script=Markup(environment.get_template("sheet.js").render()),
    )


def _one_in(share: float) -> str:
    """Formats a share in words, with two significant digits.

    >>> _one_in(0.0123), _one_in(float("nan"))
    ('1 in 81', '')
    """
    if not share > 0:
        return ""
    return f"1 in {float(f'{1 / share:.2g}'):,.0f}"


def merge_lines(album: Album) -> list[str]:
    """Returns sentences about merged clusters."""
    photos = {file.sha256: file.photo for file in reversed(album.files)}
    lines = []
    for one in album.merged:
        who = f"{', '.join(map(str, one.gone))} and {one.kept}"
        between = [f"f{face} in {photos.get(album.faces[face].photo_sha256, '?')}"
                   for face in one.faces[:4] if face in album.faces]  # fmt: skip
        more = ", …" if len(one.faces) > 4 else ""
        why = f"new photos between them: {', '.join(between)}{more}" if between else "by your list"
        lines.append(f"clusters {who} are now one, {one.kept}; {why}")
    return lines


def _once(faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Single faces, good ones first."""
    poor = "Blurred, small or turned away: nobody can say who they are."
    return [
        {
            "id": "once", "title": "Seen once", "text": "",
            "faces": [face for face in faces if not face["poor"]],
        },
        {
            "id": "poor", "title": "Too poor to tell", "text": poor,
            "faces": [face for face in faces if face["poor"]],
        },
    ]  # fmt: skip


def _card(
    cluster: AlbumCluster, on_page: tuple[int, ...], faces: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    doubtful = [face for face in on_page if faces[face]["doubt"]]
    sure = [face for face in on_page if not faces[face]["doubt"]]
    top = [*sure[: max(_TOP - len(doubtful), _TOP // 2)], *doubtful[: _TOP // 2]]
    if len(on_page) - len(top) <= 3:
        top = list(on_page)
    inside = set(top)
    faces[top[0]]["first"] = True
    return {
        "id": cluster.id,
        "name": cluster.name,
        "named_by": cluster.named_by,
        "name_score": cluster.name_score,
        "size": len(cluster.faces),
        "photos": cluster.photos,
        "cohesion": cluster.cohesion if np.isfinite(cluster.cohesion) else None,
        "doubtful": cluster.doubtful,
        "top": [faces[face] for face in top],
        "folded": [faces[face] for face in on_page if face not in inside],
        "left_out": len(cluster.faces) - len(on_page),
    }


def _side(cluster: AlbumCluster, faces: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    top = [faces[face] for face in cluster.faces[:6]]
    return {
        "id": cluster.id,
        "name": cluster.name,
        "size": len(cluster.faces),
        "top": [face for face in top if face["picture"]],
    }
