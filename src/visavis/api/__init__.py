"""The use cases, one function or class each: what ``import visavis`` offers and commands call."""
