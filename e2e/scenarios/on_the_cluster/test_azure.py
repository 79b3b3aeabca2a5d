"""A cluster in an emulated Azure: a load balancer gives flows to the node that answers the HAVip's probe."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

from e2e.clouds.azure.view import Rule
from e2e.clouds.regions import AzureRegion
from e2e.cluster.commands import run
from e2e.cluster.network import FABRIC
from e2e.lab import Kind, Stream, Stretch, now
from e2e.lab.fabrics import PROBER
from e2e.product import Installation, Vip, client_of
from e2e.product.under_a_cloud import UnderACloud

PROVIDER = "Azure"
LOST_NODE_MS = 30_000.0
"""Probes come every 5 s; five times what is measured."""
BEFORE = 200_000_000
FOREIGN = "10.88.0.190"
_ASK = """
import socket, sys
asking = socket.socket()
asking.settimeout(1)
asking.bind((sys.argv[1], 0))
try:
    asking.connect((sys.argv[2], int(sys.argv[3])))
    print("up")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
"""
_HOLD = """
import socket, sys
flow = socket.create_connection((sys.argv[1], 80), 3)
print("open", flush=True)
sys.stdin.readline()
flow.settimeout(5)
flow.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(flow.recv(4096).split(b" ")[1].decode(), flush=True)
"""


def region(cloud: UnderACloud) -> AzureRegion:
    assert isinstance(cloud.region, AzureRegion)
    return cloud.region


def prepare(cloud: UnderACloud) -> None:
    """The load balancer serves somebody else already."""
    azure = region(cloud).cloud
    balancer = azure.id("loadBalancers", "vips")

    def child(kind: str, name: str) -> dict[str, str]:
        return {"id": f"{balancer}/{kind}/{name}"}

    front: dict[str, Any] = {
        "privateIPAddress": FOREIGN,
        "privateIPAllocationMethod": "Static",
        "privateIPAddressVersion": "IPv4",
        "subnet": {"id": azure.id("virtualNetworks", "net/subnets/nodes")},
    }
    probe = {"protocol": "Tcp", "port": 22, "intervalInSeconds": 15, "numberOfProbes": 2, "probeThreshold": 2}
    rule = {
        "protocol": "Tcp",
        "frontendPort": 22,
        "backendPort": 22,
        "frontendIPConfiguration": child("frontendIPConfigurations", "theirs"),
        "backendAddressPool": child("backendAddressPools", "theirs"),
        "probe": child("probes", "theirs"),
    }
    inside = {
        "frontendIPConfigurations": [{"name": "theirs", "properties": front}],
        "backendAddressPools": [{"name": "theirs", "properties": {}}],
        "probes": [{"name": "theirs", "properties": probe}],
        "loadBalancingRules": [{"name": "theirs", "properties": rule}],
    }
    azure.add_balancer("vips", inside=inside)


def ours(cloud: UnderACloud) -> list[Rule]:
    return [rule for rule in region(cloud).cloud.rules() if rule.address != FOREIGN]


def theirs(cloud: UnderACloud) -> list[Rule]:
    return [rule for rule in region(cloud).cloud.rules() if rule.address == FOREIGN]


def streams(vip: Vip) -> tuple[Stream, ...]:
    """New handshakes through haproxy: a load balancer forwards what its rules name, and no ICMP."""
    return (Stream(Kind.PROXIED, vip.address, port=90, spacing_ms=5.0),)


def wait_served_by(installation: Installation, cloud: UnderACloud, vip: Vip, *nodes: str) -> None:
    installation.cluster.until(
        lambda: cloud.fabric.serving(vip.address) == set(nodes), f"new flows go to {' and '.join(nodes)}", 40
    )


def probed(installation: Installation, cloud: UnderACloud, vip: Vip) -> dict[str, str]:
    """What each node answers to the load balancer."""
    port = str(next(rule.probe_port for rule in ours(cloud) if rule.address == vip.address))
    nodes, inside = cloud.region.site.nodes, installation.cluster.network.inside(FABRIC)
    return {
        name: run([*inside, sys.executable, "-c", _ASK, PROBER, address, port]).strip()
        for name, address in nodes.items()
    }


def test_only_the_active_node_answers_the_probe_and_gets_the_flows(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    before = theirs(cloud)
    wait_served_by(installation, cloud, carried, "n1")
    assert probed(installation, cloud, carried) == {"n1": "up", "n2": "refused", "n3": "refused"}
    answers = {installation.ask(carried.address) for _ in range(3)}
    assert answers != {""}
    assert theirs(cloud) == before


def test_a_lost_node_is_replaced_when_the_next_one_is_probed_and_nothing_is_written(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    wait_served_by(installation, cloud, carried, "n1")
    with client_of(installation.cluster, streams=streams(carried)) as client:
        client.wait_answered()
        writes, start = cloud.region.service.writes(), now()
        installation.cluster.power_off("n1")
        heir = installation.wait_active(carried.name, "n2", "n3")
        wait_served_by(installation, cloud, carried, heir)
        client.wait_answered(after=now(), seconds=20)
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < LOST_NODE_MS
    assert cloud.region.service.writes() == writes


def test_a_planned_switch_loses_no_new_flow_and_keeps_old_ones_for_a_while(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    cluster = installation.cluster
    wait_served_by(installation, cloud, carried, "n1")
    with client_of(cluster, streams=streams(carried)) as client:
        client.wait_answered()
        writes, start = cloud.region.service.writes(), now()
        kept: list[str] = []
        flow = threading.Thread(target=lambda: kept.append(_hold_open(installation, carried, seconds=15)))
        flow.start()
        installation.prefer(carried.name, "n2")
        installation.wait_active(carried.name, "n2")
        states = {one["name"]: one["state"] for one in installation.havip(carried.name)["status"]["nodes"]}
        wait_served_by(installation, cloud, carried, "n2")
        flow.join()
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert states["n1"] == "Draining"
    assert kept == ["200"], "a flow that was open before the switch is answered 15 s later"
    assert sum(one.lost for one in figures) == 0
    assert cloud.region.service.writes() == writes


def _hold_open(installation: Installation, vip: Vip, *, seconds: float) -> str:
    """Opens a flow, says nothing for so long, then asks: the HTTP status, "" where the flow was lost."""
    words = [*installation.cluster.inside("client"), sys.executable, "-c", _HOLD, vip.address]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flow:
        assert flow.stdin is not None
        assert flow.stdout is not None
        flow.stdout.readline()
        time.sleep(seconds)
        flow.stdin.write("\n")
        flow.stdin.flush()
        return flow.stdout.readline().strip()


def test_where_protocol_112_is_dropped_one_node_is_eligible_and_says_so(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    wait_served_by(installation, cloud, carried, "n1")
    cloud.fabric.gate.drop_vrrp(True)
    try:
        begun = now()
        installation.cluster.until(
            lambda: installation.condition(carried.name, "VrrpBlocked").get("status") == "True", "VrrpBlocked", 25
        )
        print(f"VrrpBlocked after {(now() - begun) / 1e6:.0f} ms")
        installation.cluster.until(lambda: len(installation.holders(carried.address)) == 1, "one node holds it", 25)
        assert cloud.fabric.gate.dropped()["vrrp"] > 0
    finally:
        cloud.fabric.gate.drop_vrrp(False)
    installation.cluster.until(
        lambda: installation.condition(carried.name, "VrrpBlocked").get("status") != "True", "adverts are heard", 60
    )


def test_a_node_that_leaves_the_class_leaves_the_pool(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    installation.unlabel_node("n3")
    site = cloud.region.site

    def members() -> set[str]:
        return {site.node(one.address) for rule in ours(cloud) for one in rule.backends}

    installation.cluster.until(lambda: members() == {"n1", "n2"}, "n3 is in no pool", 120)


def test_a_deleted_havip_leaves_the_load_balancer_as_it_was(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    before = theirs(cloud)
    assert ours(cloud)
    installation.delete(carried.name)
    assert ours(cloud) == []
    assert theirs(cloud) == before
    assert installation.ask(carried.address) == ""
