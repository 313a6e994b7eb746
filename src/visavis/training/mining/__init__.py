"""Which pairs and triplets are worth learning from."""
