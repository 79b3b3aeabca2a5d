"""The source/destination check of the candidates' network interfaces: off for us, and as it was afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from e2e.clouds.service import Trouble
from tests.providers.huawei.workbench import NET, UNCHECKED, running

from havip.provider import Conflict, NotFound, Owner
from havip_providers.huawei.wire import digest, read_name


def remembered(bench):
    return {frozenset(read_name(port["name"])[1].nics) for port in bench.vips()}


def test_it_is_off_on_every_interface_of_a_candidates_server():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        assert bench.pairs("n1") == [UNCHECKED]
        assert bench.pairs("n1b") == [UNCHECKED]
        assert UNCHECKED not in bench.pairs("n3")


def test_pairs_of_others_keep_their_order_and_every_field():
    with running() as bench:
        before = list(bench.pairs("n3"))
        bench.reach(bench.wanted((bench.vip(2),)))
        assert bench.pairs("n3") == [*before, UNCHECKED]
        bench.reach(bench.wanted(()))
        assert bench.pairs("n3") == before


def test_what_was_off_before_us_stays_off():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        assert remembered(bench) == {frozenset({digest(bench.nics["n1"]), digest(bench.nics["n1b"])})}
        bench.reach(bench.wanted(()))
        assert bench.pairs("n2") == [UNCHECKED]
        assert bench.pairs("n1") == []


def test_what_somebody_switches_on_under_us_is_off_again_and_then_ours_to_restore():
    with running() as bench:
        wanted = bench.wanted((bench.vip(0),))
        bench.reach(wanted)
        bench.store.ports[bench.nics["n2"]]["allowed_address_pairs"] = []
        bench.reach(wanted)
        assert bench.pairs("n2") == [UNCHECKED]
        bench.reach(bench.wanted(()))
        assert bench.pairs("n2") == []


def test_the_last_of_two_classes_switches_it_on_again():
    with running() as bench:
        edge = bench.wanted((bench.vip(0),))
        core = replace(bench.wanted((bench.vip(3),)), owner=Owner("0b4c", "core"))
        bench.reach(edge)
        bench.reach(core)
        bench.reach(replace(edge, vips=()))
        assert bench.pairs("n1") == [UNCHECKED]
        bench.reach(replace(core, vips=()))
        assert bench.pairs("n1") == []
        assert bench.vips() == []


def test_a_class_in_another_network_of_the_same_servers_is_seen():
    with running() as bench:
        edge = bench.wanted((bench.vip(0),))
        bench.reach(edge)
        name = bench.vips()[0]["name"].replace("-edge_", "-core_")
        bench.store.add_port("elsewhere", [], name=name, device_owner="neutron:VIP_PORT")
        bench.reach(replace(edge, vips=()))
        assert bench.pairs("n1") == [UNCHECKED]


def test_who_joins_between_plan_and_change_keeps_it_off():
    with running() as bench:
        edge = bench.wanted((bench.vip(0),))
        bench.reach(edge)
        plan = bench.plan(replace(edge, vips=()))
        bench.reach(replace(bench.wanted((bench.vip(3),)), owner=Owner("0b4c", "core")))
        cloud = bench.connect()
        for change in plan.changes:
            cloud.apply(change)
        cloud.close()
        assert bench.pairs("n1") == [UNCHECKED]


def test_a_candidate_that_leaves_gets_its_check_back():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        bench.reach(bench.wanted((bench.vip(0, candidates=("n2", "n3")),)))
        assert bench.pairs("n1") == []
        assert bench.pairs("n1b") == []
        assert UNCHECKED in bench.pairs("n3")
        assert [pair["ip_address"] for pair in bench.vips()[0]["allowed_address_pairs"]] == ["10.0.0.12", "10.0.0.13"]


def test_interfaces_of_containers_below_an_interface_are_left_alone():
    with running() as bench:
        port = bench.store.add_port(NET, [], device_id="server-1", device_owner="compute:subeni")
        bench.reach(bench.wanted((bench.vip(0),)))
        assert port["allowed_address_pairs"] == []


def test_a_server_that_is_gone_is_not_missed():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        for name in ("n1", "n1b"):
            del bench.store.ports[bench.nics[name]]
        bench.reach(bench.wanted(()))
        assert bench.vips() == []


def test_an_interface_that_goes_between_plan_and_change_is_named():
    with running() as bench:
        plan = bench.plan(bench.wanted((bench.vip(0),)))
        for name in ("n1", "n1b"):
            del bench.store.ports[bench.nics[name]]
        cloud = bench.connect()
        with pytest.raises(NotFound, match="of a node is gone"):
            for change in plan.changes:
                cloud.apply(change)
        cloud.close()


def test_a_renamed_virtual_ip_is_not_ours_any_more():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        bench.vips()[0]["name"] = "mine-now"
        [finding] = bench.reach(bench.wanted((bench.vip(0),))).findings
        assert "named mine-now" in finding.message


def test_a_virtual_ip_that_changed_between_plan_and_deletion_is_not_deleted():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        plan = bench.plan(bench.wanted(()))
        bench.vips()[0]["name"] = "mine-now"
        cloud = bench.connect()
        with pytest.raises(Conflict):
            for change in plan.changes:
                cloud.apply(change)
        cloud.close()
        assert any(port["name"] == "mine-now" for port in bench.store.ports.values())


def test_who_takes_the_address_a_moment_earlier_has_it_and_the_next_plan_says_so():
    with running() as bench:
        wanted = bench.wanted((bench.vip(0),))
        bench.service.fail(Trouble.OVERTAKEN)
        with pytest.raises(Conflict, match="of-somebody-else"):
            bench.reach(wanted)
        [finding] = bench.plan(wanted).findings
        assert "of-somebody-else" in finding.message


def test_what_another_adds_after_our_read_is_lost_for_want_of_an_etag():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        del bench.store.ports[bench.nics["n1"]]["allowed_address_pairs"][:]
        bench.service.fail(Trouble.OVERTAKEN)
        bench.reach(bench.wanted((bench.vip(0),)))
        assert {"ip_address": "10.99.99.99"} not in bench.pairs("n1")
