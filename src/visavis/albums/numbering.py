"""Cluster numbers that stay."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from visavis.clustering.clusterer import Labels


@dataclass(frozen=True, slots=True)
class Numbering:
    """Numbers for the clusters of a run.

    Attributes:
        of_label: the number of each label.
        heir: by earlier number that no label carries on, the number that its faces went to (most
            of them, if they went to several).
    """

    of_label: dict[int, int]
    heir: dict[int, int]


def number(
    labels: Labels,
    before: Sequence[int | None],
    *,
    named: Set[int] = frozenset(),
    fresh: Callable[[], int],
) -> Numbering:
    """Give each label the earlier number that most of its faces had, or a new one.

    New numbers go to the largest first. Where two labels could claim one number the one with more
    of its faces gets it; where one label could claim several, that of a cluster with a name comes
    first, then that of most faces.

    Args:
        labels: ``(N,)``.
        before: the earlier number of each face, or ``None``.
        named: earlier numbers that have a name.
        fresh: makes a number that was never used.

    >>> import numpy as np
    >>> number(np.array([0, 0, 1, 1, 2]), [7, 7, 9, 4, None], fresh=lambda: 10)
    Numbering(of_label={0: 7, 1: 4, 2: 10}, heir={9: 4})
    """
    shared: Counter[tuple[int, int]] = Counter()
    size: Counter[int] = Counter()
    for label, cluster in zip(labels.tolist(), before, strict=True):
        size[label] += 1
        if cluster is not None:
            shared[label, cluster] += 1
    ranked = sorted(
        shared.items(), key=lambda item: (item[0][1] not in named, -item[1], item[0][1])
    )
    of_label: dict[int, int] = {}
    taken: set[int] = set()
    for (label, cluster), _ in ranked:
        if label not in of_label and cluster not in taken:
            of_label[label] = cluster
            taken.add(cluster)
    for label, _ in size.most_common():  # equal ones in order of appearance
        if label not in of_label:
            of_label[label] = fresh()
    went: dict[int, Counter[int]] = defaultdict(Counter)
    for (label, cluster), count in shared.items():
        if cluster not in taken:
            went[cluster][of_label[label]] += count
    heir = {
        cluster: min(counts, key=lambda to: (-counts[to], to))
        for cluster, counts in sorted(went.items())
    }
    return Numbering({label: of_label[label] for label in size}, heir)
