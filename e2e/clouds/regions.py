"""Emulated clouds with nodes in them, as a class of the product names them; and a question or two.

Each region has: `provider` as a class names it, `settings` of its block, `secret` of its Secret, `service`, its API;
`carried()`: VIP -> nodes that may hold it; `rotate()`: take other credentials from now on, and only these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from e2e.clouds.azure.cloud import GROUP, SUBSCRIPTION, AzureCloud
from e2e.clouds.huawei import HuaweiCloud, Network, Subnet
from e2e.clouds.service import Cloud, Service
from e2e.clouds.tencent import Account, Estate, Guesses, TencentCloud

PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"


@dataclass(frozen=True, slots=True)
class Site:
    """The nodes' own addresses by name, their subnet, and how the API is given a port."""

    nodes: Mapping[str, str]
    subnet: str
    listen: Callable[[Cloud], Service] = Service

    def node(self, address: str) -> str:
        return next(name for name, own in self.nodes.items() if own == address)


@dataclass
class TencentRegion:
    cloud: TencentCloud
    service: Service
    site: Site
    provider: str = "Tencent"

    def __post_init__(self) -> None:
        self.settings = {
            "region": "ap-guangzhou",
            "vpcId": "vpc-1",
            "subnetId": "subnet-1",
            "endpoint": self.service.endpoint,
        }
        self.secret = {"secretId": "id-1", "secretKey": "first-secret-value"}

    def carried(self) -> dict[str, set[str]]:
        return {
            one.address: {member.removeprefix("ins-") for member in one.members}
            for one in self.cloud.estate.havips.values()
        }

    @staticmethod
    def interface(node: str) -> str:
        """Id of a node's network interface."""
        return f"eni-{node}"

    def rotate(self) -> dict[str, str]:
        self.cloud.accounts.clear()
        self.cloud.accounts["id-2"] = Account("id-2", "second-secret-value", None)
        return {"secretId": "id-2", "secretKey": "second-secret-value"}


@contextmanager
def tencent(site: Site) -> Iterator[TencentRegion]:
    estate = Estate(Guesses())
    estate.add_subnet("subnet-1", "vpc-1", site.subnet)
    for node, address in site.nodes.items():
        estate.add_interface(TencentRegion.interface(node), "subnet-1", (address,), instance=f"ins-{node}")
    cloud = TencentCloud({"id-1": Account("id-1", "first-secret-value", None)}, estate, task_seconds=0.1)
    with site.listen(cloud).serving() as service:
        yield TencentRegion(cloud, service, site)


@dataclass
class HuaweiRegion:
    cloud: HuaweiCloud
    service: Service
    site: Site
    provider: str = "Huawei"

    def __post_init__(self) -> None:
        self.settings = {
            "region": "eu-west-101",
            "projectId": PROJECT,
            "networkId": "network-1",
            "subnetId": "subnet-1",
            "endpoint": self.service.endpoint,
        }
        self.secret = {"accessKey": "key-1", "secretKey": "first-secret-value"}

    def carried(self) -> dict[str, set[str]]:
        with self.cloud.lock:
            vips = self.cloud.store.vips()
        return {str(one.address): {self.site.node(str(address)) for address in one.bound} for one in vips}

    def rotate(self) -> dict[str, str]:
        self.cloud.keys.clear()
        self.cloud.keys["key-2"] = ""
        return {"accessKey": "key-2", "secretKey": "second-secret-value"}


@contextmanager
def huawei(site: Site) -> Iterator[HuaweiRegion]:
    cloud = HuaweiCloud(PROJECT, [Network("network-1", (Subnet("subnet-1", site.subnet),))], keys={"key-1": ""})
    for node, address in site.nodes.items():
        cloud.store.add_nic("network-1", [address], server=f"server-{node}")
    with site.listen(cloud).serving() as service:
        yield HuaweiRegion(cloud, service, site)


@dataclass
class AzureRegion:
    cloud: AzureCloud
    service: Service
    site: Site
    provider: str = "Azure"

    def __post_init__(self) -> None:
        self.settings = {
            "subscriptionId": SUBSCRIPTION,
            "resourceGroup": GROUP,
            "loadBalancer": {"name": "vips"},
            "subnetId": self.cloud.id("virtualNetworks", "net/subnets/nodes"),
            "endpoint": self.service.endpoint,
        }
        self.secret = {"token": "first-secret-value"}

    def carried(self) -> dict[str, set[str]]:
        return {rule.address: {self.site.node(one.address) for one in rule.backends} for rule in self.cloud.rules()}

    def rotate(self) -> dict[str, str]:
        self.cloud.tokens = {"second-secret-value"}
        return {"token": "second-secret-value"}


@contextmanager
def azure(site: Site) -> Iterator[AzureRegion]:
    cloud = AzureCloud(tokens=["first-secret-value"])
    subnet = cloud.add_subnet("net", "nodes", site.subnet)
    for node, address in site.nodes.items():
        cloud.add_interface(f"nic-{node}", address, subnet)
    cloud.add_balancer("vips")
    with site.listen(cloud).serving() as service:
        yield AzureRegion(cloud, service, site)


Region = AzureRegion | HuaweiRegion | TencentRegion
REGIONS: Mapping[str, Callable[[Site], AbstractContextManager[Region]]] = {
    "Azure": azure,
    "Huawei": huawei,
    "Tencent": tencent,
}
