"""What is done about addresses: lifetimes on evidence, zombies removed, strangers left alone. No kernel needed."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path, PurePosixPath

import pytest
from tests.keeper.made import a_probe, an_instance, rendered

from havip.keeper.adverts import Adverts
from havip.keeper.draining import Draining
from havip.keeper.holding import Holding
from havip.keeper.keepalived.dump import Running
from havip.keeper.keepalived.notify import Notification, Vrrp
from havip.keeper.keepalived.render import Paths
from havip.keeper.netlink import FOREVER, AddressEvent, KernelAddress
from havip.keeper.nftables.rules import Watched
from havip.keeper.probing import Answer
from havip.keeper.vip import Vip
from havip.model.address import Address
from havip.model.election import Instance
from havip.model.priority import TRACK_PENALTY
from havip.model.states import State

INDEX, NAME = next((index, name) for index, name in socket.if_nameindex() if name == "lo")
VIP = ip_address("10.88.0.200")


def known(valid: int = FOREVER, *, interface: int = INDEX) -> KernelAddress:
    return KernelAddress(VIP, 32, interface, 0x80, 0, valid)


class FakeNetlink:
    """The kernel's addresses as a list. `order` is what was done, in words."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.here: list[KernelAddress] = []
        self.renewed: list[tuple[KernelAddress, int, int]] = []
        self.removed: list[KernelAddress] = []

    def addresses(self) -> list[KernelAddress]:
        return self.here

    def link_up(self, _interface: int) -> bool:
        return True

    def renew(self, lifetimes: Iterable[tuple[KernelAddress, int, int]]) -> None:
        self.renewed += lifetimes

    def add(self, lifetimes: Iterable[tuple[KernelAddress, int, int]]) -> None:
        self.order += [f"copy of {copy.address} for {valid} s" for copy, _preferred, valid in lifetimes]

    def remove(self, addresses: Iterable[KernelAddress]) -> None:
        gone = list(addresses)
        self.removed += gone
        self.order += [f"{known.address} removed" for known in gone]


class FakeFilter:
    """Counters that a test sets."""

    def __init__(self) -> None:
        self.adverts = Adverts()
        self.trouble = ""
        self.heard_at: float | None = None
        self.counters = {"sent_51": 0, "from_51_0": 0, "from_51_1": 0}

    def sample(self, now: float) -> None:
        self.adverts.sample(dict(self.counters), now)

    def last_heard(self, _virtual_router_id: int, _now: float) -> float | None:
        return self.heard_at


class FakeProbing:
    """What is answered, as it was shown last. `order` says every change of it, in words."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.answers: dict[str, bool] = {}
        self.own: frozenset[Address] = frozenset()

    def show(self, _class_name: str, _interface: int, answers: tuple[Answer, ...], own: frozenset[Address]) -> None:
        before, self.own = self.answers, own
        self.answers = {str(one.instance.havip): one.answering for one in answers}
        if before != self.answers:
            self.order.append(f"answers {self.answers}")


class Bench:
    """A Holding with one VIP. It is made on a running loop."""

    def __init__(self, folder: Path, instance: Instance | None = None) -> None:
        paths = Paths(PurePosixPath(folder))
        for inner in (paths.tracks, paths.temporary):
            Path(inner).mkdir()
        self.order: list[str] = []
        self.netlink, self.filter, self.changes = FakeNetlink(self.order), FakeFilter(), 0
        self.probing = FakeProbing(self.order)
        self._news = asyncio.Event()
        self.haproxy_well = True
        self.holding = Holding(
            paths,
            netlink=self.netlink,  # type: ignore[arg-type]  # the same methods over a list
            advert_filter=self.filter,  # type: ignore[arg-type]  # the same methods over a dict
            probing=self.probing,  # type: ignore[arg-type]  # the same method without a kernel
            handover_seconds=1.0,
            track=self._track,
            changed=self._changed,
        )
        self.holding.use_interface(NAME, INDEX)
        self.vip = Vip(rendered(instance or an_instance()))
        self.filter.adverts.watch((Watched.of(self.vip.instance),))
        self.holding.put({self.vip.name: self.vip})
        self.holding.started([self.vip.name])
        self.track = Path(paths.tracks) / self.vip.name

    def _track(self, needed: bool, serving: bool) -> bool:
        self.asked = (needed, serving)
        return self.haproxy_well

    def _changed(self) -> None:
        self.changes += 1
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for a change that brings this about."""
        async with asyncio.timeout(2):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def keepalived_says(self, state: Vrrp) -> None:
        self.holding.hear_keepalived([Notification(self.vip.name, state, 209)])

    def kernel_says(self, *, there: bool, valid: int = FOREVER) -> None:
        self.holding.hear_kernel([AddressEvent(there, known(valid))])

    def become_active(self) -> None:
        self.keepalived_says(Vrrp.BACKUP)
        self.kernel_says(there=True)
        self.keepalived_says(Vrrp.MASTER)

    def be_long_active(self) -> None:
        """As if it had run, and held the address, for an hour."""
        self.vip.started = time.monotonic() - 3600
        self.vip.proven_at = 0.0


@pytest.fixture
def on_bench(tmp_path: Path) -> Callable[[Callable[[Bench], None]], None]:
    def run(work: Callable[[Bench], None]) -> None:
        async def inside() -> None:
            work(Bench(tmp_path))

        asyncio.run(inside())

    return run


OnBench = Callable[[Callable[[Bench], None]], None]


def test_an_address_gets_its_lifetime_when_it_is_taken_over(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        assert bench.vip.verdict.state is State.ACTIVE
        assert bench.netlink.renewed == [(known(), 2, 2)]

    on_bench(work)


def test_it_is_renewed_only_while_adverts_leave(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.netlink.renewed.clear()
        bench.holding.tick(frozen=False)
        assert bench.netlink.renewed == []
        bench.filter.counters["sent_51"] += 5
        bench.holding._renewed = 0.0
        bench.holding.tick(frozen=False)
        assert len(bench.netlink.renewed) == 1

    on_bench(work)


def test_it_is_not_renewed_while_keepalived_is_frozen(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.netlink.renewed.clear()
        bench.filter.counters["sent_51"] += 5
        bench.holding.tick(frozen=True)
        assert bench.netlink.renewed == []

    on_bench(work)


def test_the_addresses_of_a_dead_keepalived_go_at_once_with_the_bonus(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.be_long_active()
        bench.holding.look_at([bench.vip])
        assert bench.track.read_text("ascii") == "45\n"
        bench.holding.keepalived_died()
        assert bench.netlink.removed == [known()]
        assert bench.track.read_text("ascii") == "0\n"
        assert (bench.vip.verdict.state, bench.vip.verdict.reason) == (State.FAULT, "KeepalivedDied")

    on_bench(work)


def test_a_node_that_has_just_taken_over_is_no_incumbent_yet(on_bench: OnBench) -> None:
    """The one that was meant may only be some milliseconds late."""

    def work(bench: Bench) -> None:
        bench.vip.started = time.monotonic() - 3600
        bench.become_active()
        assert bench.track.read_text("ascii") == "0\n"
        bench.vip.proven_at = time.monotonic()
        bench.holding.look_at([bench.vip])
        assert bench.track.read_text("ascii") == "45\n"

    on_bench(work)


def test_a_node_that_switched_in_order_gets_no_bonus_back(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.be_long_active()
        bench.vip.switch_until = time.monotonic() + 5
        bench.holding.look_at([bench.vip])
        bench.keepalived_says(Vrrp.BACKUP)
        assert bench.track.read_text("ascii") == "0\n"

    on_bench(work)


def test_a_renewal_that_crossed_a_removal_makes_no_second_holder(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.kernel_says(there=False)
        bench.keepalived_says(Vrrp.BACKUP)
        bench.kernel_says(there=True, valid=2)
        assert bench.netlink.removed == [known(2)]

    on_bench(work)


def test_a_renewal_that_crossed_a_removal_is_seen_also_when_keepalived_speaks_last(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.kernel_says(there=False)
        bench.kernel_says(there=True, valid=2)
        assert bench.netlink.removed == []
        bench.keepalived_says(Vrrp.BACKUP)
        assert bench.netlink.removed == [known(2)]

    on_bench(work)


def test_a_keeper_that_was_late_counts_the_last_word_only(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.kernel_says(there=True, valid=2)
        words = [Notification(bench.vip.name, state, 209) for state in (Vrrp.BACKUP, Vrrp.MASTER)]
        bench.holding.hear_keepalived(words)
        assert bench.netlink.removed == []
        assert bench.vip.verdict.state is State.ACTIVE

    on_bench(work)


def test_an_address_we_held_that_stays_behind_is_removed(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.keepalived_says(Vrrp.BACKUP)
        bench.vip.disagreeing_since = time.monotonic() - 2
        bench.holding.tick(frozen=False)
        assert bench.netlink.removed == [known()]

    on_bench(work)


def test_an_address_that_somebody_else_added_is_never_removed(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.keepalived_says(Vrrp.BACKUP)
        bench.kernel_says(there=True)
        bench.vip.disagreeing_since = time.monotonic() - 2
        bench.holding.tick(frozen=False)
        assert bench.netlink.removed == []
        assert (bench.vip.verdict.state, bench.vip.verdict.reason) == (State.UNKNOWN, "ForeignAddress")

    on_bench(work)


def test_an_address_that_was_ours_and_came_back_by_another_hand_is_foreign(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.kernel_says(there=False)
        bench.keepalived_says(Vrrp.BACKUP)
        bench.kernel_says(there=True)
        bench.vip.disagreeing_since = time.monotonic() - 2
        bench.holding.tick(frozen=False)
        assert bench.netlink.removed == []

    on_bench(work)


def test_a_master_that_cannot_add_its_address_stands_back(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.keepalived_says(Vrrp.MASTER)
        bench.vip.disagreeing_since = time.monotonic() - 2
        bench.holding.tick(frozen=False)
        assert bench.track.read_text("ascii") == "-254\n"
        assert bench.vip.verdict.reason == "AddressMissing"

    on_bench(work)


def test_an_address_on_another_interface_is_not_the_vip(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.keepalived_says(Vrrp.BACKUP)
        bench.holding.hear_kernel([AddressEvent(True, known(interface=INDEX + 1))])
        assert bench.vip.kernel == {}

    on_bench(work)


def test_lost_events_are_made_up_for_by_asking(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.keepalived_says(Vrrp.MASTER)
        bench.netlink.here = [known()]
        bench.holding.hear_kernel(None)
        assert bench.vip.verdict.state is State.ACTIVE

    on_bench(work)


def test_what_a_keeper_before_us_left_goes_at_once(tmp_path: Path) -> None:
    async def inside() -> None:
        bench = Bench(tmp_path)
        bench.netlink.here = [known(2)]
        fresh = Vip(rendered(an_instance()))
        bench.holding.put({fresh.name: fresh})
        assert bench.netlink.removed == [known(2)]

    asyncio.run(inside())


@pytest.mark.parametrize(("heard", "expected"), [(0.33, 330), (0.05, None), (None, None)])
def test_the_outage_is_the_silence_before_the_take_over(
    on_bench: OnBench, heard: float | None, expected: int | None
) -> None:
    def work(bench: Bench) -> None:
        bench.filter.heard_at = None if heard is None else time.monotonic() - heard
        bench.become_active()
        found = bench.vip.outage_ms
        assert (found is None) if expected is None else (found is not None and expected <= found < expected + 200)

    on_bench(work)


def test_nothing_is_news_while_nothing_changes(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        before = bench.changes
        for _ in range(20):
            bench.filter.counters["sent_51"] += 5
            bench.holding._renewed = 0.0
            bench.holding.tick(frozen=False)
        assert bench.changes == before

    on_bench(work)


def test_a_peer_that_is_heard_while_active_is_a_conflict(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        assert bench.vip.held_since is not None
        bench.vip.held_since -= 10
        bench.filter.counters["from_51_1"] += 5
        bench.holding.tick(frozen=False)
        assert bench.vip.heard == ("n3",)
        assert bench.vip.verdict.reason == "Conflict"

    on_bench(work)


def test_a_track_file_that_keepalived_did_not_read_is_written_again(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.be_long_active()
        bench.holding.look_at([bench.vip])
        before = bench.track.stat().st_ino
        assert bench.track.read_text("ascii") == "45\n"
        bench.vip.tracked_at -= 1
        bench.holding.hear_dump({bench.vip.name: Running(Vrrp.MASTER, 209, 254)}, time.monotonic())
        assert bench.track.stat().st_ino == before
        bench.holding.hear_dump({bench.vip.name: Running(Vrrp.MASTER, 209, 209)}, time.monotonic())
        assert bench.track.stat().st_ino != before
        assert bench.track.read_text("ascii") == "45\n"

    on_bench(work)


# Handing over where a load balancer asks

WITH_OVERLAP = an_instance(probe=a_probe(interval_ms=100, threshold=1, overlap_flows_ms=100))
BOTH_SECONDS, DRAINED_SECONDS = 0.2, 0.5
"""How long both answer then, and when the copy goes."""


def fresh(tmp_path: Path, work: Callable[[Bench], None], instance: Instance) -> None:
    async def inside() -> None:
        work(Bench(tmp_path, instance))

    asyncio.run(inside())


def in_order(tmp_path: Path, work: Callable[[Bench], Awaitable[None]], instance: Instance = WITH_OVERLAP) -> None:
    async def inside() -> None:
        bench = Bench(tmp_path, instance)
        bench.become_active()
        bench.be_long_active()
        bench.holding.look_at([bench.vip])
        bench.order.clear()
        await work(bench)

    asyncio.run(inside())


def switch(bench: Bench) -> None:
    """The user's order has changed."""
    bench.vip.switch_until = time.monotonic() + 5
    bench.holding.look_at([bench.vip])


def peer_takes_over(bench: Bench) -> None:
    bench.kernel_says(there=False)
    bench.keepalived_says(Vrrp.BACKUP)


def reported(bench: Bench) -> tuple[State, str]:
    (one,) = bench.holding.reports()
    return one.state, one.reason


def test_a_planned_switch_copies_first_and_both_answer_before_the_old_one_drains(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        tracks_at_copy: list[str] = []
        add = bench.netlink.add

        def adding(lifetimes: Iterable[tuple[KernelAddress, int, int]]) -> None:
            tracks_at_copy.append(bench.track.read_text("ascii"))
            add(lifetimes)

        bench.netlink.add = adding  # type: ignore[method-assign]  # looks at the track file meanwhile
        switch(bench)
        assert tracks_at_copy == ["45\n"]
        assert bench.track.read_text("ascii") == "0\n"
        assert bench.order == ["copy of 10.88.0.200 for 7 s"]
        assert reported(bench)[0] is State.ACTIVE
        before = time.monotonic()
        peer_takes_over(bench)
        assert reported(bench) == (State.DRAINING, "Overlapping")
        assert bench.probing.answers == {"shop/web": True}
        await bench.until(lambda: reported(bench) == (State.DRAINING, "FlowsEnding"))
        assert time.monotonic() - before >= BOTH_SECONDS
        assert bench.probing.answers == {"shop/web": False}
        await bench.until(lambda: reported(bench)[0] is State.STANDBY)
        assert time.monotonic() - before >= DRAINED_SECONDS
        assert bench.probing.answers == {"shop/web": True}
        assert bench.order[1:] == [
            "answers {'shop/web': False}",
            "10.88.0.200 removed",
            "answers {'shop/web': True}",
        ]

    in_order(tmp_path, work)


def test_a_failover_does_not_overlap(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        peer_takes_over(bench)
        assert bench.order == []
        assert reported(bench)[0] is State.STANDBY

    in_order(tmp_path, work)


def test_a_switch_without_overlap_moves_at_once(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        switch(bench)
        peer_takes_over(bench)
        assert bench.order == []
        assert reported(bench)[0] is State.STANDBY

    in_order(tmp_path, work, an_instance(probe=a_probe(overlap_flows_ms=None)))


def test_a_switch_that_nobody_takes_leaves_no_copy(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        switch(bench)
        bench.vip.switch_until = 0.0
        bench.holding.look_at([bench.vip])
        assert bench.order == ["copy of 10.88.0.200 for 7 s", "10.88.0.200 removed"]
        assert reported(bench)[0] is State.ACTIVE

    in_order(tmp_path, work)


def test_a_fault_during_a_switch_is_no_overlap(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        switch(bench)
        bench.holding.keepalived_died()
        assert bench.order == ["copy of 10.88.0.200 for 7 s", "10.88.0.200 removed", "10.88.0.200 removed"]
        assert reported(bench)[0] is State.FAULT

    in_order(tmp_path, work)


def test_a_new_vip_waits_for_a_word_of_the_local_haproxy(tmp_path: Path) -> None:
    def work(bench: Bench) -> None:
        bench.haproxy_well = False
        bench.holding.put({bench.vip.name: bench.vip})
        assert bench.asked == (True, False)
        bench.holding.look_at([bench.vip])
        assert bench.track.read_text() == f"{-TRACK_PENALTY}\n"

    fresh(tmp_path, work, replace(WITH_OVERLAP, tracked=True))


def test_a_served_vip_that_gets_a_front_end_is_told_to_be_served(tmp_path: Path) -> None:
    def work(bench: Bench) -> None:
        bench.become_active()
        bench.vip.rendered = rendered(replace(bench.vip.instance, tracked=True))
        bench.holding.put({bench.vip.name: bench.vip})
        assert bench.asked == (True, True)

    fresh(tmp_path, work, WITH_OVERLAP)


def test_a_node_whose_haproxy_is_ill_hands_over_without_overlap(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.holding.track_healthy = False
        switch(bench)
        assert bench.order == []

    in_order(tmp_path, work, replace(WITH_OVERLAP, tracked=True))


def test_a_haproxy_that_fails_while_both_answer_is_withdrawn_at_once(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        switch(bench)
        peer_takes_over(bench)
        bench.holding.track_healthy = False
        bench.holding.tick(frozen=False)
        assert reported(bench) == (State.DRAINING, "FlowsEnding")

    in_order(tmp_path, work, replace(WITH_OVERLAP, tracked=True))


def test_a_draining_node_that_is_active_again_cleans_up(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        switch(bench)
        peer_takes_over(bench)
        await bench.until(lambda: reported(bench) == (State.DRAINING, "FlowsEnding"))
        bench.kernel_says(there=True)
        bench.keepalived_says(Vrrp.MASTER)
        assert bench.order[-2:] == ["10.88.0.200 removed", "answers {'shop/web': True}"]
        assert reported(bench)[0] is State.ACTIVE

    in_order(tmp_path, work)


def test_a_havip_taken_from_the_node_drains_and_is_reported_until_then(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.vip.leaving = True
        bench.holding.look_at([bench.vip])
        peer_takes_over(bench)
        bench.holding.put({})
        assert reported(bench) == (State.DRAINING, "Overlapping")
        assert bench.probing.answers == {"shop/web": True}
        await bench.until(lambda: bench.holding.reports() == ())
        assert bench.probing.answers == {}
        assert bench.order[-2:] == ["10.88.0.200 removed", "answers {}"]

    in_order(tmp_path, work)


def test_a_keeper_that_ends_waits_for_its_overlaps_within_its_grace(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        before = time.monotonic()
        bench.holding.stop_within(0.3)
        peer_takes_over(bench)
        await bench.holding.drained()
        assert 0.29 < time.monotonic() - before < 1.5
        assert bench.order == [
            "copy of 10.88.0.200 for 7 s",
            "answers {'shop/web': False}",
            "10.88.0.200 removed",
            "answers {'shop/web': True}",
        ]

    in_order(tmp_path, work)


def test_a_keeper_that_ends_without_a_peer_does_not_wait(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.holding.stop_within(10)
        before = time.monotonic()
        await bench.holding.drained()
        assert time.monotonic() - before < 1
        assert bench.order == ["copy of 10.88.0.200 for 7 s", "10.88.0.200 removed"]

    in_order(tmp_path, work)


def test_only_a_copy_with_a_lifetime_is_one_of_a_keeper_before_us(tmp_path: Path) -> None:
    async def inside() -> None:
        bench = Bench(tmp_path, WITH_OVERLAP)
        draining = Draining(bench.netlink)  # type: ignore[arg-type]  # the same methods over a list
        there = [known(20), known(), known(20, interface=INDEX + 1)]
        draining.remove_left_behind(there, [VIP])
        assert bench.netlink.removed == [known(20)]
        bench.netlink.removed.clear()
        draining.copy_first(bench.vip, 5.0)
        draining.remove_left_behind(there, [VIP])
        assert bench.netlink.removed == []

    asyncio.run(inside())


def test_an_own_address_that_comes_and_goes_is_shown_to_the_probes(on_bench: OnBench) -> None:
    def work(bench: Bench) -> None:
        mine = KernelAddress(ip_address("10.88.0.31"), 24, INDEX, 0x80, 0, FOREVER)
        others_vip = KernelAddress(ip_address("10.88.0.32"), 32, INDEX, 0x80, 0, FOREVER)
        bench.holding.hear_kernel([AddressEvent(True, mine), AddressEvent(True, others_vip)])
        assert bench.probing.own == {mine.address}
        bench.holding.hear_kernel([AddressEvent(False, mine)])
        assert bench.probing.own == frozenset()

    on_bench(work)
