"""The loop: order, independence, back-off and giving way, with a plan and writes that the test makes up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from tests.controller.bodies import havip

from havip.controller.applying import Applier, NotLeading
from havip.controller.cache import Cache
from havip.controller.kube import ApiFailed
from havip.controller.metrics import Metrics
from havip.controller.queue import Backoff, Queue
from havip.controller.reconciling import Planned, Reconciler
from havip.controller.repairing import Repair
from havip.controller.resources import OF_KIND, Reference
from havip.controller.settling import Settling
from havip.model.keys import Key
from havip.plan.change import Change, DropFinalizer, Emit, HoldFinalizer, Kind, WriteStatus
from havip.plan.snapshot import Snapshot


def key(name: str) -> Key:
    return Key("shop", name)


def hold(name: str) -> HoldFinalizer:
    return HoldFinalizer(Kind.HAVIP, key(name), "u")


def drop(name: str) -> DropFinalizer:
    return DropFinalizer(Kind.HAVIP, key(name), "u")


def status(name: str) -> WriteStatus:
    return WriteStatus(Kind.HAVIP, key(name), "u", {"observedGeneration": 1})


def emit(name: str) -> Emit:
    return Emit(Kind.HAVIP, key(name), "u", warning=False, reason="Activated", action="Watch", note="")


class Writes:
    """In the place of the applier: remembers, and fails where it is told to."""

    def __init__(self, **failures: Exception) -> None:
        self.begun: list[Change] = []
        self.done: list[Change] = []
        self._failures = failures

    def about(self, change: Change) -> Reference:
        named = cast(Any, change)
        return Reference(OF_KIND[named.kind], named.key)

    def forget(self, about: Reference) -> None:
        """Nothing is kept."""

    async def apply(self, change: Change) -> None:
        self.begun.append(change)
        # A status takes longer here than an Event, to show who waits for whom.
        for _ in range(1 if isinstance(change, Emit) else 5):
            await asyncio.sleep(0)
        failure = self._failures.get(cast(Any, change).key.name)
        if failure is not None:
            raise failure
        self.done.append(change)


class Whole:
    """In the place of the repair: nothing has to be listed."""

    async def load_endpoints(self) -> None:
        """Nothing."""


class Loop:
    def __init__(
        self,
        planned: Sequence[Change] | Exception,
        writes: Writes,
        *,
        settling: Settling[Reference] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue: Queue[Reference] = Queue(clock=clock, chance=lambda: 0.5, coalesce=0, backoff=Backoff())
        self.metrics = Metrics()
        self.cache = Cache()
        self.passes = 0

        def plan(snapshot: Snapshot) -> Planned:
            self.passes += 1
            if isinstance(planned, Exception):
                raise planned
            return Planned(planned)

        self.reconciler = Reconciler(
            self.cache,
            self.queue,
            cast(Applier, writes),
            cast(Repair, Whole()),
            self.metrics,
            writers=4,
            settling=settling,
            plan=plan,
        )

    def once(self) -> int:
        return asyncio.run(self.reconciler.once())


def test_the_changes_of_one_object_keep_their_order() -> None:
    writes = Writes()
    names = [f"v{number}" for number in range(20)]
    Loop([change for name in names for change in (status(name), emit(name))], writes).once()
    for name in names:
        assert writes.done.index(status(name)) < writes.begun.index(emit(name))


def test_a_phase_is_over_before_the_next_one_begins() -> None:
    writes = Writes()
    planned = [hold("a"), hold("b"), drop("c"), drop("d"), status("a"), status("b")]
    assert Loop(planned, writes).once() == 6
    assert writes.begun[2:4] == [drop("c"), drop("d")]
    assert set(writes.begun[:2]) == {hold("a"), hold("b")}


def test_several_objects_are_written_at_once_but_not_more_than_allowed() -> None:
    most = 0
    writing = 0

    class Counting(Writes):
        async def apply(self, change: Change) -> None:
            nonlocal most, writing
            writing += 1
            most = max(most, writing)
            await super().apply(change)
            writing -= 1

    Loop([status(f"v{number}") for number in range(50)], Counting()).once()
    assert most == 4


def test_one_that_fails_is_held_and_the_others_are_written() -> None:
    writes = Writes(bad=ApiFailed(422, "denied"))
    loop = Loop([status("bad"), emit("bad"), status("good")], writes)
    assert loop.once() == 1
    assert writes.done == [status("good")]
    assert emit("bad") not in writes.begun, "no Event says what no status says"
    assert loop.once() == 1
    assert writes.begun.count(status("bad")) == 1


def test_one_that_cannot_be_made_is_tried_less_and_less_often() -> None:
    """It is never in the cache, so it looks like one that is gone."""
    now = [0.0]
    loop = Loop([status("new")], Writes(new=ApiFailed(403, "a policy denies it")), clock=lambda: now[0])
    delays = []
    for _ in range(5):
        loop.once()
        wait = loop.queue.wait()
        assert wait is not None
        delays.append(wait)
        now[0] += wait
    assert delays[-1] > 4 * delays[0]


def test_one_that_is_gone_is_no_failure() -> None:
    loop = Loop([status("gone")], Writes(gone=ApiFailed(404, "not found")))
    assert loop.once() == 0
    assert len(loop.queue) == 0


def test_what_the_server_asks_to_wait_is_waited() -> None:
    loop = Loop([status("busy")], Writes(busy=ApiFailed(429, "slow down", retry_after=30)))
    loop.once()
    wait = loop.queue.wait()
    assert wait is not None
    assert 29 < wait <= 30


def test_an_object_that_cannot_be_read_is_complained_about_once(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop([], Writes())
    loop.cache.observe(OF_KIND[Kind.HAVIP], havip("bad", spec={"addresses": 7}))
    loop.once()
    loop.once()
    (record,) = caplog.records
    assert "spec.addresses" in record.getMessage()
    assert getattr(record, "object", "") == "HAVip shop/bad"


def test_a_plan_that_stumbles_is_tried_again_and_breaks_nothing() -> None:
    loop = Loop(ValueError("a bug"), Writes())
    assert loop.once() == 0
    assert loop.queue.wait() is not None


def test_a_process_that_does_not_lead_any_more_ends_its_loop() -> None:
    class Lost(Writes):
        async def apply(self, change: Change) -> None:
            self.begun.append(change)
            raise NotLeading

    writes = Lost()
    loop = Loop([drop("a"), drop("b")], writes)

    async def story() -> None:
        loop.reconciler.look_at_everything()
        try:
            async with asyncio.timeout(5):
                await loop.reconciler.run()
        except NotLeading:
            return
        raise AssertionError("it went on")

    asyncio.run(story())
    assert writes.begun == [drop("a")]


def test_a_plan_that_always_wants_to_look_again_leaves_time_for_everything_else() -> None:
    passes = 0

    def plan(snapshot: Snapshot) -> Planned:
        nonlocal passes
        passes += 1
        time.sleep(0.02)
        return Planned((), look_again_in=0.0)

    async def story() -> None:
        queue: Queue[Reference] = Queue(clock=time.monotonic, chance=lambda: 0.5, coalesce=0, backoff=Backoff())
        writes, whole = cast(Applier, Writes()), cast(Repair, Whole())
        reconciler = Reconciler(Cache(), queue, writes, whole, Metrics(), plan=plan)
        reconciler.look_at_everything()
        running = asyncio.create_task(reconciler.run())
        await asyncio.sleep(1)
        reconciler.stop()
        await running

    asyncio.run(story())
    assert 2 <= passes <= 11


def test_told_to_stop_it_begins_nothing_more() -> None:
    writes = Writes()
    loop = Loop([drop("a")], writes)
    loop.reconciler.stop()
    assert loop.once() == 0
    assert writes.begun == []


def test_a_status_waits_until_it_has_settled_and_is_looked_at_again() -> None:
    now = 0.0
    writes = Writes()
    loop = Loop([status("a"), emit("a")], writes, settling=Settling(clock=lambda: now, quiet=0.2, longest=2))
    assert loop.once() == 0
    wait = loop.queue.wait()
    assert wait is not None
    assert 0 < wait <= 0.2
    now += 0.2
    assert loop.once() == 2
    assert writes.done == [status("a"), emit("a")]
