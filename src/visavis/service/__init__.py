"""The HTTP service: ``visavis serve``. It calls ``visavis.api`` only, and prints JSON logs."""
