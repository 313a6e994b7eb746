"""Scores to decisions: operating points, evidence, calibrations.

``similarity`` scores pairs. ``pair_scores`` and ``operating_point`` measure thresholds on labelled
photos, with intervals from ``bootstrap``. ``llr`` and ``evidence`` turn scores into likelihood
ratios. ``labelled`` and ``transfer`` make a calibration, which ``profile`` records and stores.
``unlabelled`` estimates error rates without labels, and ``check`` tests a calibration on other
photos.
"""

from __future__ import annotations
