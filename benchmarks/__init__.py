"""What the figures in the documentation come from: ``python -m benchmarks.run``.

Run from the root of the repository, with the environment that visavis is installed in.
"""
