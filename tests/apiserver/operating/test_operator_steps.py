"""The loop in this process, one life at a time: a life ends after so many writes, and the next one knows nothing.

Nothing is faked but the death: real API server, real plan, real writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import NODES, SHOP, WEB, havip, node, pool, template
from tests.apiserver.operating.stand import NAMESPACE, PATIENCE, Stand, condition, value

from havip.controller.applying import Applier
from havip.controller.cache import Cache
from havip.controller.events import EventWriter, Series
from havip.controller.kube import Kube, configuration
from havip.controller.metrics import Metrics
from havip.controller.queue import Backoff, Queue
from havip.controller.reconciling import Reconciler
from havip.controller.repairing import Repair
from havip.controller.resources import CONFIG_MAPS, DAEMON_SETS, HAVIPS, NODE_OBJECTS, Reference
from havip.controller.resources import NODES as NODE
from havip.controller.settings import Settings
from havip.model.keys import Key

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(240)]


@pytest.fixture
def agents(stand: Stand) -> Iterator[Agents]:
    with Agents(stand.control, own_addresses(NODES)) as agents:
        yield agents


class Life:
    """One process's worth of operator, without watches. `writes` = how many it may do before it is dead."""

    def __init__(self, kube: Kube, *, writes: int) -> None:
        self.left = writes
        self.seen: list[Reference] = []
        self.cache = Cache()
        queue: Queue[Reference] = Queue(clock=time.monotonic, chance=lambda: 0.5, coalesce=0, backoff=Backoff())
        events = EventWriter(kube, Series(clock=time.monotonic), identity="life")
        applier = Applier(
            kube, self.cache, events, namespace=NAMESPACE, may_write=self._may_write, on_seen=self.seen.append
        )
        self.repair = Repair(kube, self.cache, namespace=NAMESPACE, on_seen=self.seen.append)
        self.reconciler = Reconciler(self.cache, queue, applier, self.repair, Metrics(), writers=1)

    def _may_write(self) -> bool:
        self.left -= 1
        return self.left >= 0


def with_kube(stand: Stand, story: Callable[[Kube], Awaitable[None]]) -> None:
    async def told() -> None:
        settings = Settings(namespace=NAMESPACE, identity="life", kubeconfig=stand.control.kubeconfig())
        kube = Kube(await configuration(settings))
        try:
            await story(kube)
        finally:
            await kube.close()

    asyncio.run(told())


async def live_one_write_at_a_time(kube: Kube, *, until: Callable[[], bool]) -> int:
    """Lives of one write each, until it is so. Returns how many there were."""
    lives = 0
    deadline = time.monotonic() + 6 * PATIENCE
    while not await asyncio.to_thread(until):
        assert time.monotonic() < deadline, f"not there after {lives} lives"
        life = Life(kube, writes=1)
        await life.repair.load()
        await life.reconciler.once()
        lives += 1
    return lives


def test_it_gets_there_when_it_dies_after_every_single_write(stand: Stand, agents: Agents) -> None:
    names = ("web", "api", "db")
    stand.apply(pool(), *(havip(name, f"10.88.1.{index}", pool="web") for index, name in enumerate(names, 1)))

    def ready() -> bool:
        return all(condition(stand.client.get(HAVIPS, Key(SHOP, name)), "Ready").startswith("True/") for name in names)

    def gone() -> bool:
        return all(stand.client.get(HAVIPS, Key(SHOP, name)) is None for name in names)

    async def story(kube: Kube) -> None:
        lives = await live_one_write_at_a_time(kube, until=ready)
        ids = [value(stand.client.get(HAVIPS, Key(SHOP, name)), "status.virtualRouterId") for name in names]
        assert len(set(ids)) == len(names)
        for name in names:
            stand.delete(HAVIPS, Key(SHOP, name))
        more = await live_one_write_at_a_time(kube, until=gone)
        assert lives > len(names)
        assert more > len(names)

    with_kube(stand, story)
    assert all(not value(one, "spec.instances") for one in stand.client.items(NODE_OBJECTS, NAMESPACE))
    assert agents.active(WEB) is None


def test_what_a_watch_lost_is_found_by_the_comparison(stand: Stand) -> None:
    """kopf never reports an object that was deleted while its watch was down."""
    stand.apply(pool(), havip(), havip("api", "10.88.1.2"))

    async def story(kube: Kube) -> None:
        life = Life(kube, writes=0)
        await life.repair.load()
        life.seen.clear()
        assert await life.repair.compare() <= 1  # kube-root-ca.crt or so: not kept, asked for
        assert life.seen == []

        stand.delete(HAVIPS, WEB)
        stand.client.call("DELETE", NODE.path(name="n1"))
        stand.patch(HAVIPS, Key(SHOP, "api"), {"spec": {"failback": "Immediate"}})
        stand.apply(node("n7"), havip("new", "10.88.1.3"))
        await life.repair.compare()
        assert set(life.seen) == {
            Reference(HAVIPS, WEB),
            Reference(NODE, Key("", "n1")),
            Reference(HAVIPS, Key(SHOP, "api")),
            Reference(NODE, Key("", "n7")),
            Reference(HAVIPS, Key(SHOP, "new")),
        }
        assert WEB not in life.cache.known(HAVIPS)
        assert Key(SHOP, "new") in life.cache.known(HAVIPS)

    with_kube(stand, story)


def test_a_pass_after_a_pass_that_settled_everything_writes_nothing(stand: Stand) -> None:
    stand.apply(pool(), havip(pool="web"))

    async def story(kube: Kube) -> None:
        life = Life(kube, writes=1000)
        await life.repair.load()
        while await life.reconciler.once():
            pass
        again = Life(kube, writes=1000)
        await again.repair.load()
        assert await again.reconciler.once() == 0

    with_kube(stand, story)


def test_an_object_replaced_under_its_name_is_not_written_for_the_old_one(stand: Stand) -> None:
    """Server-side apply would make what is gone anew; the uid says which object was meant."""
    stand.apply(havip())

    async def story(kube: Kube) -> None:
        life = Life(kube, writes=1000)
        await life.repair.load()
        stand.delete(HAVIPS, WEB)
        await life.reconciler.once()
        assert stand.client.get(HAVIPS, WEB) is None
        assert WEB not in life.cache.known(HAVIPS)

    with_kube(stand, story)


def test_uninstalling_leaves_no_finalizer_and_nothing_of_ours(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(pool(), havip(pool="web"))
    stand.until_ready(WEB)
    mark = {**template(), "metadata": {"name": "havip-uninstall", "namespace": NAMESPACE}, "data": {}}
    stand.apply(mark)
    stand.until(HAVIPS, WEB, lambda body: not value(body, "metadata.finalizers"))
    stand.until_gone(DAEMON_SETS, Key(NAMESPACE, "havip-node-edge"))
    for name in NODES:
        stand.until_gone(NODE_OBJECTS, Key(NAMESPACE, f"edge.{name}"))
    stand.until_gone(CONFIG_MAPS, Key(NAMESPACE, "shop.web"))
    assert agents.active(WEB) is None
