"""The Python API: one function or class per use case, exported by ``visavis`` and called by the
commands."""
