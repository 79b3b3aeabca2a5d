"""What of a document is run, and in which order it comes and goes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from tests.keeper.made import an_election, an_instance, rendered

from havip.keeper.selection import select
from havip.model.refusal import LeftOut

WEB = an_instance()
SHOP = an_instance(name="shop", virtual_router_id=52, addresses=("10.88.0.201",))


def test_everything_is_run_in_the_order_of_the_virtual_router_ids() -> None:
    found = select(an_election(SHOP, WEB), (), ())
    assert [item.instance for item in found.target] == [WEB, SHOP]
    assert found.leaving == ()
    assert found.at_first == found.target


def test_what_is_no_longer_in_the_document_leaves_while_the_others_run() -> None:
    found = select(an_election(WEB), (), (rendered(WEB), rendered(SHOP)))
    assert [item.instance for item in found.leaving] == [SHOP]
    assert [item.instance for item in found.at_first] == [WEB, SHOP]


def test_another_virtual_router_id_waits_until_the_old_one_has_left() -> None:
    moved = replace(WEB, virtual_router_id=99)
    found = select(an_election(moved, SHOP), (), (rendered(WEB), rendered(SHOP)))
    assert [item.instance for item in found.leaving] == [WEB]
    assert [item.instance for item in found.at_first] == [WEB, SHOP]
    assert [item.instance for item in found.target] == [SHOP, moved]


def test_an_address_that_another_havip_gives_up_is_not_started_before() -> None:
    heir = replace(SHOP, addresses=WEB.addresses)
    found = select(an_election(heir), (), (rendered(WEB),))
    assert [item.instance for item in found.at_first] == [WEB]
    assert [item.instance for item in found.target] == [heir]


def test_another_own_address_is_a_new_election() -> None:
    moved = replace(WEB, source=ip_address("10.88.0.99"))
    found = select(an_election(moved), (), (rendered(WEB),))
    assert [item.instance for item in found.leaving] == [WEB]


def test_another_priority_stays_in_place() -> None:
    found = select(an_election(replace(WEB, priority=199)), (), (rendered(WEB),))
    assert found.leaving == ()


def test_an_instance_without_peers_is_left_out_where_the_class_has_other_nodes() -> None:
    alone = replace(WEB, peers=())
    found = select(an_election(alone, SHOP), (), ())
    assert [item.instance for item in found.target] == [SHOP]
    assert [(item.havip, item.reason, item.field) for item in found.left_out] == [("shop/web", "NoPeers", "peers")]


def test_an_instance_that_is_to_give_its_address_up_needs_no_peers() -> None:
    released = replace(WEB, peers=(), eligible=False)
    found = select(an_election(released), (), (rendered(WEB),))
    assert [item.instance for item in found.target] == [released]
    assert found.left_out == ()


def test_an_instance_without_peers_runs_in_a_class_of_one_node() -> None:
    alone = replace(WEB, peers=())
    found = select(an_election(alone, redundant=False), (), ())
    assert [item.instance for item in found.target] == [alone]


def test_what_ran_goes_on_when_its_new_version_is_refused() -> None:
    refused = LeftOut("shop/web", "Invalid", "instances[0].priority", "must be ...")
    found = select(an_election(SHOP), (refused,), (rendered(WEB),))
    assert [item.instance for item in found.target] == [WEB, SHOP]
    assert found.leaving == ()
    assert found.left_out == (refused,)


def test_what_ran_makes_room_for_a_good_one_that_needs_its_place() -> None:
    refused = LeftOut("shop/web", "Invalid", "instances[0].priority", "must be ...")
    heir = replace(SHOP, virtual_router_id=WEB.virtual_router_id)
    found = select(an_election(heir), (refused,), (rendered(WEB),))
    assert [item.instance for item in found.target] == [heir]
    assert [item.instance for item in found.leaving] == [WEB]
