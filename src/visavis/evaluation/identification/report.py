"""An evaluation of identification as one HTML page: offline, without scripts, without a face."""

from __future__ import annotations

from pathlib import Path

from visavis import __version__
from visavis.decision.open_set import MEANS
from visavis.evaluation.identification import plots
from visavis.evaluation.identification.records import Identification
from visavis.evaluation.verification import report


def write(path: Path, result: Identification) -> None:
    """Write the report whole or not at all; the folder is made.

    Raises:
        DataError: the file cannot be written.
    """
    report.save(path, render(result))


def render(result: Identification) -> str:
    """The page as text."""
    from markupsafe import Markup

    pages = report.environment()
    return pages.get_template("identification.html.jinja").render(
        s=result,
        version=__version__,
        mean=MEANS[result.mean],
        style=Markup(pages.get_template("report.css").render()),
        figures={
            "cmc": Markup(plots.match_characteristic(result)),
            "det": Markup(plots.trade_off(result)),
            "histogram": Markup(plots.histogram(result)),
        },
    )
