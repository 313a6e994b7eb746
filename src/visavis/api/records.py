"""Result classes, for annotations."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visavis.albums.fixing import CorrectionResult
    from visavis.decision.check import Check
    from visavis.decision.domain import Domain
    from visavis.decision.open_set import IdentificationPoint
    from visavis.decision.profile import Calibration
    from visavis.evaluation.clustering.records import ClusteringSummary
    from visavis.evaluation.verification.records import Summary
    from visavis.gallery.records import GalleryInfo, Person, StoredFace
    from visavis.identification import (
        EnrollRow,
        Identification,
        IdentifiedPhoto,
        MigrationProgress,
        PersonPhoto,
    )
    from visavis.identification.answers import FaceMatches
    from visavis.pipeline import PhotoResult, Verification
    from visavis.pipeline.records import EmbeddedFolder
    from visavis.training.data.leakage import Leaks
    from visavis.training.data.pack import Pack
    from visavis.training.estimate import Plan
    from visavis.training.outcome.comparison import Comparison
    from visavis.training.outcome.directory import Outcome
    from visavis.training.outcome.figures import Figures
    from visavis.training.recipes import Recipe
    from visavis.video.records import VisitEvent
    from visavis.weights import ModelEntry

__all__ = [
    "Calibration",
    "Check",
    "ClusteringSummary",
    "Comparison",
    "CorrectionResult",
    "Domain",
    "EmbeddedFolder",
    "EnrollRow",
    "FaceMatches",
    "Figures",
    "GalleryInfo",
    "Identification",
    "IdentificationPoint",
    "IdentifiedPhoto",
    "Leaks",
    "MigrationProgress",
    "ModelEntry",
    "Outcome",
    "Pack",
    "Person",
    "PersonPhoto",
    "PhotoResult",
    "Plan",
    "Recipe",
    "StoredFace",
    "Summary",
    "Verification",
    "VisitEvent",
]
