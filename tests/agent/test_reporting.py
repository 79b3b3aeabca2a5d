"""The status: what it is made of, and that it is written once per change and not at all without one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from tests.agent import orders

from havip.agent import reporting
from havip.agent.electing import Effective
from havip.agent.facts import Fact
from havip.agent.haproxy.balancing import BalancerState
from havip.agent.interface import Resolved
from havip.agent.reporting import Known, Reporter, compose
from havip.agent.source.base import NodeObject, Observed, SourceAway
from havip.model.keys import Key
from havip.model.node import InterfaceReport, NodeStatus, PoolReport
from havip.model.refusal import LeftOut
from havip.model.report import InstanceReport
from havip.model.states import State

ACTIVE = InstanceReport(Key("shop", "web"), 7, State.ACTIVE, "2026-01-01T00:00:00.000Z", "Elected")
POOL = PoolReport(Key("shop", "web"), "digest", 1, 2)
DESIRED = orders.desired(orders.spec(orders.instance()), generation=3)
KNOWN = Known(
    desired=DESIRED,
    refusal="",
    effective=Effective(DESIRED, Resolved(InterfaceReport("eth0", ("10.88.0.11/24",)))),
    keeper=orders.keeper_report(ACTIVE, applied=3),
    balancer=BalancerState(generation=3, version="2.6.12", pools=(POOL,)),
)


def status(known: Known) -> NodeStatus:
    return compose(known, agent_version="0.1.0")


def test_all_is_told_when_all_is_well() -> None:
    assert status(KNOWN) == NodeStatus(
        applied_generation=3,
        error="",
        versions={"agent": "0.1.0", "keepalived": "2.2.7", "haproxy": "2.6.12"},
        interface=InterfaceReport("eth0", ("10.88.0.11/24",)),
        vips=(ACTIVE,),
        pools=(POOL,),
    )


@pytest.mark.parametrize(("keeper", "haproxy", "applied"), [(3, 3, 3), (2, 3, 2), (3, 2, 2), (0, 3, 0)])
def test_a_generation_is_applied_when_keeper_and_haproxy_are_through_with_it(
    keeper: int, haproxy: int, applied: int
) -> None:
    known = replace(
        KNOWN,
        keeper=orders.keeper_report(ACTIVE, applied=keeper),
        balancer=replace(KNOWN.balancer, generation=haproxy),
    )
    assert status(known).applied_generation == applied


def test_every_trouble_is_named() -> None:
    known = replace(
        KNOWN,
        effective=Effective(DESIRED, Resolved(error="no interface")),
        keeper=orders.keeper_report(error="keepalived refuses it"),
        balancer=replace(KNOWN.balancer, error="haproxy refuses it"),
    )
    assert status(known).error == "no interface; keepalived refuses it; haproxy refuses it"
    assert "keeper" in status(replace(KNOWN, keeper=None)).error
    assert status(replace(KNOWN, desired=None, refusal="spec.className: must be edge")).error.startswith("spec.class")


def test_what_anyone_left_out_is_told_once() -> None:
    one, two = LeftOut("shop/a", "NoPeers", "peers", "m"), LeftOut("shop/b", "PortTaken", "frontends[http].port", "m")
    known = replace(
        KNOWN,
        effective=Effective(DESIRED, Resolved(), None, (one,)),
        keeper=orders.keeper_report(left_out=(one,)),
        balancer=replace(KNOWN.balancer, left_out=(two,)),
    )
    assert status(known).left_out == (one, two)


def test_a_status_is_never_too_long_for_the_api() -> None:
    many = tuple(LeftOut(f"shop/{number}", "NoPeers", "peers", "m") for number in range(400))
    known = replace(KNOWN, effective=Effective(DESIRED, Resolved(error="x" * 3000), None, many))
    assert len(status(known).left_out) == 255
    assert len(status(known).error) <= 1024


class Server:
    """A source that keeps what it is given, and can be away."""

    def __init__(self, observed: Fact[Observed]) -> None:
        self.written: list[NodeStatus] = []
        self.away = False
        self.asked = 0
        self._observed = observed

    async def run(self, publish: Callable[[Observed], None]) -> None:
        raise AssertionError("not part of this story")

    async def write_status(self, status: NodeStatus) -> None:
        self.asked += 1
        if self.away:
            raise SourceAway("away")
        self.written.append(status)
        self.shows(status)

    def shows(self, status: NodeStatus) -> None:
        self._observed.set(Observed(NodeObject(3, {}, status.to_json()), {}))


class Story:
    def __init__(self) -> None:
        self.observed: Fact[Observed] = Fact(Observed(NodeObject(3, {}, None)))
        self.server = Server(self.observed)
        self.known: Fact[Known | None] = Fact(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # the fakes keep lists, they wake nobody
                await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        """Long enough for several writes, if there were a reason for one."""
        await asyncio.sleep(reporting.GATHER_SECONDS * 6)


@contextlib.asynccontextmanager
async def reporter(story: Story) -> AsyncIterator[Story]:
    task = asyncio.create_task(Reporter(story.server, story.observed).run(story.known, agent_version="0.1.0"))
    try:
        yield story
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_change_is_written_once_and_nothing_in_steady_state() -> None:
    async def tell() -> None:
        async with reporter(Story()) as story:
            story.known.set(KNOWN)
            await story.until(lambda: bool(story.server.written))
            story.known.set(replace(KNOWN, refusal=" "))  # known anew, and the same status
            await story.quiet()
            assert len(story.server.written) == 1

    asyncio.run(tell())


def test_a_burst_of_changes_is_one_write_of_the_last() -> None:
    async def tell() -> None:
        async with reporter(Story()) as story:
            for generation in range(20):
                story.known.set(replace(KNOWN, balancer=replace(KNOWN.balancer, generation=generation)))
                await asyncio.sleep(0)
            story.known.set(KNOWN)
            await story.until(lambda: bool(story.server.written))
            await story.quiet()
            assert story.server.written == [status(KNOWN)]

    asyncio.run(tell())


def test_an_agent_that_is_started_again_finds_its_own_words_and_writes_nothing() -> None:
    async def tell() -> None:
        story = Story()
        story.server.shows(status(KNOWN))
        async with reporter(story):
            story.known.set(KNOWN)
            await story.quiet()
            assert story.server.asked == 0

    asyncio.run(tell())


def test_while_the_server_is_away_only_the_latest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BACK_OFF_SECONDS", (0.05,))

    async def tell() -> None:
        async with reporter(Story()) as story:
            story.server.away = True
            story.known.set(KNOWN)
            await story.until(lambda: story.server.asked > 1)
            story.known.set(replace(KNOWN, effective=Effective(DESIRED, Resolved(error="between"))))
            await story.until(lambda: story.server.asked > 3)
            latest = replace(KNOWN, effective=Effective(DESIRED, Resolved(error="latest")))
            story.known.set(latest)
            story.server.away = False
            await story.until(lambda: story.server.written[-1:] == [status(latest)])
            assert len(story.server.written) <= 2

    asyncio.run(tell())


def test_a_status_that_somebody_else_wrote_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "FOREIGN_SECONDS", 0.05)

    async def tell() -> None:
        async with reporter(Story()) as story:
            story.known.set(KNOWN)
            await story.until(lambda: len(story.server.written) == 1)
            story.server.shows(NodeStatus(error="forged"))
            await story.until(lambda: len(story.server.written) == 2)
            assert story.server.written[1] == status(KNOWN)

    asyncio.run(tell())


def test_the_first_status_waits_for_the_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "FIRST_SECONDS", 20)

    async def tell() -> None:
        async with reporter(Story()) as story:
            story.known.set(replace(KNOWN, keeper=None))
            await story.quiet()
            assert story.server.asked == 0
            story.known.set(KNOWN)
            await story.until(lambda: story.server.written == [status(KNOWN)])

    asyncio.run(tell())
