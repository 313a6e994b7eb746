"""Metrics: pure functions of arrays."""

from __future__ import annotations
