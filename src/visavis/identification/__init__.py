"""Where photos meet a gallery: enrolment, identification, migration to another model.

>>> from visavis import people
>>> found = people.recognizers(gallery)  # doctest: +SKIP
>>> people.Enroller(gallery, found[0]).enrol_one(photo).status  # doctest: +SKIP
'enrolled'
>>> people.Identifier(gallery, found).identify("door.jpg").faces[0].person  # doctest: +SKIP
'Anna Ivanova'
"""

from __future__ import annotations

from visavis.identification.enroller import Enroller, EnrolOptions
from visavis.identification.expiry import expiry
from visavis.identification.identifier import Identifier, IdentifyOptions
from visavis.identification.migration import Migration, MigrationProgress
from visavis.identification.models import recognizers
from visavis.identification.photos import PersonPhoto, of_folders, of_one, of_table
from visavis.identification.records import (
    STATUSES,
    Candidate,
    EnrolRow,
    Identification,
    IdentifiedPhoto,
)
from visavis.identification.splitting import SplitSuggestion, suggest_splits

__all__ = [
    "STATUSES",
    "Candidate",
    "EnrolOptions",
    "EnrolRow",
    "Enroller",
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
