"""Exports embedders to other formats, each with a report of what that costs."""

from visavis.api.export.exporting import export, targets
from visavis.api.export.records import Exported

__all__ = ["Exported", "export", "targets"]
