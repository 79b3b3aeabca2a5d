"""Emulated clouds as these tests need them: the nodes n1 to n3 in a network, and a question or two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from e2e.clouds.azure.cloud import GROUP, SUBSCRIPTION, AzureCloud
from e2e.clouds.huawei import HuaweiCloud, Network, Subnet
from e2e.clouds.service import Service
from e2e.clouds.tencent import Account, Estate, Guesses, TencentCloud

NETWORK = "10.88.0.0/16"
PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
ADDRESSES = {name: f"10.88.0.{name.removeprefix('n')}" for name in ("n1", "n2", "n3")}


class Region(Protocol):
    """One emulated cloud. `provider` as a class names it; `settings` of its block; `secret` of its Secret."""

    provider: str
    settings: dict[str, object]
    secret: dict[str, str]
    service: Service

    def carried(self) -> dict[str, set[str]]:
        """What the cloud has of ours: VIP -> nodes that may hold it."""

    def rotate(self) -> dict[str, str]:
        """Take other credentials from now on, and only these; returns them."""


@dataclass
class TencentRegion:
    cloud: TencentCloud
    service: Service
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

    def rotate(self) -> dict[str, str]:
        self.cloud.accounts.clear()
        self.cloud.accounts["id-2"] = Account("id-2", "second-secret-value", None)
        return {"secretId": "id-2", "secretKey": "second-secret-value"}


@contextmanager
def tencent() -> Iterator[TencentRegion]:
    estate = Estate(Guesses())
    estate.add_subnet("subnet-1", "vpc-1", NETWORK)
    for node, address in ADDRESSES.items():
        estate.add_interface(f"eni-{node}", "subnet-1", (address,), instance=f"ins-{node}")
    cloud = TencentCloud({"id-1": Account("id-1", "first-secret-value", None)}, estate, task_seconds=0.1)
    with Service(cloud).serving() as service:
        yield TencentRegion(cloud, service)


@dataclass
class HuaweiRegion:
    cloud: HuaweiCloud
    service: Service
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
        node_of = {address: name for name, address in ADDRESSES.items()}
        with self.cloud.lock:
            vips = self.cloud.store.vips()
        return {str(one.address): {node_of[str(address)] for address in one.bound} for one in vips}

    def rotate(self) -> dict[str, str]:
        self.cloud.keys.clear()
        self.cloud.keys["key-2"] = ""
        return {"accessKey": "key-2", "secretKey": "second-secret-value"}


@contextmanager
def huawei() -> Iterator[HuaweiRegion]:
    cloud = HuaweiCloud(PROJECT, [Network("network-1", (Subnet("subnet-1", NETWORK),))], keys={"key-1": ""})
    for node, address in ADDRESSES.items():
        cloud.store.add_nic("network-1", [address], server=f"server-{node}")
    with Service(cloud).serving() as service:
        yield HuaweiRegion(cloud, service)


@dataclass
class AzureRegion:
    cloud: AzureCloud
    service: Service
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
        node_of = {address: name for name, address in ADDRESSES.items()}
        return {rule.address: {node_of[one.address] for one in rule.backends} for rule in self.cloud.rules()}

    def rotate(self) -> dict[str, str]:
        self.cloud.tokens = {"second-secret-value"}
        return {"token": "second-secret-value"}


@contextmanager
def azure() -> Iterator[AzureRegion]:
    cloud = AzureCloud(tokens=["first-secret-value"])
    subnet = cloud.add_subnet("net", "nodes", NETWORK)
    for node, address in ADDRESSES.items():
        cloud.add_interface(f"nic-{node}", address, subnet)
    cloud.add_balancer("vips")
    with Service(cloud).serving() as service:
        yield AzureRegion(cloud, service)


REGIONS = {"Azure": azure, "Huawei": huawei, "Tencent": tencent}
