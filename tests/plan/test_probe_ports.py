"""Probe ports: from 59999 downwards, one per HAVip, never two on a node."""

from __future__ import annotations

from havip.model.keys import Key
from havip.plan.observed import Observed
from havip.plan.probe_ports import FIRST, LAST, ProbePorts, probe_of
from havip.testing.builders import a_class, a_snapshot

ONE, TWO = Key("shop", "one"), Key("shop", "two")
AZURE = {
    "subscriptionId": "00000000-0000-0000-0000-000000000000",
    "resourceGroup": "group",
    "loadBalancer": {"name": "vips"},
    "probe": {"intervalSeconds": 7, "threshold": 2, "sources": ["168.63.129.16/32", "fe80::/64"]},
}


def some_ports():
    return ProbePorts(Observed(a_snapshot()))


def test_ports_are_given_from_59999_downwards():
    ports = some_ports()
    first = ports.port(ONE, ["n1", "n2"])
    ports.take(ONE, ["n1", "n2"], first)
    assert (first, ports.port(TWO, ["n1"])) == (59_999, 59_998)


def test_a_havip_keeps_the_port_it_has():
    ports = some_ports()
    ports.take(ONE, ["n1"], 59_990)
    assert ports.port(ONE, ["n1", "n2"]) == 59_990


def test_a_port_of_a_front_end_is_not_taken():
    assert some_ports().port(ONE, ["n1"], unlike=(59_999, 59_998)) == 59_997


def test_when_every_port_is_somewhere_one_that_is_not_here_is_shared():
    ports = some_ports()
    for number, port in enumerate(range(FIRST, LAST - 1, -1)):
        ports.take(Key("shop", f"v{number}"), ["n1"] if port != 59_500 else ["n9"], port)
    assert ports.port(ONE, ["n1", "n2"]) == 59_500
    assert ports.port(ONE, ["n1", "n9"]) is None


def test_nodes_are_told_what_the_load_balancer_does():
    of = a_class(provider="Azure", azure=AZURE).object
    probe = probe_of(of, 59_999, 4)
    assert (probe.port, probe.interval_ms, probe.threshold, probe.overlap_flows_ms) == (59_999, 7000, 2, 10_000)
    assert [str(one) for one in probe.sources] == ["168.63.129.16/32"]
    assert probe_of(a_class().object, 59_999, 4) is None
