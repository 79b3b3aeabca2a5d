"""The election document: what the agent adds to its orders, and that the keeper understands it."""

from __future__ import annotations

import ipaddress
import json

from tests.agent import orders

from havip.agent.desired import Desired
from havip.agent.electing import document, effective
from havip.agent.interface import Resolved
from havip.model.election import Election, read_election
from havip.model.node import InterfaceReport

FOUND = Resolved(InterfaceReport("eth0", ("10.88.0.11/24",)))


OTHER = orders.instance("shop/b", vrid=8, addresses=["10.88.0.201"])


def elected(*instances: orders.Body) -> Election:
    election = effective(orders.desired(orders.spec(*instances)), FOUND).election
    assert election is not None
    return election


def served(desired: Desired) -> list[str]:
    return [str(item.instance.havip) for item in desired.spec.assignments]


def test_the_document_is_understood_by_its_reader() -> None:
    election = elected(orders.instance(), OTHER)
    read, refused = read_election(json.loads(document(election)))
    assert (read, refused) == (election, ())
    assert read.interface == "eth0"


def test_a_vip_depends_on_haproxy_only_when_it_has_front_ends() -> None:
    bare = {**OTHER, "frontends": [], "tracked": True}
    election = elected(orders.instance(), bare)
    assert {str(item.havip): item.tracked for item in election.instances} == {"shop/web": True, "shop/b": False}


def test_without_an_interface_there_is_no_document_and_haproxy_goes_on() -> None:
    desired = orders.desired(orders.spec(orders.instance()))
    out = effective(desired, Resolved(error="no such interface"))
    assert out.election is None
    assert out.desired is desired


def test_a_vip_that_is_the_nodes_own_address_is_neither_elected_nor_served_and_the_others_are() -> None:
    clash = Resolved(FOUND.report, frozenset({ipaddress.ip_address("10.88.0.201")}))
    out = effective(orders.desired(orders.spec(orders.instance(), OTHER)), clash)
    assert out.election is not None
    assert [str(item.havip) for item in out.election.instances] == ["shop/web"]
    assert served(out.desired) == ["shop/web"]
    assert [(item.havip, item.reason, item.field) for item in out.left_out] == [
        ("shop/b", "AddressIsNodes", "addresses")
    ]


def test_of_two_havips_with_one_address_only_the_one_that_is_elected_is_served() -> None:
    thief = orders.instance("other/thief", vrid=9, frontends=[orders.frontend("ssh", 22)])
    out = effective(orders.desired(orders.spec(orders.instance(), thief)), FOUND)
    assert out.election is not None
    assert len(out.election.instances) == 2, "the keeper names the second one itself"
    assert served(out.desired) == ["shop/web"]


def test_equal_orders_give_equal_bytes() -> None:
    assert document(elected(orders.instance())) == document(elected(orders.instance()))
