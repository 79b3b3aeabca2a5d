"""Events (events.k8s.io/v1): said once, counted as a series when they come again, limited per reason.

The decision what to write is pure (`Series`); `EventWriter` carries it out. An Event that cannot be written is
dropped: it must never hold up or repeat what it is about.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from havip.controller.kube import ApiFailed, Body, Kube
from havip.controller.resources import EVENTS, OF_KIND
from havip.model.keys import GROUP, Key
from havip.plan.change import Emit

_LOG = logging.getLogger(__name__)
CONTROLLER = f"{GROUP}/operator"
NOTE = 1024  # characters the API server takes
REMEMBERED = 1024  # series in memory, the least recent goes first


@dataclass(frozen=True, slots=True)
class First:
    """Write a new Event of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Again:
    """Set the series of the Event of this name."""

    name: str
    count: int


@dataclass(slots=True)
class _Run:
    name: str
    count: int
    last_seen: float
    last_written: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Series:
    """Which Events are one and the same, on the clock passed in (monotonic seconds).

    A repetition within `idle` belongs to the series; its count is written at the second time and then at most every
    `quiet` seconds. New Events of one reason: `burst` at once, then one every `refill` seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        idle: float = 360.0,
        quiet: float = 60.0,
        burst: int = 50,
        refill: float = 2.0,
    ) -> None:
        self._clock = clock
        self._idle = idle
        self._quiet = quiet
        self._burst = burst
        self._refill = refill
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._buckets: dict[str, _Bucket] = {}

    def next(self, emit: Emit) -> First | Again | None:
        """What to write for this Event; None = nothing, it is counted or there are too many."""
        now = self._clock()
        identity = _identity(emit)
        run = self._runs.get(identity)
        if run is not None and now - run.last_seen <= self._idle:
            return self._repeat(identity, run, now)
        if not self._allowed(emit.reason, now):
            return None
        name = f"{emit.key.name[:220]}.{hashlib.sha256(f'{identity}{now}'.encode()).hexdigest()[:16]}"
        self._runs[identity] = _Run(name, 1, now, now)
        self._runs.move_to_end(identity)
        if len(self._runs) > REMEMBERED:
            self._runs.popitem(last=False)
        return First(name)

    def _repeat(self, identity: str, run: _Run, now: float) -> Again | None:
        run.count += 1
        run.last_seen = now
        self._runs.move_to_end(identity)
        if run.count > 2 and now - run.last_written < self._quiet:
            return None
        run.last_written = now
        return Again(run.name, run.count)

    def _allowed(self, reason: str, now: float) -> bool:
        bucket = self._buckets.setdefault(reason, _Bucket(float(self._burst), now))
        bucket.tokens = min(float(self._burst), bucket.tokens + (now - bucket.filled) / self._refill)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _identity(emit: Emit) -> str:
    return repr((emit.kind, emit.key, emit.uid, emit.warning, emit.reason, emit.action, emit.note))


class EventWriter:
    """Writes Events as `identity`; `on_dropped` is told the reason of each that is not written."""

    def __init__(
        self, kube: Kube, series: Series, *, identity: str, on_dropped: Callable[[str], None] = lambda _: None
    ) -> None:
        self._kube = kube
        self._series = series
        self._identity = identity
        self._on_dropped = on_dropped

    async def write(self, emit: Emit) -> None:
        written = self._series.next(emit)
        # Events about cluster-scoped objects live in `default`, where kubectl describe looks for them.
        namespace = emit.key.namespace or "default"
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        try:
            match written:
                case First(name):
                    await self._kube.create(EVENTS, self._body(emit, Key(namespace, name), now))
                case Again(name, count):
                    series = {"series": {"count": count, "lastObservedTime": now}}
                    await self._kube.merge(EVENTS, Key(namespace, name), series)
                case None:
                    self._on_dropped(emit.reason)
        except ApiFailed as failed:
            self._on_dropped(emit.reason)
            _LOG.debug("an Event was not written: %s", failed, extra={"object": str(emit.key)})

    def _body(self, emit: Emit, key: Key, now: str) -> Body:
        resource = OF_KIND[emit.kind]
        regarding = {"apiVersion": resource.api_version, "kind": resource.kind, "name": emit.key.name, "uid": emit.uid}
        if emit.key.namespace:
            regarding["namespace"] = emit.key.namespace
        return {
            "metadata": {"namespace": key.namespace, "name": key.name},
            "eventTime": now,
            "reportingController": CONTROLLER,
            "reportingInstance": self._identity[:128],
            "action": emit.action[:128],
            "reason": emit.reason[:128],
            "type": "Warning" if emit.warning else "Normal",
            "note": emit.note[:NOTE],
            "regarding": regarding,
        }
