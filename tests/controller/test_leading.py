"""The election: several candidates, one fake API server with the real one's conflicts, one clock the test moves."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine
from typing import Any

from havip.controller.kube import ApiFailed
from havip.controller.leading import Leading
from havip.controller.resources import Resource
from havip.model.keys import Key

LEASE = Key("havip-system", "havip-operator")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Time passes for whoever sleeps; everybody else of the loop gets a turn."""
        self.now += seconds
        await asyncio.sleep(0)

    async def until(self, moment: float, *, meanwhile: Coroutine[Any, Any, None]) -> None:
        """Lets it work until the clock says so, and cancels it; that it ends by itself is an error."""
        working = asyncio.create_task(meanwhile)
        while self.now < moment:
            assert not working.done()
            await asyncio.sleep(0)  # the clock is not real: it moves when others have their turn
        working.cancel()


class Server:
    """One Lease with optimistic locking. `away` = no answer."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.away = False
        self.writes = 0
        self._version = 10

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        self.writes += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self._version)
        return copy.deepcopy(self.lease)

    def _answer(self) -> None:
        if self.away:
            raise ApiFailed(0, "no answer")

    async def get(self, resource: Resource, key: Key) -> dict[str, Any]:
        self._answer()
        if self.lease is None:
            raise ApiFailed(404, "not found")
        return copy.deepcopy(self.lease)

    async def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.lease is not None:
            raise ApiFailed(409, "already exists")
        return self._store(body)

    async def replace(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.lease is None:
            raise ApiFailed(404, "not found")
        if body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise ApiFailed(409, "changed meanwhile")
        return self._store(body)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


def candidate(server: Server, clock: Clock, name: str, *, lease_seconds: float = 15) -> Leading:
    return Leading(
        server,
        LEASE,
        identity=name,
        lease_seconds=lease_seconds,
        renew_deadline=10,
        retry_seconds=2,
        clock=clock,
        chance=lambda: 0.5,
        sleep=clock.sleep,
    )


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def test_a_lease_of_a_fraction_of_a_second_more_is_told_as_a_whole_second_more() -> None:
    """Told shorter than it is held, there would be two leaders for that fraction."""

    async def story() -> None:
        server, clock = Server(), Clock()
        await candidate(server, clock, "one", lease_seconds=10.4).acquire()
        assert server.spec["leaseDurationSeconds"] == 11

    run(story())


def test_the_first_candidate_makes_the_lease_and_leads() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one = candidate(server, clock, "one")
        await one.acquire()
        assert one.holds()
        assert server.spec["holderIdentity"] == "one"
        assert server.spec["leaseDurationSeconds"] == 15

    run(story())


def test_a_second_candidate_waits_until_the_lease_has_not_changed_for_its_duration() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        await candidate(server, clock, "one").acquire()
        two = candidate(server, clock, "two")
        began = clock.now
        await two.acquire()
        assert clock.now - began >= 15
        assert server.spec["holderIdentity"] == "two"
        assert server.spec["leaseTransitions"] == 1

    run(story())


def test_a_lease_whose_wall_clock_is_wrong_is_judged_by_when_it_changed() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        await candidate(server, clock, "one").acquire()
        server.spec["renewTime"] = "1999-01-01T00:00:00.000000Z"
        two = candidate(server, clock, "two")
        began = clock.now
        await two.acquire()
        assert clock.now - began >= 15

    run(story())


def test_a_released_lease_is_taken_at_the_next_look() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
        await one.acquire()
        await one.release()
        assert not one.holds()
        began = clock.now
        await two.acquire()
        assert clock.now - began <= 2.4

    run(story())


def test_a_leader_that_gets_no_answer_stops_writing_before_anybody_takes_over() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one = candidate(server, clock, "one")
        await one.acquire()
        server.away = True
        began = clock.now
        await one.keep()
        assert not one.holds()
        assert clock.now - began <= 10

    run(story())


def test_a_renewal_that_is_answered_too_late_ends_the_lead_all_the_same() -> None:
    """The loop was busy past the deadline: what had to be held back meanwhile is not taken up again."""

    class Late(Server):
        async def replace(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
            answer = await super().replace(resource, body)
            clock.now += 11
            return answer

    clock = Clock()

    async def story() -> None:
        one = candidate(Late(), clock, "one")
        await one.acquire()
        await one.keep()
        assert not one.holds()

    run(story())


def test_a_leader_renews_for_as_long_as_it_is_answered() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one = candidate(server, clock, "one")
        await one.acquire()
        await clock.until(1000 + 3600, meanwhile=one.keep())
        assert one.holds()
        assert server.spec["leaseTransitions"] == 0
        assert server.writes <= 2 + 3600 / 5

    run(story())


def test_a_leader_whose_lease_was_taken_stops_at_its_next_renewal() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one = candidate(server, clock, "one")
        await one.acquire()
        assert server.lease is not None
        await server.replace(
            None,  # type: ignore[arg-type]  # the fake has one lease
            {"metadata": dict(server.lease["metadata"]), "spec": {"holderIdentity": "two", "leaseDurationSeconds": 15}},
        )
        await one.keep()
        assert not one.holds()
        assert server.spec["holderIdentity"] == "two"

    run(story())


def test_somebody_who_only_annotates_the_lease_does_not_end_the_lead() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one = candidate(server, clock, "one")
        await one.acquire()
        assert server.lease is not None
        await server.replace(None, copy.deepcopy(server.lease))  # type: ignore[arg-type]  # the fake has one lease
        await clock.until(1060, meanwhile=one.keep())
        assert one.holds()

    run(story())


def test_a_lease_that_is_deleted_under_the_leader_is_made_again() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        one = candidate(server, clock, "one")
        await one.acquire()
        server.lease = None
        await clock.until(1012, meanwhile=one.keep())
        assert one.holds()
        assert server.spec["holderIdentity"] == "one"

    run(story())


def test_a_container_restarted_in_its_pod_takes_its_own_lease_back_at_once() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        await candidate(server, clock, "one").acquire()
        began = clock.now
        await candidate(server, clock, "one").acquire()
        assert clock.now == began

    run(story())


def test_two_candidates_never_hold_at_once() -> None:
    async def story() -> None:
        server, clock = Server(), Clock()
        several = [candidate(server, clock, name) for name in ("one", "two", "three")]

        async def life(who: Leading) -> None:
            while True:
                await who.acquire()
                await who.keep()

        lives = [asyncio.create_task(life(who)) for who in several]
        led: set[int] = set()
        for step in range(4000):
            await asyncio.sleep(0)
            holders = [index for index, who in enumerate(several) if who.holds()]
            assert len(holders) <= 1
            led.update(holders)
            server.away = step % 400 > 300
        for one in lives:
            one.cancel()
        assert led

    run(story())
