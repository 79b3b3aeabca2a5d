"""A network with three nodes, things of others, and the provider that talks to it by the real SDK."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

from e2e.clouds.azure.cloud import GROUP, SUBSCRIPTION
from e2e.clouds.service import Service, Trouble
from tests.providers.azure import wire

from havip.api.v1alpha1.clouds import AzureSettings
from havip.model.address import parse_address
from havip.provider import CloudNode, Credentials, Owner, Wanted, WantedVip
from havip.testing.provider_contract import key
from havip_providers.azure.names import FORWARDING_TAG
from havip_providers.azure.provider import AzureProvider

NODES = ("n1", "n2", "n3")
TOKEN = "a-very-secret-token"  # noqa: S105
BALANCER = "vips"
PREFIX = "10.1.0.0/24"


def address_of(node):
    return f"10.1.0.{10 + NODES.index(node)}"


def settings(**more):
    return AzureSettings.model_validate(
        {
            "subscriptionId": SUBSCRIPTION,
            "resourceGroup": GROUP,
            "loadBalancer": {"name": BALANCER},
            "subnetId": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network"
            "/virtualNetworks/net/subnets/nodes",
            "ipForwarding": True,
            **more,
        }
    )


def wanted_of(*vips, nodes=NODES, cloud_settings=None, owner=None, kept=frozenset()):
    return Wanted(
        owner or Owner("0b4c", "edge"),
        cloud_settings or settings(),
        tuple(vips),
        tuple(CloudNode(name, (parse_address(address_of(name)),)) for name in nodes),
        kept,
    )


def vip(number, *, candidates=NODES, ports=(("TCP", 443),), **more):
    given = {"addresses": (parse_address(f"10.1.0.{100 + number}"),), "probe_port": 59999 - number, **more}
    return WantedVip(key(number), given.pop("addresses"), candidates, ports, **given)


def foreign_children(balancer):
    """A front end, pool, probe and rule of somebody else."""
    pool = {"id": f"{balancer}/backendAddressPools/theirs"}
    return {
        "backendAddressPools": [{"name": "theirs"}],
        "probes": [{"name": "theirs", "properties": {"protocol": "Tcp", "port": 80, "numberOfProbes": 2}}],
        "loadBalancingRules": [
            {
                "name": "theirs",
                "properties": {
                    "frontendIPConfiguration": {"id": f"{balancer}/frontendIPConfigurations/theirs"},
                    "backendAddressPool": pool,
                    "probe": {"id": f"{balancer}/probes/theirs"},
                    "protocol": "Tcp",
                    "frontendPort": 80,
                    "backendPort": 8080,
                    "somethingNew": {"a": 1},
                },
            }
        ],
        "unknownFutureField": {"b": [2]},
    }


def network(cloud, *, balancer=True, public=False):
    """Three nodes of which n1 forwards already and n2 is in somebody else's pool."""
    subnet = cloud.add_subnet("net", "nodes", PREFIX)
    group = cloud.add_security_group("nodes")
    home = cloud.id("loadBalancers", BALANCER)
    for node in NODES:
        extra = {"networkSecurityGroup": {"id": group}, "enableIPForwarding": node == "n1"}
        cloud.add_interface(f"nic-{node}", address_of(node), subnet, extra=extra)
    cloud.add_interface("nic-of-nobody", "10.1.0.50", subnet)
    for number in range(4):
        cloud.add_public_address(f"public-{number}", f"20.0.0.{100 + number}")
    if balancer:
        front = {"privateIPAddress": "10.1.0.60", "privateIPAllocationMethod": "Static", "subnet": {"id": subnet}}
        if public:
            theirs = cloud.add_public_address("theirs", "20.0.0.60")
            front = {"publicIPAddress": {"id": theirs}}
        inside = {**foreign_children(home), "frontendIPConfigurations": [{"name": "theirs", "properties": front}]}
        cloud.add_balancer(BALANCER, inside=inside)
        join(cloud, "nic-n2", f"{home}/backendAddressPools/theirs")
    return cloud


def join(cloud, interface, pool):
    there = cloud._store.get(cloud.id("networkInterfaces", interface))
    there["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = [{"id": pool}]
    cloud._store.remember()


@contextmanager
def serving(cloud):
    """Every request that was made is checked in the end."""
    with Service(cloud).serving() as service:
        yield service
    wire.checked(service.exchanges)


class AzureWorkbench:
    """`made`: the load balancer is ours to make; `public`: the VIPs are public."""

    def __init__(self, service, *, made=False, public=False):
        self.service = service
        self.cloud = service.cloud
        self.made = made
        self.public = public
        self.provider = AzureProvider(poll_seconds=0, poll_limit=5)
        self.credentials = Credentials({"token": TOKEN})

    def settings(self):
        create = {"create": {"location": "westeurope"}} if self.made else {}
        return settings(endpoint=self.service.endpoint, loadBalancer={"name": BALANCER, **create})

    def vip(self, number):
        one = vip(number, candidates=(NODES[number % 3], NODES[(number + 1) % 3]), ports=(("TCP", 443), ("UDP", 53)))
        if not self.public:
            return one
        public = self.cloud.id("publicIPAddresses", f"public-{number}")
        return replace(one, addresses=(parse_address(f"20.0.0.{100 + number}"),), public_ip=public)

    def wanted(self, vips):
        return wanted_of(*(self.vip(number) for number in range(vips)), cloud_settings=self.settings())

    def writes(self):
        return self.service.writes()

    def everything(self):
        """Children of a balancer are a set by name; ETags change with every write."""
        return _by_name(self.cloud.everything())

    def foreign(self):
        return _foreign(self.cloud.everything())

    def save(self):
        return self.cloud.save()

    def fail(self, fault, *, times):
        self.service.fail(Trouble(fault.value), times=times)

    def actions(self):
        needed = [
            "loadBalancers/read",
            "loadBalancers/write",
            "networkInterfaces/read",
            "networkInterfaces/write",
            "loadBalancers/backendAddressPools/join/action",
            "virtualNetworks/subnets/join/action",
            "networkSecurityGroups/join/action",
        ]
        needed += ["publicIPAddresses/join/action"] if self.public else []
        needed += ["loadBalancers/delete"] if self.made else []
        return [f"Microsoft.Network/{one}" for one in needed]

    def deny(self, action):
        self.cloud.denied.add(action)


def _by_name(thing):
    if isinstance(thing, dict):
        return {name: _by_name(value) for name, value in thing.items() if name != "etag"}
    if isinstance(thing, list):
        return sorted((_by_name(one) for one in thing), key=lambda one: str(one))
    return thing


OURS = "havip-"


def _foreign(thing, name=""):
    """Without ETags, and without what carries our name; IP forwarding where we did not ask for it."""
    if isinstance(thing, dict):
        tags = thing.get("tags") or {}
        if any(tag == "havip-owner" for tag in tags):
            return None
        out = {key: _foreign(value, key) for key, value in thing.items() if key != "etag"}
        if any(tag.startswith(FORWARDING_TAG) for tag in tags):
            out["properties"]["enableIPForwarding"] = False
        if name == "tags":
            out = {key: value for key, value in out.items() if not key.startswith(OURS)}
        return {key: value for key, value in out.items() if value not in (None, {}, [])}
    if isinstance(thing, list):
        mine = [one for one in thing if isinstance(one, dict) and OURS in (one.get("name") or one.get("id") or "")]
        return [_foreign(one) for one in thing if one not in mine]
    return None if isinstance(thing, str) and OURS in thing else thing


def plan_of(bench, wanted):
    cloud = bench.provider.connect(wanted, bench.credentials)
    try:
        desired = bench.provider.adjust(wanted)
        return bench.provider.plan(desired, cloud.observe(desired))
    finally:
        cloud.close()


def apply_all(bench, wanted, changes):
    cloud = bench.provider.connect(wanted, bench.credentials)
    try:
        for change in changes:
            cloud.apply(change)
    finally:
        cloud.close()


def reach(bench, wanted, *, rounds=6):
    """Plan and apply until nothing is left; returns the changes that were made."""
    made = []
    for _ in range(rounds):
        changes = plan_of(bench, wanted).changes
        if not changes:
            return made
        apply_all(bench, wanted, changes)
        made += changes
    raise AssertionError(f"still to do: {changes[0]}")
