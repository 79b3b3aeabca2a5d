"""A project with nodes and things of others in it, behind the real SDK; every request is checked."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from e2e.clouds.huawei import Guesses, HuaweiCloud, Network, Subnet
from e2e.clouds.service import Service, Trouble
from tests.providers.huawei.documented import assert_documented

from havip.api.v1alpha1.clouds import HuaweiSettings
from havip.provider import CloudNode, Credentials, Owner, Wanted, WantedVip
from havip.testing.memory_cloud import Fault
from havip.testing.provider_contract import key
from havip_providers.huawei.provider import HuaweiProvider

PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
NET, OTHER_NET = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"
SUB4, SUB6 = "22222222-0000-4000-8000-000000000004", "22222222-0000-4000-8000-000000000006"
FREE_EIP, TAKEN_EIP = "33333333-0000-4000-8000-000000000001", "33333333-0000-4000-8000-000000000002"
ACCESS_KEY, SECRET_KEY = "HPUAEXAMPLE0ACCESS00", "a-very-secret-key-of-the-class"
NODES = {"n1": "10.0.0.11", "n2": "10.0.0.12", "n3": "10.0.0.13"}
UNCHECKED = {"ip_address": "1.1.1.1/0"}
TROUBLES = {
    Fault.THROTTLED: Trouble.THROTTLED,
    Fault.UNAVAILABLE: Trouble.UNAVAILABLE,
    Fault.ANSWER_LOST: Trouble.ANSWER_LOST,
    Fault.STALE: Trouble.STALE,
}
ACTIONS = (
    "vpc:subnets:get",
    "vpc:ports:get",
    "vpc:ports:create",
    "vpc:ports:update",
    "vpc:ports:delete",
    "vpc:publicIps:list",
    "vpc:publicIps:get",
    "vpc:publicIps:update",
)


class HuaweiWorkbench:
    """n1 has an interface in another network as well; n2's check was off before us; n3 has pairs of somebody else."""

    credentials = Credentials({"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY})

    def __init__(self, guesses=None):
        self.cloud = HuaweiCloud(
            PROJECT,
            [
                Network(NET, (Subnet(SUB4, "10.0.0.0/16"), Subnet(SUB6, "2001:db8:7::/64"))),
                Network(OTHER_NET, (Subnet("22222222-0000-4000-8000-000000000014", "10.1.0.0/24"),)),
            ],
            keys={ACCESS_KEY: ""},
            guesses=guesses or Guesses(),
        )
        self.service = Service(self.cloud)
        self.provider = HuaweiProvider()
        self.nics = {
            "n1": self.store.add_nic(NET, ["10.0.0.11", "2001:db8:7::11"], server="server-1", colour="grey"),
            "n1b": self.store.add_nic(OTHER_NET, ["10.1.0.11"], server="server-1"),
            "n2": self.store.add_nic(
                NET, ["10.0.0.12", "2001:db8:7::12"], server="server-2", allowed_address_pairs=[dict(UNCHECKED)]
            ),
            "n3": self.store.add_nic(
                NET,
                ["10.0.0.13", "2001:db8:7::13"],
                server="server-3",
                allowed_address_pairs=[
                    {"ip_address": "10.7.0.0/24", "mac_address": "fa:16:3e:aa:bb:cc", "colour": "blue"},
                    {"ip_address": "10.0.0.200"},
                ],
            ),
        }
        self.store.add_port(
            NET, [{"subnet_id": SUB4, "ip_address": "10.0.0.1"}], device_owner="network:router_interface_distributed"
        )
        self.foreign_vip = self.store.add_port(
            NET,
            [{"subnet_id": SUB4, "ip_address": "10.0.0.200"}],
            name="database",
            device_owner="neutron:VIP_PORT",
            allowed_address_pairs=[{"ip_address": "10.0.0.13"}],
        )["id"]
        self.store.add_eip(FREE_EIP, "203.0.113.1")
        self.store.add_eip(TAKEN_EIP, "203.0.113.2", port=self.foreign_vip)

    @property
    def store(self):
        return self.cloud.store

    @property
    def settings(self):
        return HuaweiSettings(
            region="eu-west-101",
            project_id=PROJECT,
            network_id=NET,
            subnet_id=SUB4,
            ipv6_subnet_id=SUB6,
            endpoint=self.service.endpoint,
        )

    def vip(self, number, **other):
        names = list(NODES)
        given = {
            "havip": key(number),
            "addresses": (ip_address(f"10.0.{1 + number // 200}.{number % 200 + 1}"),),
            "candidates": (names[number % 3], names[(number + 1) % 3]),
            "ports": (("TCP", 443),),
            "public_ip": FREE_EIP if number == 1 else None,
        }
        return WantedVip(**{**given, **other})

    def wanted(self, vips):
        many = vips if isinstance(vips, tuple) else tuple(map(self.vip, range(vips)))
        nodes = tuple(CloudNode(name, (ip_address(one),)) for name, one in NODES.items())
        return Wanted(Owner("0b4c", "edge"), self.settings, many, nodes)

    def writes(self):
        return self.service.writes()

    def _port(self, port):
        return (port["network_id"], *(one["ip_address"] for one in port["fixed_ips"]))

    def _everything(self):
        where = {port["id"]: self._port(port) for port in self.store.ports.values()}
        ports = {where[port["id"]]: {**port, "id": "", "mac_address": ""} for port in self.store.ports.values()}
        for port in ports.values():
            if port["device_owner"] == "neutron:VIP_PORT":  # MAC addresses that the cloud may fill in are made up too
                port["allowed_address_pairs"] = [one["ip_address"] for one in port["allowed_address_pairs"]]
        eips = {one["id"]: {**one, "port_id": where.get(one.get("port_id", ""))} for one in self.store.eips.values()}
        return copy.deepcopy({"ports": ports, "eips": eips})

    def everything(self):
        with self.cloud.lock:
            return self._everything()

    def foreign(self):
        """Without our virtual IPs, and without what of others' is switched for them."""
        all_of_it = self.everything()
        ports = {at: port for at, port in all_of_it["ports"].items() if not port["name"].startswith("havip-")}
        for port in ports.values():
            if port["device_id"] and self._port(port) != self._port(self.store.ports[self.nics["n2"]]):
                port["allowed_address_pairs"] = [
                    one for one in port["allowed_address_pairs"] if one["ip_address"] != UNCHECKED["ip_address"]
                ]
        return ports, {name: one for name, one in all_of_it["eips"].items() if name != FREE_EIP}

    def save(self):
        return self.cloud.save()

    def fail(self, fault, *, times):
        self.service.fail(TROUBLES[fault], times=times)

    def actions(self):
        return ACTIONS

    def deny(self, action):
        self.cloud.denied.add(action)

    # -- for tests of our own -----------------------------------------------------------------------------------

    def connect(self, wanted=None, credentials=None):
        return self.provider.connect(wanted or self.wanted(0), credentials or self.credentials)

    def plan(self, wanted):
        cloud = self.connect(wanted)
        try:
            desired = self.provider.adjust(wanted)
            return self.provider.plan(desired, cloud.observe(desired))
        finally:
            cloud.close()

    def reach(self, wanted):
        """One plan, all of it."""
        cloud = self.connect(wanted)
        try:
            desired = self.provider.adjust(wanted)
            plan = self.provider.plan(desired, cloud.observe(desired))
            for change in plan.changes:
                cloud.apply(change)
            return plan
        finally:
            cloud.close()

    def pairs(self, name):
        return self.store.ports[self.nics[name]]["allowed_address_pairs"]

    def vips(self):
        return [port for port in self.store.ports.values() if port["name"].startswith("havip-")]


@contextmanager
def running(guesses=None) -> Iterator[HuaweiWorkbench]:
    bench = HuaweiWorkbench(guesses)
    with bench.service.serving():
        yield bench
    for exchange in bench.service.exchanges:
        assert_documented(exchange.request)
