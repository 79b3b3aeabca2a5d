"""A lab whose nodes stand in an emulated cloud. There is no operator: the real provider is told what to bring about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from e2e.clouds.regions import REGIONS, AzureRegion, HuaweiRegion, Region, Site
from e2e.lab.declare import Vip
from e2e.lab.fabrics import PROBER, AzureFabric, Fabric, Gate, HuaweiFabric, Seat, TencentFabric
from e2e.lab.follow import wait_until
from e2e.lab.lab import ECHO_PORT, Lab, Node
from havip.api.v1alpha1.clouds import AzureSettings, HuaweiSettings, TencentSettings
from havip.model.cloud import CloudNode, Owner, Wanted, WantedVip
from havip.provider import Credentials, find

GATEWAY = "10.77.0.1"
_SETTINGS: Mapping[str, Any] = {"Azure": AzureSettings, "Huawei": HuaweiSettings, "Tencent": TencentSettings}
_LOOKS = 4
SERVED_SECONDS = 60.0


def settings_of(region: Region) -> object:
    """The class's block, as the operator reads it."""
    return _SETTINGS[region.provider].model_validate(region.settings)


def fabric_of(region: Region, gate: Gate) -> Fabric:
    match region:
        case AzureRegion():
            return AzureFabric(gate, region.cloud)
        case HuaweiRegion():
            return HuaweiFabric(gate, region.cloud)
        case _:
            return TencentFabric(gate, region.cloud, interface=region.interface)


@contextmanager
def laid(gate: Gate, provider: str, site: Site) -> Iterator[tuple[Region, Fabric]]:
    """A cloud and its network on the gate's bridge, which is a bridge again afterwards."""
    gate.close_for_all()
    try:
        with REGIONS[provider](site) as region, fabric_of(region, gate) as fabric:
            yield region, fabric
    finally:
        gate.take_away()


def carry(region: Region, *vips: WantedVip) -> None:
    """Bring the cloud to exactly these VIPs, by the product's provider and the cloud's own SDK."""
    nodes = tuple(CloudNode(name, (ip_address(own),)) for name, own in region.site.nodes.items())
    wanted = Wanted(Owner("0b4c", "edge"), settings_of(region), vips, nodes)
    provider = find(region.provider)
    cloud = provider.connect(wanted, Credentials(region.secret))
    try:
        desired = provider.adjust(wanted)
        for _ in range(_LOOKS):
            changes = provider.plan(desired, cloud.observe(desired)).changes
            for change in changes:
                cloud.apply(change)
            if not changes:
                return
    finally:
        cloud.close()
    raise RuntimeError(f"after {_LOOKS} looks there is still something to do: {changes[0]}")


@dataclass(frozen=True, slots=True)
class InACloud:
    """`region`: the cloud and its API; `fabric`: what passes because of it."""

    lab: Lab
    region: Region
    fabric: Fabric

    def tell(self, *vips: Vip) -> None:
        """The cloud carries exactly these, with the front end of each and the nodes' echoes."""
        carry(self.region, *(self._wanted(vip) for vip in vips))
        self.fabric.look()

    def wait_served_by(self, vip: Vip, node: str) -> None:
        """Until new flows go to that node and to nobody else."""
        wait_until(
            f"new flows go to {node} alone", lambda: self.fabric.serving(vip.address) == {node}, seconds=SERVED_SECONDS
        )

    def _wanted(self, vip: Vip) -> WantedVip:
        ports = [("TCP", ECHO_PORT), ("UDP", ECHO_PORT), *([("TCP", vip.port)] if vip.port else [])]
        return WantedVip(
            vip.key,
            tuple(map(ip_address, vip.addresses)),
            tuple(node.name for node in self.lab.nodes),
            tuple(ports),
            vip.probe.port if vip.probe else None,
        )

    def power_on(self, node: Node) -> None:
        node.power_on()
        _route(node)  # a boot has no routes left


@contextmanager
def in_a_cloud(lab: Lab, provider: str) -> Iterator[InACloud]:
    """From here on the lab's bridge is that cloud's network."""
    seats = [Seat(node.name, node.name, node.member.address4) for node in lab.nodes]
    gate = Gate(lab.fabric, seats, gateway=f"{GATEWAY}/24", addresses=(PROBER,))
    for node in lab.nodes:
        _route(node)
    with laid(gate, provider, Site({seat.node: seat.address for seat in seats}, "10.77.0.0/24")) as (region, fabric):
        yield InACloud(lab, region, fabric)


def _route(node: Node) -> None:
    node.network.ip("route", "replace", "default", "via", GATEWAY)
