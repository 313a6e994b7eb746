"""visavis: is this the same person?

>>> import visavis
>>> answer = visavis.verify("a.jpg", "b.jpg")  # doctest: +SKIP
>>> answer.same, answer.score, answer.threshold, answer.fmr  # doctest: +SKIP
(True, 0.71, 0.37, 0.001)

Everything heavy is imported when first used, so ``import visavis`` costs a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from visavis.pipeline import Recognizer, Verification, detect, embed, verify
    from visavis.types import Face, OperatingPoint, Quality, Template

__all__ = [
    "Face",
    "OperatingPoint",
    "Quality",
    "Recognizer",
    "Template",
    "Verification",
    "__version__",
    "detect",
    "embed",
    "verify",
]

_FROM_PIPELINE = {"Recognizer", "Verification", "detect", "embed", "verify"}
_FROM_TYPES = {"Face", "OperatingPoint", "Quality", "Template"}


def __getattr__(name: str) -> Any:
    if name in _FROM_PIPELINE:
        from visavis import pipeline

        return getattr(pipeline, name)
    if name in _FROM_TYPES:
        from visavis import types

        return getattr(types, name)
    msg = f"module 'visavis' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
