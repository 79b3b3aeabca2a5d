"""The election document: what the agent adds to its orders, and that the keeper understands it."""

from __future__ import annotations

import ipaddress
import json

from tests.agent import orders

from havip.agent.electing import document, elect
from havip.agent.interface import Resolved
from havip.model.election import read_election
from havip.model.node import InterfaceReport

FOUND = Resolved(InterfaceReport("eth0", ("10.88.0.11/24",)))


def test_the_document_is_understood_by_its_reader() -> None:
    desired = orders.desired(
        orders.spec(orders.instance(), orders.instance("shop/b", vrid=8, addresses=["10.88.0.201"]))
    )
    election, left_out = elect(desired, FOUND)
    assert election is not None
    read, refused = read_election(json.loads(document(election)))
    assert (read, refused, left_out) == (election, (), ())
    assert read.interface == "eth0"


def test_a_vip_depends_on_haproxy_only_when_it_has_front_ends() -> None:
    bare = orders.instance("shop/bare", vrid=8, addresses=["10.88.0.201"], frontends=[], tracked=True)
    election, _ = elect(orders.desired(orders.spec(orders.instance(), bare)), FOUND)
    assert election is not None
    assert {str(item.havip): item.tracked for item in election.instances} == {"shop/web": True, "shop/bare": False}


def test_without_an_interface_there_is_no_document() -> None:
    election, _ = elect(orders.desired(orders.spec(orders.instance())), Resolved(error="no such interface"))
    assert election is None


def test_a_vip_that_is_the_nodes_own_address_is_left_out_and_the_others_stay() -> None:
    other = orders.instance("shop/b", vrid=8, addresses=["10.88.0.201"])
    clash = Resolved(FOUND.report, frozenset({ipaddress.ip_address("10.88.0.201")}))
    election, left_out = elect(orders.desired(orders.spec(orders.instance(), other)), clash)
    assert election is not None
    assert [str(item.havip) for item in election.instances] == ["shop/web"]
    assert [(item.havip, item.reason, item.field) for item in left_out] == [("shop/b", "AddressIsNodes", "addresses")]


def test_equal_orders_give_equal_bytes() -> None:
    first, _ = elect(orders.desired(orders.spec(orders.instance())), FOUND)
    second, _ = elect(orders.desired(orders.spec(orders.instance())), FOUND)
    assert first is not None
    assert second is not None
    assert document(first) == document(second)
