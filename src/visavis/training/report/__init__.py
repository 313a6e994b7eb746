"""Pictures of a training run, finished or not, on one page that opens offline."""

from __future__ import annotations

from visavis.training.report.page import ReportFiles, write

__all__ = ["ReportFiles", "write"]
