"""Explains a log-likelihood ratio: the posterior for a prior, and words."""

from __future__ import annotations

from math import exp, floor, inf, log10

from visavis.errors import OptionError


def posterior(llr: float, prior: float) -> float:
    """Returns the probability of "same person" after the score, by Bayes' rule in odds form.

    Args:
        llr: natural log of the likelihood ratio, mated over non-mated.
        prior: probability of "same person" before the score, in (0, 1).

    Raises:
        OptionError: ``prior`` is outside (0, 1).

    >>> round(posterior(0.0, 0.3), 6)
    0.3
    >>> round(posterior(5.0, 0.01), 4)
    0.5999
    """
    if not 0 < prior < 1:
        raise OptionError(f"a prior of {prior}", "give a probability above 0 and below 1")
    # This form neither overflows nor cancels for large |llr|.
    if llr >= 0:
        return prior / (prior + (1 - prior) * exp(-llr))
    return prior * exp(llr) / (prior * exp(llr) + (1 - prior))


def words(llr: float, *, limits: tuple[float, float] = (-inf, inf)) -> str:
    """Formats the likelihood ratio as a sentence, with two significant digits.

    Args:
        llr: natural log of the likelihood ratio, mated over non-mated.
        limits: lowest and highest value that the data support; at either limit the sentence says
            "at least".

    >>> words(8.52)
    'this score is 5,000 times likelier if these are the same person'
    >>> words(-3.0)
    'this score is 20 times likelier if these are different people'
    >>> words(-3.0, limits=(-3.0, 9.0))
    'this score is at least 20 times likelier if these are different people'
    >>> words(0.01)
    'this score says nothing either way'
    """
    ratio = exp(min(abs(llr), 700.0))
    if ratio < 1.05:
        return "this score says nothing either way"
    who = "these are the same person" if llr > 0 else "these are different people"
    least = "" if limits[0] < llr < limits[1] else "at least "
    return f"this score is {least}{_two_digits(ratio)} times likelier if {who}"


def _two_digits(ratio: float) -> str:
    step = 10.0 ** (floor(log10(ratio)) - 1)
    rounded = round(ratio / step) * step
    if rounded < 10:
        return f"{rounded:.1f}"
    if rounded < 1e9:
        return f"{rounded:,.0f}"
    return f"{rounded:.1e}"
