"""Photos of people made ready to train on: read, aligned, packed once, split, checked."""
