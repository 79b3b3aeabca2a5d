"""What the operator counts, for Prometheus. What can be read off the cache is read when asked, never kept twice:
a deleted HAVip leaves no stale series, and steady state costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from havip.controller.cache import Cache
from havip.controller.resources import Resource

PREFIX = "havip_operator"


class Metrics:
    """The operator's own figures. One registry per process; nothing is global."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.passes = Counter(f"{PREFIX}_reconciles", "Planning passes.", registry=self.registry)
        self.seconds = Histogram(
            f"{PREFIX}_reconcile_seconds",
            "Duration of a pass, writes included.",
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.errors = Counter(
            f"{PREFIX}_reconcile_errors", "Writes and passes that failed.", ["resource"], registry=self.registry
        )
        self.depth = Gauge(f"{PREFIX}_queue_depth", "Objects waiting to be looked at.", registry=self.registry)
        self.leading = Gauge(f"{PREFIX}_leading", "1 on the replica that leads.", registry=self.registry)
        self.events_dropped = Counter(
            f"{PREFIX}_events_not_written",
            "Events that were counted into a series, over the limit, or refused.",
            ["reason"],
            registry=self.registry,
        )
        self._writes = Counter(
            f"{PREFIX}_api_writes",
            "Writes to the API server; status 0 = no answer.",
            ["resource", "verb", "status"],
            registry=self.registry,
        )

    def wrote(self, resource: Resource, verb: str, status: int) -> None:
        self._writes.labels(resource.plural, verb, str(status)).inc()

    def dropped(self, reason: str) -> None:
        """An Event of this reason was not written."""
        self.events_dropped.labels(reason).inc()

    def watch(self, cache: Cache) -> None:
        """Export what the cache knows of each VIP from now on."""
        self.registry.register(_Vips(cache))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Vips(Collector):
    """Per-VIP series, made of the cache at the moment of a scrape."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        labels = ["namespace", "name"]
        active = GaugeMetricFamily("havip_active_node", "1 on the node that holds the VIP.", labels=[*labels, "node"])
        transitions = CounterMetricFamily("havip_transitions", "Changes of the active node.", labels=labels)
        failover = GaugeMetricFamily(
            "havip_last_failover_seconds", "Duration of the last failover that was measured.", labels=labels
        )
        for key, status in self._cache.vip_statuses():
            where = [key.namespace, key.name]
            if status.active_node:
                active.add_metric([*where, status.active_node], 1)
            transitions.add_metric(where, status.transitions or 0)
            measured = [one.duration_milliseconds for one in status.history if one.duration_milliseconds is not None]
            if measured:
                failover.add_metric(where, measured[0] / 1000)
        unread = GaugeMetricFamily(
            f"{PREFIX}_unread_objects",
            "Stored objects not understood.",
            value=len(self._cache.problems()),
        )
        return active, transitions, failover, unread
