"""observe -> desired -> changes -> apply. The whole of it; what to do is decided in `havip.plan`, how in `applying`.

Planning is global: one pass looks at everything, so a storm of events is one pass. Failing is per object: whoever's
write fails is held back by itself, the others go on. Safe to stop after any change: the next pass plans anew.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from havip.controller.applying import Applier, NotLeading
from havip.controller.cache import Cache
from havip.controller.kube import ApiFailed
from havip.controller.metrics import Metrics
from havip.controller.queue import Queue
from havip.controller.repairing import Repair
from havip.controller.resources import CLASSES, Reference
from havip.controller.settling import Settling
from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.plan.change import ApplyPool, Change, Emit, HoldFinalizer, WriteStatus
from havip.plan.changes import changes
from havip.plan.clouds import CloudWish
from havip.plan.desired import desired
from havip.plan.snapshot import Snapshot

_LOG = logging.getLogger(__name__)
EVERYTHING = Reference(CLASSES, Key("", ""))
"""Queued when the whole is to be looked at although no object changed."""

_LONG = 3.0
"""Seconds after which a pass gives way to a newer one: a failover must not wait behind 500 statuses.

Only they give way. Orders to nodes are carried out to the last one: half of a peer change makes the next plan longer.
"""


class Phase(StrEnum):
    """Changes that follow each other and do not depend on each other: several objects' may be in flight."""

    HOLD = "hold"
    POOLS = "pools"
    STATUSES = "statuses"
    ORDERED = "ordered"
    """The rest: one after the other."""


_PHASES = {HoldFinalizer: Phase.HOLD, ApplyPool: Phase.POOLS, WriteStatus: Phase.STATUSES, Emit: Phase.STATUSES}


def _phase(change: Change) -> Phase:
    return _PHASES.get(type(change), Phase.ORDERED)


@dataclass(frozen=True, slots=True)
class Planned:
    """What to do, in how many seconds the answer would be another one even if nothing happened (None = never), and what
    each class wants of its cloud."""

    changes: Sequence[Change]
    look_again_in: float | None = None
    clouds: Mapping[str, CloudWish] = field(default_factory=dict)


Plan = Callable[[Snapshot], Planned]


def plan(snapshot: Snapshot) -> Planned:
    wanted = desired(snapshot)
    return Planned(changes(snapshot, wanted), wanted.look_again_in, wanted.clouds)


class Reconciler:
    """`wake` has to be called (in this loop) after something was added to the queue. `clouds` is told with every pass
    what the classes want of theirs."""

    def __init__(
        self,
        cache: Cache,
        queue: Queue[Reference],
        applier: Applier,
        repair: Repair,
        metrics: Metrics,
        *,
        writers: int = 8,
        settling: Settling[Reference] | None = None,
        clouds: Callable[[Mapping[str, CloudWish]], None] = lambda _: None,
        plan: Plan = plan,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._applier = applier
        self._repair = repair
        self._metrics = metrics
        self._writers = writers
        self._clouds = clouds
        self._plan = plan
        self._settling = settling or Settling(clock=time.monotonic, quiet=0, longest=0)
        self._awake = asyncio.Event()
        self._began: float | None = None
        self._stopping = False
        self._lost = False
        self._unread: dict[Reference, str] = {}
        self._thought = 0.0
        self._ended = 0.0

    def stop(self) -> None:
        """Begin no further change; the one in flight ends as it ends."""
        self._stopping = True
        self._awake.set()

    def seen(self, about: Reference) -> None:
        """Something about an object changed."""
        self._queue.add(about)
        self._awake.set()

    def look_at_everything(self) -> None:
        self.seen(EVERYTHING)

    def busy_seconds(self) -> float:
        """How long the pass that runs now has been running; 0 = none runs."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    async def run(self) -> None:
        """Passes until told to stop. Raises `NotLeading` when another replica may be writing by now."""
        while not self._stopping:
            self._awake.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._awake.wait()
            except TimeoutError:
                await self.once()
        if self._lost:
            raise NotLeading

    async def once(self) -> int:
        """One pass; returns the number of changes it carried out."""
        self._began = time.monotonic()
        taken = self._queue.take()
        try:
            self._complain()
            await self._repair.load_endpoints()
            snapshot = self._cache.snapshot(datetime.now(UTC))
            planned = await self._think(snapshot)
            self._clouds(planned.clouds)
            done = await self._carry_out(planned.changes)
        except Exception as error:
            # A pass that fails as a whole (a plan that stumbles, endpoints that cannot be listed) comes again.
            self._metrics.errors.labels("Pass").inc()
            delay = self._queue.failed(EVERYTHING)
            _LOG.error("the pass failed, next in %.1f s: %s", delay, error, exc_info=not isinstance(error, ApiFailed))
            return 0
        finally:
            self._metrics.passes.inc()
            self._metrics.seconds.observe(time.monotonic() - self._began)
            self._metrics.depth.set(len(self._queue))
            self._began = None
            self._ended = time.monotonic()
        self._queue.succeeded(EVERYTHING)
        self._forget(taken)
        return done

    def _complain(self) -> None:
        """Say once of each stored object that cannot be read why not."""
        problems = self._cache.problems()
        for about, why in problems.items():
            if self._unread.get(about) != why:
                _LOG.warning("the stored object cannot be read: %s", why, extra={"object": str(about)})
        self._unread = problems

    async def _think(self, snapshot: Snapshot) -> Planned:
        """Plans, beside the loop: the Lease has to be renewed however long it takes."""
        began = time.monotonic()
        planned = await asyncio.to_thread(self._plan, snapshot)
        self._thought = time.monotonic() - began
        if planned.look_again_in is not None:
            # Each of 500 VIPs has deadlines of its own: looked at one by one they would be all this process does.
            self._queue.look(EVERYTHING, after=max(planned.look_again_in, 4 * self._thought))
        return planned

    def _pause(self) -> float | None:
        """Seconds until the next pass: as long as nothing is due, and never more than a quarter of them thinking."""
        wait = self._queue.wait()
        return None if wait is None else max(wait, self._ended + 3 * self._thought - time.monotonic())

    async def _carry_out(self, planned: Sequence[Change]) -> int:
        done = 0
        statuses = (self._applier.about(change) for change in planned if isinstance(change, WriteStatus))
        self._settling.keep_only(frozenset(statuses))
        for phase, run in itertools.groupby(planned, _phase):
            changes = list(run)
            done += await (self._in_order(changes) if phase is Phase.ORDERED else self._together(changes))
        return done

    async def _in_order(self, run: Iterable[Change]) -> int:
        return sum([await self._one(change) for change in run])

    async def _together(self, run: Iterable[Change]) -> int:
        """Each object's changes in order, a few objects at a time."""
        by_object: dict[Reference, list[Change]] = {}
        for change in run:
            by_object.setdefault(self._applier.about(change), []).append(change)
        waiting = iter([changes for about, changes in by_object.items() if self._settled(about, changes)])

        async def writer() -> int:
            return sum([await self._in_order(changes) for changes in waiting])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(writer()) for _ in range(min(self._writers, len(by_object)))]
        return sum(task.result() for task in tasks)

    def _settled(self, about: Reference, changes: Iterable[Change]) -> bool:
        """Whether the status among the changes, if there is one, is to be written now; its Events wait with it."""
        wait = max(
            (self._settling.wait(about, one.status) for one in changes if isinstance(one, WriteStatus)), default=0
        )
        if wait:
            self._queue.look(about, after=wait)
        return not wait

    def _overtaken(self) -> bool:
        """Whether this pass has taken long and there is news: the statuses that are left are old by now."""
        return self.busy_seconds() > _LONG and self._queue.wait() == 0

    async def _one(self, change: Change) -> bool:
        """True = carried out. A failure is this object's own."""
        about = self._applier.about(change)
        if self._stopping or self._queue.held(about) or (_phase(change) is Phase.STATUSES and self._overtaken()):
            return False
        try:
            await self._applier.apply(change)
        except NotLeading:
            self._lost = True
            self.stop()
            return False
        except (ApiFailed, Refused) as error:
            self._failed(about, change, error)
            return False
        if isinstance(change, WriteStatus):
            self._settling.done(about)
        if not isinstance(change, Emit):
            self._queue.succeeded(about)
        return True

    def _failed(self, about: Reference, change: Change, error: ApiFailed | Refused) -> None:
        if isinstance(error, ApiFailed) and error.gone:
            self._queue.forget(about)
            return
        wait = (error.retry_after or 0.0) if isinstance(error, ApiFailed) else 0.0
        self._metrics.errors.labels(about.resource.plural).inc()
        delay = self._queue.failed(about, at_least=wait)
        _LOG.warning(
            "%s failed, next try in %.1f s: %s", type(change).__name__, delay, error, extra={"object": str(about)}
        )

    def _forget(self, taken: frozenset[Reference]) -> None:
        for about in taken:
            # What could not be made is not there either; its back-off goes on.
            if self._cache.version(about) == 0 and not self._queue.held(about):
                self._queue.forget(about)
                self._applier.forget(about)
