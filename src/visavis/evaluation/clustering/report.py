"""A clustering evaluation as one HTML page that opens anywhere, offline, without scripts."""

from __future__ import annotations

import json
from pathlib import Path

from visavis.errors import writing_to
from visavis.evaluation.clustering import plots, tables
from visavis.evaluation.clustering.mistakes import divided, mixed
from visavis.evaluation.clustering.records import ClusteringEvaluation
from visavis.evaluation.pages import count, number, path_of, percent
from visavis.plots import pages as templates_of
from visavis.version import __version__
from visavis.writing import private_folder, replacing


def write(folder: Path, result: ClusteringEvaluation) -> None:
    """Write report.html, summary.json and clusters.csv, each whole or not at all.

    Raises:
        DataError: a file cannot be written.
    """
    with writing_to(folder):
        private_folder(folder)
        tables.write(folder / "clusters.csv", result.faces)
        summary = json.dumps(result.to_dict(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        for name, text in (("summary.json", summary), ("report.html", render(result))):
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def render(result: ClusteringEvaluation) -> str:
    """The page as text."""
    from markupsafe import Markup

    environment = templates_of("visavis.evaluation")
    environment.filters.update(
        percent=percent, number=number, count=count, path=path_of, setting=plots.row_name
    )
    summary = result.summary
    several = len({row.algorithm for row in summary.rows}) > 1
    return environment.get_template("clustering.html.jinja").render(
        s=summary,
        asked=summary.asked,
        asked_rows=[row for row in summary.rows if row.default],
        several=several,
        version=__version__,
        style=Markup(environment.get_template("report.css").render()),
        figures={
            name: Markup(text)
            for name, text in (
                ("pairwise", plots.over_settings(summary, "pairwise")),
                ("bcubed", plots.over_settings(summary, "bcubed")),
                ("trade_off", plots.trade_off(summary) if several else ""),
                ("sizes", plots.cluster_sizes(summary)),
            )
        },
        mixed=mixed(result.faces),
        divided=divided(result.faces),
    )
