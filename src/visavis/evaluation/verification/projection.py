"""Templates drawn in the plane, colored by person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from visavis import plots
from visavis.evaluation.about import Projection
from visavis.evaluation.protocols import Protocol
from visavis.types import Vectors

PEOPLE: Final = 16
PHOTOS: Final = 30


def project(
    protocol: Protocol,
    vectors: Sequence[Vectors],
    *,
    people: int = PEOPLE,
    photos: int = PHOTOS,
    seed: int = 0,
) -> Projection | None:
    """t-SNE of the people with most photos in the list; ``None`` where nobody said who is who.

    Args:
        protocol: names the people.
        vectors: per photo ``(K, D)`` unit rows; the first row of each counts.
        people: most people to draw.
        photos: most photos of each, the first in the list.
        seed: decides where the iteration starts.
    """
    if protocol.people is None:
        return None
    owned: dict[str, list[int]] = defaultdict(list)
    for k, person in enumerate(protocol.people):
        if len(vectors[k]):
            owned[person].append(k)
    # Most photos first; by name among equals, so that the choice does not depend on the order.
    several = [person for person in owned if len(owned[person]) > 1]
    chosen = sorted(several, key=lambda person: (-len(owned[person]), person))[:people]
    rows = [k for person in chosen for k in owned[person][:photos]]
    found = plots.plane(np.array([vectors[k][0] for k in rows]), seed=seed)
    if found is None:
        return None
    points, how = found
    return Projection(
        labels=tuple(protocol.labels[k] for k in rows),
        people=tuple(protocol.people[k] for k in rows),
        x=tuple(round(float(x), 4) for x in points[:, 0]),
        y=tuple(round(float(y), 4) for y in points[:, 1]),
        method=f"{how}: the {len(chosen)} people with most photos in the list",
    )
