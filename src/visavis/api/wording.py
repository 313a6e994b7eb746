"""Formats of numbers and names, shared by commands and reports."""

from __future__ import annotations

from visavis.decision.open_set import MEANS
from visavis.evaluation.clustering.plots import row_name
from visavis.evaluation.pages import fixed, number, percent, rate, span
from visavis.metrics.verification import fmr_name

__all__ = ["MEANS", "fixed", "fmr_name", "number", "percent", "rate", "row_name", "span"]
