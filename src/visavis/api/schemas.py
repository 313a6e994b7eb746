"""JSON Schemas of answers: what ``to_dict`` of each record gives."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from visavis.types import Face, OperatingPoint, Quality, Record

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
        _plain_tuples(one)
    for example in _examples():
        found[type(example).__name__]["examples"] = [example.to_dict()]
    return found


def _plain_tuples(node: Any) -> None:
    """Describes tuples as arrays of a fixed length: generators of clients know no ``prefixItems``
    that ends with ``items: false``."""
    if isinstance(node, dict):
        if sides := node.pop("prefixItems", None):
            kinds = [one for k, one in enumerate(sides) if one not in sides[:k]]
            node["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        for child in node.values():
            _plain_tuples(child)
    elif isinstance(node, list):
        for child in node:
            _plain_tuples(child)


def _examples() -> tuple[Record, ...]:
    """Returns an answer of each of the usual kinds."""
    import numpy as np

    from visavis.api.photos import DetectedPhoto
    from visavis.decision.open_set import IdentificationPoint
    from visavis.gallery.records import Person
    from visavis.identification import Candidate, EnrollRow, Identification, IdentifiedPhoto
    from visavis.pipeline.records import FaceUsed, Verification

    landmarks = np.array([[52, 60], [94, 60], [73, 84], [56, 106], [90, 106]], np.float32)
    face = Face((30.0, 20.0, 90.0, 120.0), landmarks, 0.93)
    quality = Quality(42.0, 310.0, 0.48, 0.21, 2.0, -3.0, 0.5, 0.93)
    model, digest, pipeline = "sface", "fb143eea" * 8, "yunet, similarity-5pt-112, plain"
    data, said = "LFW View 1 training people", "this score is at least 1,000,000 times likelier"
    point = OperatingPoint(model, digest, 0.4466, 1e-4, (3.2e-5, 3.2e-4), 0.012, data, 8_150_703,
                           1e-4, 4038, 12_000, (0.008, 0.016))  # fmt: skip
    limit = IdentificationPoint(0.302, 0.01, (0.004, 0.02), "calibration 'sface-lfw'", 120)
    first, second = (FaceUsed(name, face, quality, 1, magnitude=14.2) for name in ("a", "b"))
    uid = "27f3b499-cafb-45cd-9a8d-f68d886f8389"
    best = Candidate("Anna Ivanova", uid, 0.71, 1e-6, 13.8, said, 2, 0.71, 1, model)
    named = Identification(best.person, 0.71, limit, 1e-6, 0.5, 13.8, said, (best,), face, quality)
    return (
        DetectedPhoto("photo", (face,)),
        EnrollRow("photo", best.person, "enrolled", face=2, quality_score=0.91, faces_found=1),
        IdentifiedPhoto("photo", (named,)),
        Person(best.person, uid, {digest: 1}, {}, "2026-11-30T10:00:00.000000+00:00"),
        Verification(True, 0.71, 0.4466, 1e-4, 13.8, said, model, digest, pipeline, "sface-lfw",
                     point, "largest", 1, first, second),
    )  # fmt: skip


def _array(kind: type) -> dict[str, Any]:
    """Describes a NumPy array; ``_ARRAYS`` says more."""
    return {"type": "array"}
