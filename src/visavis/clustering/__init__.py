"""Templates to clusters, ``(N, D)`` to ``(N,)`` labels: one algorithm a file, one seam."""
