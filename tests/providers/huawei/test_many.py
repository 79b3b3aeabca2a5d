"""How many calls it takes: reads do not grow with the VIPs, and writes are one per thing."""

from __future__ import annotations

from dataclasses import replace

from tests.providers.huawei.workbench import running


def counted(bench, vips):
    """Reads of one look, writes of one whole plan."""
    wanted = bench.wanted(tuple(replace(bench.vip(number), candidates=("n1", "n2", "n3")) for number in range(vips)))
    before = len(bench.service.exchanges)
    plan = bench.plan(wanted)
    reads = len(bench.service.exchanges) - before
    writes = bench.service.writes()
    bench.reach(wanted)
    assert not bench.plan(wanted).changes
    return reads, bench.service.writes() - writes, len(plan.changes)


def test_eighty_are_looked_at_with_as_many_reads_as_two():
    with running() as few, running() as many:
        assert counted(few, 2)[0] == counted(many, 80)[0] == 7


def test_eighty_take_eighty_writes_and_one_per_interface_and_public_ip():
    with running() as bench:
        _, writes, changes = counted(bench, 80)
        assert writes == changes == 80 + 3 + 1


def test_eighty_are_given_back():
    with running() as bench:
        before = bench.everything()
        counted(bench, 80)
        writes = bench.service.writes()
        bench.reach(bench.wanted(()))
        assert bench.everything() == before
        assert bench.service.writes() - writes == 80 + 3 + 1


def test_a_public_ip_is_not_asked_for_where_none_matters():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        bench.cloud.denied |= {"vpc:publicIps:list", "vpc:publicIps:get", "vpc:publicIps:update"}
        assert not bench.plan(bench.wanted((bench.vip(0),))).changes
