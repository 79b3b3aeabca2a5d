"""The oracle sees what there is to see: gaps and double holders made by hand, of known length.

An oracle that sees nothing fails here; so does one that invents.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e.lab import Kind, Lab, Node, Stretch, Unprobed, Vip, now
from e2e.lab.faults import PlainKeepalived, adverts_dropped, adverts_forged, plain_configuration

VIP = Vip(("10.77.0.200", "fd77::200"), 51)
GAP_MS = 150.0


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    """Two nodes without a pod."""
    with Lab(2) as lab:
        for address in VIP.addresses:
            lab.observer.watch(address)
        yield lab


@pytest.fixture
def held(bare: Lab) -> Iterator[Lab]:
    """n1 holds the VIP by hand."""
    _hold(bare.node(1))
    bare.active(VIP)
    yield bare
    for node in bare.nodes:
        node.clean_kernel()


def _hold(node: Node) -> None:
    for address in VIP.addresses:
        node.network.ip("address", "replace", address, "dev", "eth0", "nodad") if ":" in address else node.network.ip(
            "address", "replace", f"{address}/32", "dev", "eth0"
        )


def _drop(node: Node) -> None:
    for address, width in zip(VIP.addresses, ("/32", "/128"), strict=True):
        node.network.ip("address", "delete", f"{address}{width}", "dev", "eth0")


def _made_to_last(milliseconds: float) -> None:
    """The one place where time itself is the fault that is made."""
    time.sleep(milliseconds / 1000)


def test_a_gap_of_known_length_is_seen_by_every_kind_of_client(held: Lab) -> None:
    with held.client_of(VIP) as client:
        client.wait_answered()
        before = now()
        _drop(held.node(1))
        _made_to_last(GAP_MS)
        _hold(held.node(1))
        after = now()
        client.wait_answered()
        history = client.history()
    for figures in history.all_figures():
        print(figures)
        assert GAP_MS <= figures.outage_ms <= (after - before) / 1e6 + 50
        assert figures.lost >= GAP_MS / 3


def test_no_gap_is_seen_where_there_is_none(held: Lab) -> None:
    with held.client_of(VIP) as client:
        client.wait_answered()
        _made_to_last(300)
        history = client.history()
    for figures in history.all_figures():
        print(figures)
        assert figures.lost == 0
        assert figures.outage_ms == 0
        assert figures.sent >= 50


def test_two_holders_are_seen_in_the_kernels_and_on_the_wire(held: Lab) -> None:
    began = now()
    _hold(held.node(2))
    _made_to_last(200)
    _drop(held.node(2))
    stretch = Stretch(began, now())
    holders = held.observer.history()
    for address in VIP.addresses:
        kernel, wire = holders.two_holders(address, stretch), holders.two_answering(address, stretch)
        print(address, kernel, wire)
        assert 200 <= kernel.longest_ms <= stretch.ms
        assert 100 <= wire.longest_ms <= stretch.ms
        assert holders.became_active(address, stretch) == (2,)


def test_one_holder_after_the_other_is_not_two(held: Lab) -> None:
    began = now()
    _drop(held.node(1))
    _hold(held.node(2))
    held.observer.wait_holders(VIP.address, 2)
    overlap = held.observer.history().two_holders(VIP.address, Stretch(began, now()))
    print(overlap)
    assert overlap.total_ms == 0


def test_what_a_node_without_a_cable_holds_does_not_count(held: Lab) -> None:
    began = now()
    held.node(1).link_down()
    _hold(held.node(2))
    _made_to_last(100)
    overlap = held.observer.history().two_holders(VIP.address, Stretch(began, now()))
    held.node(1).link_up()
    assert held.observer.holders(VIP.address) == (1, 2)
    assert overlap.total_ms == 0


def test_who_answered_is_known_by_number(held: Lab) -> None:
    with held.client_of(VIP, kinds=(Kind.UDP, Kind.TCP)) as client:
        client.wait_answered(by=1)
        figures = client.history().all_figures()
    assert {f.nodes for f in figures} == {(1,)}


def test_a_figure_of_an_unanswered_client_is_refused(bare: Lab) -> None:
    with bare.client_of(VIP, kinds=(Kind.UDP,)) as client:
        _made_to_last(50)
        history = client.history()
    with pytest.raises(Unprobed):
        history.all_figures()


def test_dropped_adverts_make_two_holders_and_forged_ones_none_in_plain_keepalived(bare: Lab) -> None:
    """What the product must survive does hurt a keepalived that is not protected: else the faults are no faults."""
    vip = Vip(("10.77.0.201",), 52)
    bare.observer.watch(vip.address)
    daemons = []
    one, two = bare.nodes
    for node, other, priority in ((one, two, 150), (two, one, 120)):
        text = plain_configuration(
            name="plain",
            virtual_router_id=vip.virtual_router_id,
            priority=priority,
            source=node.member.address4,
            peers=[other.member.address4],
            vip=vip.address,
            advert_seconds=0.1,
        )
        daemons.append(PlainKeepalived(bare, node, name="plain", configuration=text))
    try:
        bare.observer.wait_holders(vip.address, 1)
        with adverts_dropped(bare, (bare.node(1), bare.node(2))):
            bare.observer.wait_holders(vip.address, 1, 2)
        bare.observer.wait_holders(vip.address, 1)
        with adverts_forged(bare, vip=vip.address, virtual_router_id=vip.virtual_router_id):
            bare.observer.wait_holders(vip.address)
        bare.observer.wait_holders(vip.address, 1)
        assert bare.observer.priority(1, vip.virtual_router_id) == 150
    finally:
        for daemon in daemons:
            daemon.kill()
