"""Counters and histograms for Prometheus. No label names a gallery, a person or a photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from visavis.api.records import IdentifiedPhoto, Verification

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Metrics of one service.

    Args:
        waiting: gives the number of photos in the queue.
        jobs: gives the number of jobs that wait or run.
    """

    def __init__(self, waiting: Callable[[], int], jobs: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "visavis_request_seconds", "Time from a request's headers to the end of its answer.",
            ("method", "route", "status"), buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._stages = Histogram(
            "visavis_stage_seconds", "Time of a photo in a stage; of a batch for embed.",
            ("stage",), buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._decisions = Counter(
            "visavis_decisions", "Decisions by outcome.", ("task", "outcome"),
            registry=self._registry,
        )  # fmt: skip
        queue = Gauge("visavis_queue_photos", "Photos in the queue.", registry=self._registry)
        queue.set_function(waiting)
        running = Gauge("visavis_jobs", "Jobs that wait or run.", registry=self._registry)
        running.set_function(jobs)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """Counts a stage of the engine."""
        self._stages.labels(stage).observe(seconds)

    def decision(self, task: str, outcome: str) -> None:
        """Counts a decision."""
        self._decisions.labels(task, outcome).inc()

    def verified(self, answer: Verification) -> None:
        """Counts the decision of a verification."""
        outcome = {True: "same", False: "different", None: "undecidable"}[answer.same]
        self.decision("verify", outcome)

    def identified(self, answer: IdentifiedPhoto) -> None:
        """Counts the decisions about the faces of a photo."""
        for face in answer.faces:
            self.decision("identify", "unknown" if face.person is None else "named")
        if not answer.faces:
            self.decision("identify", answer.reason or "no-face")

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
