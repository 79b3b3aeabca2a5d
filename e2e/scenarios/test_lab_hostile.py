"""What others do: to the addresses, to the adverts, beside us on the same nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from e2e.lab import Episode, Kind, Lab, Vip
from e2e.lab.faults import (
    PlainKeepalived,
    adverts_dropped,
    adverts_forged,
    all_pairs,
    flush_addresses,
    plain_configuration,
)
from havip.model.states import State

NewVip = Callable[..., Vip]
BLOCKED_SECONDS = 5.0


@pytest.fixture
def vip(lab: Lab, new_vip: NewVip) -> Vip:
    declared = new_vip()
    lab.declare(declared)
    lab.settled(declared, on=lab.node(1))
    return declared


def test_an_address_that_somebody_deletes_is_back_before_a_peer_notices(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "the VIP is deleted by hand") as seen:
        seen.before.network.ip("address", "delete", f"{vip.address}/32", "dev", "eth0")
        lab.observer.wait_holders(vip.address, 1)
        seen.client.wait_answered()
        _settle_down()
    assert set(seen.became_active) == {1}
    assert seen.outage_ms() <= 500
    assert lab.observer.holders(vip.address) == (1,)


def _settle_down() -> None:
    """Three detection times, in which a peer that wrongly thinks itself needed would show."""
    time.sleep(1)


def test_a_node_whose_addresses_are_all_flushed_comes_back_to_order(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "every address flushed, the node's own ones set again") as seen:
        flush_addresses(seen.before)
        lab.observer.wait_one_holder(vip.address)
        seen.client.wait_answered()
        _settle_down()
        lab.active(vip)
        seen.client.wait_answered()
    assert seen.outage_ms() <= 3000


def test_forged_adverts_are_not_heard(lab: Lab, vip: Vip) -> None:
    with (
        Episode(lab, vip, "forged adverts, priority 255") as seen,
        adverts_forged(lab, vip=vip.address, virtual_router_id=vip.virtual_router_id),
    ):
        lab.observer.wait_priority(100, vip.virtual_router_id, 255)
        time.sleep(3)  # six rounds of forged adverts
    assert seen.became_active == ()
    assert seen.lost == 0


def test_where_adverts_do_not_pass_two_are_active_and_say_what_tells_it(lab: Lab, vip: Vip) -> None:
    """VrrpBlocked: what the operator needs to know is there within 5 s, and once it has chosen one, one holds."""
    others = frozenset({"n2", "n3"})
    with adverts_dropped(lab, *all_pairs(lab.nodes)):
        began = time.monotonic()
        for node in lab.nodes:
            node.pod().wait_status(
                "it is active and hears nobody",
                lambda s: any(v.havip == vip.key and v.state is State.ACTIVE and not v.heard for v in s.vips),
                seconds=BLOCKED_SECONDS,
            )
        print(f"the evidence was complete after {time.monotonic() - began:.2f} s")
        chosen = replace(vip, ineligible=others)
        lab.declare(chosen)
        lab.observer.wait_holders(vip.address, 1, seconds=BLOCKED_SECONDS)
        for name in others:
            lab.node(name).pod().wait_status(
                "it stands back", lambda s: any(v.havip == vip.key and v.state is State.FAULT for v in s.vips)
            )
        with Episode(lab, vip, "adverts blocked, one chosen") as seen:
            _settle_down()
        assert seen.lost == 0
        assert seen.two_holders.total_ms == 0
    for name in others:
        lab.node(name).pod().wait_status(
            "it hears the active node again",
            lambda s: any(v.havip == vip.key and "n1" in v.heard for v in s.vips),
        )
    with Episode(lab, vip, "adverts pass again") as seen:
        lab.declare(vip)
        for name in others:
            lab.node(name).pod().wait_status(
                "it stands by", lambda s: any(v.havip == vip.key and v.state is State.STANDBY for v in s.vips)
            )
    assert seen.became_active == ()
    assert lab.observer.holders(vip.address) == (1,)


def test_after_a_short_partition_one_holds_and_the_client_is_answered_by_that_one(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "adverts dropped for a second") as seen:
        with adverts_dropped(lab, *all_pairs(lab.nodes)):
            lab.observer.wait_holders(vip.address, 1, 2, 3)
        lab.observer.wait_holders(vip.address, 1)
        seen.client.wait_answered(by=1, seconds=5)
        _settle_down()
        seen.client.wait_answered(by=1, seconds=2)
    assert seen.outage_ms() <= 3000


@pytest.fixture
def foreign(lab: Lab) -> Iterator[Vip]:
    """Another keepalived on every node, with its own VRID and address, long since settled."""
    theirs = Vip(("10.77.0.240",), 240)
    lab.observer.watch(theirs.address)
    daemons = [
        PlainKeepalived(
            lab,
            node,
            name="foreign",
            configuration=plain_configuration(
                name="foreign",
                virtual_router_id=theirs.virtual_router_id,
                priority=priority,
                source=node.member.address4,
                peers=[other.member.address4 for other in lab.nodes if other is not node],
                vip=theirs.address,
                advert_seconds=0.2,
            ),
        )
        for node, priority in zip(lab.nodes, (150, 120, 100), strict=True)
    ]
    lab.observer.wait_holders(theirs.address, 1)
    yield theirs
    for daemon in daemons:
        daemon.kill()
    for node in lab.nodes:
        node.network.ip("address", "flush", "dev", "eth0", "to", theirs.address)


def test_a_foreign_keepalived_on_the_same_nodes_is_left_alone(lab: Lab, vip: Vip, foreign: Vip) -> None:
    with (
        Episode(lab, foreign, "the foreign VIP", kinds=(Kind.ICMP,)) as theirs,
        Episode(lab, vip, "ours beside a foreign keepalived") as ours,
    ):
        ours.before.pod().kill_keepalived()
        ours.wait_moved()
        ours.before.pod().wait_report(
            "it is a standby", lambda r: any(i.havip == vip.key and i.state is State.STANDBY for i in r.instances)
        )
    assert theirs.became_active == ()
    assert theirs.lost == 0
    assert ours.outage_ms() <= 1500


def test_a_second_class_on_the_same_nodes_lives_and_dies_alone(lab: Lab, vip: Vip, new_vip: NewVip) -> None:
    second = new_vip(preferred=("n1", "n2", "n3"))
    lab.declare(second, class_name="other")
    lab.start("other")
    try:
        lab.settled(second, on=lab.node(1))
        with (
            Episode(lab, second, "the second class", kinds=(Kind.ICMP,)) as other,
            Episode(lab, vip, "the first class's pod is killed") as mine,
        ):
            mine.before.pod().kill_all()
            mine.wait_moved()
        assert other.became_active == ()
        assert other.lost == 0
        mine.before.pod().start()
        with (
            Episode(lab, vip, "the first class", kinds=(Kind.ICMP,)) as mine,
            Episode(lab, second, "the second class's pod is stopped", kinds=(Kind.ICMP,)) as other,
        ):
            other.before.pod("other").stop()
            other.wait_moved()
        assert mine.became_active == ()
        assert mine.lost == 0
        assert other.outage_ms() <= 100
    finally:
        for node in lab.nodes:
            node.pod("other").kill_all()
            del node.pods["other"]
