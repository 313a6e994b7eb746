"""Embedding networks: aligned crops to unit vectors."""

from __future__ import annotations
