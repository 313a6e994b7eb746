"""Evaluation: protocols, score files, metrics and reports.

A protocol (photos and pairs) and a recognizer give a score file. All reports are computed from this
file, so they can be repeated without the photos::

    from visavis.evaluation import protocols
    from visavis.evaluation.verification import report, run, summary
    from visavis.evaluation import scores

    protocol = protocols.lfw.view(1, root)
    result = run.evaluate(protocol, Recognizer())
    scores.write(result.scores, Path("scores.parquet"))
    answer = summary.summarize(result.scores)
    report.write(Path("report.html"), result.scores, answer)
"""

from __future__ import annotations
