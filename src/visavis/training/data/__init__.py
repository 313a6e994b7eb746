"""Training data: reading, alignment, packing, splitting, checking."""
