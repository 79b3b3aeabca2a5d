"""Table and listeners together: what is shown, when it is put anew, and what cannot be done."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from tests.keeper.made import a_probe, an_instance, free_port

from havip.keeper.netlink import NetlinkError
from havip.keeper.nftables.library import NftablesError
from havip.keeper.nftables.probes import Probed
from havip.keeper.probing import Answer, Probing, probed
from havip.model.election import Instance

OWN = frozenset({ip_address("10.88.0.11"), ip_address("10.88.0.21"), ip_address("fd00::11")})


class FakeNftables:
    """Every batch it was given; `refuses` = what it says to a batch that makes a table."""

    def __init__(self) -> None:
        self.batches: list[str] = []
        self.refuses = ""

    def run(self, command: str) -> None:
        if self.refuses and "chain" in command:
            raise NftablesError(self.refuses)
        self.batches.append(command)


class FakeReading:
    there = True

    def counters(self, _table: str) -> dict[str, int]:
        return {"probed": 3} if self.there else {}


class FakeNetlink:
    forwarding: bool | None = True

    def forwards(self, _interface: int, _version: int) -> bool:
        if self.forwarding is None:
            raise NetlinkError(19, "No such device")
        return self.forwarding


class Bench:
    def __init__(self) -> None:
        self.nftables, self.reading, self.netlink = FakeNftables(), FakeReading(), FakeNetlink()
        self.probing = Probing(
            self.nftables,  # type: ignore[arg-type]  # the same method over a list
            self.reading,  # type: ignore[arg-type]  # the same method over a flag
            self.netlink,  # type: ignore[arg-type]  # the same method over a flag
        )

    def show(self, *instances: Instance, answering: bool = True, class_name: str = "edge") -> None:
        answers = tuple(Answer(instance, answering) for instance in instances)
        self.probing.show(class_name, 2, answers, OWN)


def web(**wanted: object) -> Instance:
    return an_instance(addresses=("127.0.0.1",), probe=a_probe(port=free_port(), **wanted))


def on_bench(work: Callable[[Bench], None]) -> None:
    async def inside() -> None:
        bench = Bench()
        work(bench)
        bench.probing.remove()

    asyncio.run(inside())


def test_probes_come_to_the_node_s_own_addresses_of_the_family_never_to_a_vip() -> None:
    instance = an_instance(probe=a_probe(), addresses=("10.88.0.200", "fd00::200"))
    own = {*OWN, ip_address("10.88.0.200")}
    found = probed([Answer(instance)], own)
    addresses = (ip_address("10.88.0.11"), ip_address("10.88.0.21"))
    sources = (ip_network("168.63.129.16/32"),)
    assert found == {instance.havip: Probed(ip_address("10.88.0.200"), 59_999, sources, addresses)}


def test_the_source_of_the_adverts_is_an_own_address_whatever_its_prefix() -> None:
    instance = an_instance(probe=a_probe())
    assert probed([Answer(instance)], ())[instance.havip].own == (instance.source,)


def test_without_probes_the_kernel_is_not_touched() -> None:
    def work(bench: Bench) -> None:
        bench.show(an_instance())
        assert not bench.probing.watch()
        assert bench.nftables.batches == []

    on_bench(work)


def test_the_table_is_put_when_it_says_something_new() -> None:
    def work(bench: Bench) -> None:
        instance = web()
        bench.show(instance)
        bench.show(instance)
        assert len(bench.nftables.batches) == 1
        bench.show(instance, answering=False)
        assert len(bench.nftables.batches) == 2
        assert "dnat ip to" not in bench.nftables.batches[-1]

    on_bench(work)


def test_the_last_probe_takes_the_table_along() -> None:
    def work(bench: Bench) -> None:
        bench.show(web())
        bench.show()
        assert "delete table inet havipprobe_edge" in bench.nftables.batches[-1]
        before = len(bench.nftables.batches)
        bench.probing.remove()
        assert len(bench.nftables.batches) == before

    on_bench(work)


def test_a_table_that_somebody_removed_is_put_back() -> None:
    def work(bench: Bench) -> None:
        bench.show(web())
        bench.reading.there = False
        bench.probing.watch()
        assert len(bench.nftables.batches) == 2
        assert bench.probing.trouble == ""

    on_bench(work)


def test_a_refused_table_is_said_and_tried_again() -> None:
    def work(bench: Bench) -> None:
        bench.nftables.refuses = "Error: No such file or directory"
        bench.show(web())
        assert "No such file" in bench.probing.trouble
        bench.nftables.refuses = ""
        assert bench.probing.watch()
        assert bench.probing.trouble == ""

    on_bench(work)


def test_a_node_that_does_not_forward_says_so_for_every_vip() -> None:
    def work(bench: Bench) -> None:
        bench.netlink.forwarding = False
        bench.show(web())
        assert [(item.havip, item.reason) for item in bench.probing.left_out] == [("shop/web", "ForwardingOff")]
        assert "net.ipv4.ip_forward" in bench.probing.left_out[0].message
        bench.netlink.forwarding = True
        assert bench.probing.watch()
        assert bench.probing.left_out == ()

    on_bench(work)


def test_what_is_not_known_of_forwarding_is_not_claimed() -> None:
    def work(bench: Bench) -> None:
        bench.netlink.forwarding = None
        bench.show(web())
        assert bench.probing.left_out == ()

    on_bench(work)


def test_a_taken_port_is_said_by_name() -> None:
    def work(bench: Bench) -> None:
        instance = web()
        assert instance.probe is not None
        with socket.socket() as other:
            other.bind(("127.0.0.1", instance.probe.port))
            other.listen()
            bench.show(instance)
            assert [(item.reason, item.field) for item in bench.probing.left_out] == [("ProbePortTaken", "probe.port")]
        assert bench.probing.watch()
        assert bench.probing.left_out == ()

    on_bench(work)


@pytest.mark.parametrize("class_name", ["edge-two", "other"])
def test_another_class_name_is_another_table(class_name: str) -> None:
    def work(bench: Bench) -> None:
        instance = web()
        bench.show(instance)
        bench.show(instance, class_name=class_name)
        assert "delete table inet havipprobe_edge\n" in bench.nftables.batches[-2]
        assert f"havipprobe_{class_name.replace('-', '_')}" in bench.nftables.batches[-1]

    on_bench(work)
