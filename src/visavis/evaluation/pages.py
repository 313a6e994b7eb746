"""Shared parts of HTML reports: environment and number formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visavis.errors import writing_to
from visavis.metrics.verification import fmr_name
from visavis.plots import pages as templates_of
from visavis.writing import private_folder, replacing

if TYPE_CHECKING:
    from jinja2 import Environment


def save(path: Path, page: str, *, private: bool = False) -> None:
    """Writes a page atomically; creates the folder.

    Args:
        path: the HTML file.
        page: content.
        private: readable by its owner only, because it shows faces.

    Raises:
        DataError: the file cannot be written.
    """
    with writing_to(path):
        private_folder(path.parent)
        with replacing(path, private=private) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def environment() -> Environment:
    """Returns the template environment: this package's templates, HTML escaping, and the filters
    below."""

    made = templates_of("visavis.evaluation")
    made.filters.update(
        percent=percent,
        rate=rate,
        span=span,
        number=number,
        count=count,
        fixed=fixed,
        fmr=fmr_name,
        path=path_of,
    )
    return made


def path_of(text: str) -> str:
    """Formats a path as HTML with line breaks allowed after slashes and underscores.

    >>> path_of("Ann_Lee/1.jpg")
    Markup('Ann_<wbr>Lee/<wbr>1.jpg')
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(text))))


def percent(value: float, digits: int = 2) -> str:
    """Formats a share in percent.

    >>> percent(0.99417)
    '99.42 %'
    """
    return "–" if np.isnan(value) else f"{100 * value:.{digits}f} %"


def rate(value: float) -> str:
    """Formats an error rate with three significant digits: in percent, or as a power of ten below
    0.01 %.

    >>> rate(0.0), rate(0.00012345), rate(0.25), rate(9.99e-6)
    ('0 %', '0.0123 %', '25 %', '9.99e-6')
    """
    if np.isnan(value):
        return "–"
    return _plain(value) if 0 < value < 9.5e-5 else f"{100 * value:.3g} %"


def span(ends: tuple[float, float] | None, digits: int | None = None) -> str:
    """Formats an interval of rates, both ends in one unit.

    >>> span((0.001, 0.02)), span((0.985, 0.998), 2), span((1e-6, 4.21e-5))
    ('0.1 – 2 %', '98.50 – 99.80 %', '1e-6 – 4.2e-5')
    """
    if ends is None or np.isnan(ends[0]) or np.isnan(ends[1]):
        return ""
    low, high = ends
    if digits is not None:
        return f"{100 * low:.{digits}f} – {percent(high, digits)}"
    if 0 < high < 9.5e-5:
        return f"{_plain(low, 2)} – {_plain(high, 2)}"
    low = 0.0 if low < 5e-8 else low
    return f"{100 * low:.3g} – {100 * high:.3g} %"


def _plain(value: float, digits: int = 3) -> str:
    """Formats like ``4.2e-5``, without Python's leading zeros in exponents."""
    return re.sub(r"e-0", "e-", f"{value:.{digits}g}")


def number(value: float, digits: int = 4) -> str:
    """Formats a number with a given number of decimals.

    >>> number(0.03919)
    '0.0392'
    """
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def fixed(ends: tuple[float, float] | None, digits: int = 4) -> str:
    """Formats an interval of numbers.

    >>> fixed((0.99425, 0.99982))
    '0.9942 – 0.9998'
    """
    if ends is None or np.isnan(ends[0]) or np.isnan(ends[1]):
        return ""
    return f"{ends[0]:.{digits}f} – {ends[1]:.{digits}f}"


def count(value: int) -> str:
    """Formats an integer with thousands separators.

    >>> count(12345)
    '12,345'
    """
    return f"{value:,}"
