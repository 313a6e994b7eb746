"""Identification report: one self-contained HTML page without scripts or faces."""

from __future__ import annotations

from pathlib import Path

from visavis.decision.open_set import MEANS
from visavis.evaluation import pages
from visavis.evaluation.identification import plots
from visavis.evaluation.identification.records import Identification
from visavis.version import __version__


def write(path: Path, result: Identification) -> None:
    """Writes the report atomically; creates the folder.

    Raises:
        DataError: the file cannot be written.
    """
    pages.save(path, render(result))


def render(result: Identification) -> str:
    """Returns the page as text."""
    from markupsafe import Markup

    env = pages.environment()
    return env.get_template("identification.html.jinja").render(
        s=result,
        version=__version__,
        mean=MEANS[result.mean],
        style=Markup(env.get_template("report.css").render()),
        figures={
            "cmc": Markup(plots.match_characteristic(result)),
            "det": Markup(plots.trade_off(result)),
            "histogram": Markup(plots.histogram(result)),
        },
    )
