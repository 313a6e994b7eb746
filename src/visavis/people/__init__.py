"""Where photos meet a gallery: enrolment, identification, migration to another model.

>>> from visavis import people
>>> found = people.recognizers(gallery)  # doctest: +SKIP
>>> people.Enroller(gallery, found[0]).enrol_one(photo).status  # doctest: +SKIP
'enrolled'
>>> people.Identifier(gallery, found).identify("door.jpg").faces[0].person  # doctest: +SKIP
'Anna Ivanova'
"""

from __future__ import annotations

from visavis.people.enroller import Enroller, EnrolOptions
from visavis.people.expiry import expiry
from visavis.people.identifier import Identifier, IdentifyOptions
from visavis.people.migration import Migration, MigrationProgress
from visavis.people.models import recognizers
from visavis.people.photos import PersonPhoto, of_folders, of_one, of_table
from visavis.people.records import STATUSES, Candidate, EnrolRow, Identification, IdentifiedPhoto
from visavis.people.splitting import SplitSuggestion, suggest_splits

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
