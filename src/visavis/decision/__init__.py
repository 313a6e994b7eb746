"""Scores to decisions: operating points, evidence, calibrations."""

from __future__ import annotations
