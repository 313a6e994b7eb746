"""Files of former versions: what is recognized in them, so that it is read, or refused by name.

Former versions changed SFace's templates after the network ("levelled" them). The settings of
galleries, albums and calibrations made with such templates end in ``levelled`` and eight
hexadecimal digits. Templates are plain now: scores of the two kinds are not comparable.
"""

from __future__ import annotations

import re
from typing import Final

MODEL_FIELDS: Final = frozenset({"levelling"})
"""Fields of a model's entry that mean nothing any more."""

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
"""What is wrong with an exported gallery of a former version, and what to do."""


def levelled(settings: str) -> bool:
    """Whether settings (``Recognizer.settings``) are those of levelled templates.

    >>> levelled("yunet-2023mar, similarity-5pt-112*0.97, plain levelled b9c16127")
    True
    >>> levelled("yunet-2023mar, similarity-5pt-112*0.97, plain")
    False
    """
    return re.search(r" levelled [0-9a-f]{8}(?=,|$)", settings) is not None


def incomparable(what: str, settings: str) -> str:
    """What an error says of something made with levelled templates.

    Args:
        what: the beginning of a sentence, up to its verb.
        settings: of the pipeline that made them.
    """
    return (
        f"{what} with levelled templates of a former version ({settings}), which are not "
        "comparable with those of this one"
    )
