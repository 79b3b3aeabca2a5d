"""Public addresses by reference: bound to the IPv4 virtual IP, and let go only where we bound them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from e2e.clouds.service import Trouble
from tests.providers.huawei.workbench import FREE_EIP, running

from havip.provider import Conflict

SECOND = FREE_EIP[:-1] + "3"


def port_of(bench, eip=FREE_EIP):
    return bench.store.eips[eip].get("port_id")


def bound_by_hand(bench):
    """A VIP without a public address, to which somebody binds one."""
    bench.reach(bench.wanted((bench.vip(1, public_ip=None),)))
    [port] = bench.vips()
    bench.store.bind_eip(FREE_EIP, port["id"])
    return port["id"]


def test_it_is_bound_to_the_ipv4_address_of_two():
    with running() as bench:
        both = (ip_address("2001:db8:7::100"), ip_address("10.0.1.9"))
        bench.reach(bench.wanted((bench.vip(1, addresses=both),)))
        [port] = [one for one in bench.vips() if one["fixed_ips"][0]["ip_address"] == "10.0.1.9"]
        assert port_of(bench) == port["id"]
        assert len(bench.vips()) == 2


def test_it_comes_off_when_it_is_wanted_no_more_and_the_virtual_ip_stays():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(1),)))
        bench.reach(bench.wanted((bench.vip(1, public_ip=None),)))
        assert port_of(bench) is None
        assert "_eip" not in bench.vips()[0]["name"]
        assert not bench.plan(bench.wanted((bench.vip(1, public_ip=None),))).changes


def test_what_somebody_else_bound_to_our_virtual_ip_stays():
    with running() as bench:
        port = bound_by_hand(bench)
        for public_ip in (FREE_EIP, None):
            bench.reach(bench.wanted((bench.vip(1, public_ip=public_ip),)))
            assert port_of(bench) == port


def test_it_comes_off_with_the_virtual_ip_whoever_bound_it():
    with running() as bench:
        bound_by_hand(bench)
        bench.reach(bench.wanted(()))
        assert port_of(bench) is None
        assert bench.vips() == []


def test_another_one_takes_its_place():
    with running() as bench:
        bench.store.add_eip(SECOND, "203.0.113.3")
        bench.reach(bench.wanted((bench.vip(1),)))
        bench.reach(bench.wanted((bench.vip(1, public_ip=SECOND),)))
        assert (port_of(bench), port_of(bench, SECOND)) == (None, bench.vips()[0]["id"])


def test_it_moves_from_one_virtual_ip_to_another_in_one_plan():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(1), bench.vip(2))))
        plan = bench.reach(bench.wanted((bench.vip(1, public_ip=None), bench.vip(2, public_ip=FREE_EIP))))
        assert not plan.findings
        [second] = [port for port in bench.vips() if "vip-2" in port["name"]]
        assert port_of(bench) == second["id"]


def test_who_binds_it_a_moment_earlier_keeps_it():
    with running() as bench:
        wanted = bench.wanted((bench.vip(1),))
        changes = bench.plan(wanted).changes
        cloud = bench.connect()
        for change in changes[:-1]:
            cloud.apply(change)
        bench.service.fail(Trouble.OVERTAKEN)
        with pytest.raises(Conflict):
            cloud.apply(changes[-1])
        cloud.close()
        [finding] = bench.plan(wanted).findings
        assert "is bound to port" in finding.message
