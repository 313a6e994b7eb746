"""Clustering: templates ``(N, D)`` to labels ``(N,)``. One algorithm per file."""
