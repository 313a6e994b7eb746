"""Pure functions: arrays in, numbers out."""

from __future__ import annotations
