"""Files of former versions: what is recognized in them, so that it is read, or refused by name.

Former versions changed SFace's templates after the network ("levelled" them). The pipeline ids of
galleries, albums and calibrations made with such templates end in ``levelled`` and eight
hexadecimal digits. Templates are plain now: scores of the two kinds are not comparable.
"""

from __future__ import annotations

import re
from typing import Any, Final

MODEL_FIELDS: Final = frozenset({"levelling"})
"""Fields of a model's entry that mean nothing any more."""

RENAMED: Final = {
    "settings": "pipeline_id", "strangers": "fmr_curve", "licence": "license", "colour": "color",
}  # fmt: skip
"""Names in calibrations, score files, albums and models of former versions -> their names now."""

ENROLL_AGAIN: Final = "enroll everybody again from the photos, in a new gallery: `visavis enroll`"
SORT_AGAIN: Final = (
    "sort again: `visavis cluster DIR --out OUT --anew`; corrections hold, and clusters keep their "
    "numbers where most of their faces stay"
)
ZIP_EXPORT: Final = (
    "is a zip of Parquet tables, as visavis 0.1.0 exported galleries until November 2026; this "
    "version reads SQLite files",
    "export the gallery again with this version; where only the file is left, import it with the "
    "visavis that wrote it, and export that gallery with this one",
)
"""Problem and remedy for an exported gallery of a former version."""


def renamed(plain: Any) -> Any:
    """Returns JSON values of a former version with today's names, at every depth.

    >>> renamed({"points": [{"settings": "yunet, plain"}]})
    {'points': [{'pipeline_id': 'yunet, plain'}]}
    """
    if isinstance(plain, dict):
        return {RENAMED.get(key, key): renamed(value) for key, value in plain.items()}
    return [renamed(value) for value in plain] if isinstance(plain, list) else plain


def levelled(pipeline_id: str) -> bool:
    """Whether a pipeline id (``Recognizer.pipeline_id``) is that of levelled templates.

    >>> levelled("yunet-2023mar, similarity-5pt-112*0.97, plain levelled b9c16127")
    True
    >>> levelled("yunet-2023mar, similarity-5pt-112*0.97, plain")
    False
    """
    return re.search(r" levelled [0-9a-f]{8}(?=,|$)", pipeline_id) is not None


def incomparable(what: str, pipeline_id: str) -> str:
    """Returns the message for something made with levelled templates.

    Args:
        what: the beginning of a sentence, up to its verb.
        pipeline_id: of the pipeline that made them.
    """
    return (
        f"{what} with levelled templates of a former version ({pipeline_id}), which are not "
        "comparable with those of this one"
    )
