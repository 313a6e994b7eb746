"""Enrollment of photos in a gallery, identification, and migration to another model.

>>> from visavis import identification
>>> found = identification.recognizers(gallery)  # doctest: +SKIP
>>> identification.Enroller(gallery, found[0]).enroll_one(photo).status  # doctest: +SKIP
'enrolled'
>>> identification.Identifier(gallery, found).identify("door.jpg").faces[0].person  # doctest: +SKIP
'Anna Ivanova'
"""

from __future__ import annotations

from visavis.identification.answers import (
    STATUSES,
    Candidate,
    EnrollRow,
    Identification,
    IdentifiedPhoto,
)
from visavis.identification.enroller import Enroller, EnrollOptions
from visavis.identification.expiry import expiry
from visavis.identification.identifier import GalleryThreshold, Identifier, IdentifyOptions
from visavis.identification.migration import Migration, MigrationProgress
from visavis.identification.models import recognizers
from visavis.identification.photos import PersonPhoto, of_folders, of_one, of_table
from visavis.identification.splitting import SplitSuggestion, suggest_splits

__all__ = [
    "STATUSES",
    "Candidate",
    "EnrollOptions",
    "EnrollRow",
    "Enroller",
    "GalleryThreshold",
    "Identification",
    "IdentifiedPhoto",
    "Identifier",
    "IdentifyOptions",
    "Migration",
    "MigrationProgress",
    "PersonPhoto",
    "SplitSuggestion",
    "expiry",
    "of_folders",
    "of_one",
    "of_table",
    "recognizers",
    "suggest_splits",
]
