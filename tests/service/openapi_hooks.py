"""Loaded by schemathesis: files of generated requests are photos, for the most part."""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

if "PHOTOS" in os.environ:  # pytest imports every module for its doctests
    _PHOTOS = [path.read_bytes() for path in sorted(Path(os.environ["PHOTOS"]).glob("*.jpg"))]
    schemathesis.openapi.format("binary", st.sampled_from(_PHOTOS) | st.binary(max_size=200))
