"""Scores to decisions: operating points, evidence, calibrations.

``similarity`` scores; ``pair_scores`` and ``operating_point`` measure thresholds on labelled
photos, with intervals from ``bootstrap``; ``llr`` and ``evidence`` say what a score is worth;
``labelled`` and ``transfer`` make a calibration, which ``profile`` records and stores;
``unlabelled`` estimates error rates without labels, and ``check`` says whether a claim holds.
"""

from __future__ import annotations
