"""Error rates group by group, at one threshold for all."""

from __future__ import annotations

from typing import Final

import numpy as np

from visavis.evaluation.scores.table import ScoreFile
from visavis.evaluation.verification.records import Group, Interval
from visavis.metrics.intervals import proportion_interval
from visavis.metrics.verification import eer, roc_auc

_NAN: Final = float("nan")


def by_group(scores: ScoreFile, threshold: float) -> tuple[Group, ...]:
    """One row a group, in the order of their names; none where the list has no groups.

    A threshold of its own would hide from each group what the others pay: users get one threshold,
    so groups are compared at one.

    Args:
        scores: the score file.
        threshold: the one that all groups share; NaN to leave FMR and FNMR out.
    """
    if scores.group is None:
        return ()
    rows = []
    for name in sorted(set(scores.group.tolist())):
        own = scores.group == name
        scored = own & scores.scored
        mated = scores.score[scored & scores.same]
        non_mated = scores.score[scored & ~scores.same]
        both = len(mated) > 0 and len(non_mated) > 0
        fmr, fmr_ci = _share(int((non_mated >= threshold).sum()), len(non_mated), threshold)
        fnmr, fnmr_ci = _share(int((mated < threshold).sum()), len(mated), threshold)
        rows.append(
            Group(
                group=name,
                pairs=int(own.sum()),
                failures=int((own & ~scores.scored).sum()),
                mated=len(mated),
                non_mated=len(non_mated),
                auc=roc_auc(mated, non_mated) if both else _NAN,
                eer=eer(mated, non_mated) if both else _NAN,
                fmr=fmr,
                fmr_ci=fmr_ci,
                fnmr=fnmr,
                fnmr_ci=fnmr_ci,
            )
        )
    return tuple(rows)


def _share(events: int, trials: int, threshold: float) -> tuple[float, Interval]:
    if trials == 0 or np.isnan(threshold):
        return _NAN, (_NAN, _NAN)
    return events / trials, proportion_interval(events, trials)
