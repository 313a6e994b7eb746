"""Aligned crops in, unit vectors out."""

from __future__ import annotations
