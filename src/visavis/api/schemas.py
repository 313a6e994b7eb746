"""JSON Schemas of answers: what ``to_dict`` of each record gives."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

_NOT_FINITE: Final = {
    "Candidate": ("llr",),
    "Identification": ("score", "fpir", "margin", "llr"),
    "OperatingPoint": ("fnmr", "target_fmr"),
    "Template": ("magnitude",),
    "FaceUsed": ("magnitude",),
    "Verification": ("llr",),
    "RateCheck": ("factor", "right_threshold", "estimated_fmr"),
}
"""Numbers that may be unknown, and are ``null`` then."""

_PAIRS_NOT_FINITE: Final = {
    "OperatingPoint": ("fnmr_ci", "fmr_ci"),
    "IdentificationPoint": ("fpir_ci",),
    "RateCheck": ("interval", "factor_interval"),
}
_NUMBERS: Final = {"type": "array", "items": {"type": "number"}}
_ARRAYS: Final = {
    "Template": {"vector": _NUMBERS},
    "Face": {"landmarks": {"type": "array", "items": _NUMBERS}},
}
_LEFT_OUT: Final = {"StoredFace": ("vector",)}
"""Fields that ``to_dict`` leaves out."""


@cache
def components(ref_template: str = "#/components/schemas/{name}") -> dict[str, Any]:
    """Returns the schemas of all answers by name.

    Args:
        ref_template: how one refers to another, with ``{name}``.
    """
    from visavis.albums.fixing import CorrectionResult
    from visavis.api.albums import CorrectionRow
    from visavis.api.photos import DetectedPhoto
    from visavis.decision.check import Check
    from visavis.gallery.records import Person, StoredFace
    from visavis.identification import EnrollRow, IdentifiedPhoto, SplitSuggestion
    from visavis.pipeline import PhotoResult, Verification
    from visavis.weights import ModelEntry

    kinds = (
        Check, CorrectionResult, CorrectionRow, DetectedPhoto, EnrollRow, IdentifiedPhoto,
        ModelEntry, Person, PhotoResult, SplitSuggestion, StoredFace, Verification,
    )  # fmt: skip
    _, found = msgspec.json.schema_components(kinds, schema_hook=_array, ref_template=ref_template)
    for name, one in found.items():
        properties = one["properties"]
        for key in _LEFT_OUT.get(name, ()):
            del properties[key]
        properties |= _ARRAYS.get(name, {})
        one["required"] = list(properties)  # to_dict gives all, defaults among them
        for key, value in properties.items():
            value.pop("default", None)
            if key in _NOT_FINITE.get(name, ()):
                value["type"] = [value["type"], "null"]
            if key in _PAIRS_NOT_FINITE.get(name, ()):
                for side in value["prefixItems"]:
                    side["type"] = [side["type"], "null"]
    return found


def _array(kind: type) -> dict[str, Any]:
    """Describes a NumPy array; ``_ARRAYS`` says more."""
    return {"type": "array"}
