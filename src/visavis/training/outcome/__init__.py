"""Writes the result of a run: a model directory with measured error rates."""
