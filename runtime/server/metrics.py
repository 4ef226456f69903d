"""Metrics for Prometheus. They have no addresses, keys or text."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SENTENCES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of a server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "dragoman_requests", "Answered requests.", ("path", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "dragoman_request_seconds", "Time from a request's head to its answer.", ("path",), buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.characters = Counter(
            "dragoman_characters", "Characters of text in requests to translate.", registry=registry
        )
        self.gone = Counter("dragoman_gone_clients", "Clients that went away before their answer.", registry=registry)
        self.batch_parts = Histogram(
            "dragoman_batch_parts", "Sentences and other parts of texts in a batch.", buckets=SENTENCES,
            registry=registry,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "dragoman_batch_seconds", "Time of the translation of a batch.", buckets=SECONDS, registry=registry
        )
        self.loads = Counter("dragoman_model_loads", "Models that were loaded again.", registry=registry)

    def watch(self, characters: Callable[[], float], parts: Callable[[], float]) -> None:
        """Show what waits.

        Args:
            characters: Returns the number of characters of requests that are not answered yet.
            parts: Returns the number of parts that wait for a worker.
        """
        gauges = (
            ("characters", "Characters of requests that are not answered yet.", characters),
            ("parts", "Parts of texts that wait for a worker.", parts),
        )
        for name, documentation, function in gauges:
            Gauge(f"dragoman_waiting_{name}", documentation, registry=self._registry).set_function(function)

    def count_batch(self, parts: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_parts.observe(parts)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return generate_latest(self._registry)
