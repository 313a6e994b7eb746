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


def levelled(settings: str) -> bool:
    """Whether settings (``Recognizer.settings``) are those of levelled templates.

    >>> levelled("yunet-2023mar, similarity-5pt-112*0.97, plain levelled b9c16127")
    True
    >>> levelled("yunet-2023mar, similarity-5pt-112*0.97, plain")
    False
    """
    return re.search(r" levelled [0-9a-f]{8}(?=,|$)", settings) is not None
