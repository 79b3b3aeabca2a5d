"""What a HAVipClass says of the cloud it runs in: one block per provider, read by nobody but that provider.

Names follow the cloud's own documents, so that a reader finds them there. Never a credential: those are in a Secret.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from havip.api.schema import ListType, Model, Rule, Rules, immutable
from havip.api.v1alpha1.text import Int32, NetworkRange

Uuid = Annotated[
    str,
    Field(min_length=36, max_length=36),
    Rules(
        (
            Rule(
                "self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')",
                "must be an id such as 00000000-0000-0000-0000-000000000000",
            ),
        )
    ),
]
CloudId = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Rules((Rule("self.matches('^[A-Za-z0-9-]+$')", "must be the cloud's id: letters, digits and '-'"),)),
]
Region = Annotated[
    str,
    Field(min_length=1, max_length=40),
    Rules((Rule("self.matches('^[a-z0-9-]+$')", "must be a region's name: lower-case letters, digits and '-'"),)),
]
Endpoint = Annotated[
    str,
    Field(min_length=8, max_length=253),
    Rules(
        (
            Rule(
                "self.matches('^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$')",
                "must be a URL such as https://management.example.com or http://127.0.0.1:8080, without path",
            ),
        )
    ),
]
AzureName = Annotated[
    str,
    Field(min_length=1, max_length=80),
    Rules(
        (
            Rule(
                "self.matches('^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$')",
                "must be an Azure resource's name: at most 80 letters, digits, '_', '.' or '-'",
            ),
        )
    ),
]
_STEP = "[A-Za-z0-9._()-]+"
SubnetId = Annotated[
    str,
    Field(min_length=1, max_length=400),
    Rules(
        (
            Rule(
                f"self.matches('^/subscriptions/{_STEP}/resourceGroups/{_STEP}/providers/Microsoft[.]Network"
                f"/virtualNetworks/{_STEP}/subnets/{_STEP}$')",
                "must be a subnet's resource id: /subscriptions/../resourceGroups/../providers/Microsoft.Network"
                "/virtualNetworks/../subnets/..",
            ),
        )
    ),
]
PublicIp = Annotated[
    str,
    Field(min_length=1, max_length=400),
    Rules(
        (
            Rule(
                "self.matches('^[A-Za-z0-9/._()-]+$')",
                "must be a public address by the cloud's own id: an Azure resource id, a Huawei publicip id, a Tencent"
                " eip id",
            ),
        )
    ),
]
AzureLocation = Annotated[
    str,
    Field(min_length=1, max_length=40),
    Rules((Rule("self.matches('^[a-z0-9]+$')", "must be an Azure location such as westeurope"),)),
]


class AzureLoadDistribution(StrEnum):
    DEFAULT = "Default"
    SOURCE_IP = "SourceIP"
    SOURCE_IP_PROTOCOL = "SourceIPProtocol"


class AzureCreate(Model):
    """Where to make a load balancer that is not there."""

    location: AzureLocation
    """The Azure location, that of the nodes' virtual network."""


class AzureLoadBalancer(Model):
    """The Standard load balancer that carries the VIPs of the class."""

    name: Annotated[AzureName, Rules((immutable("name"),))]
    """Its name in resourceGroup. Immutable. Front ends, probes and rules of others on it stay untouched."""
    create: AzureCreate | None = None
    """Make it if it is not there, and delete it with the last VIP. Absent: it must be there and stays."""


class AzureProbe(Model):
    """How the load balancer finds the active node."""

    interval_seconds: Annotated[int, Field(ge=5, le=60), Int32] = 5
    """Time between two probes of a node, in seconds."""
    threshold: Annotated[int, Field(ge=1, le=10), Int32] = 1
    """How many answers in a row, of one kind, change what the load balancer thinks of a node."""
    sources: Annotated[tuple[NetworkRange, ...], Field(min_length=1, max_length=8), ListType("set")] = (
        "168.63.129.16/32",
    )
    """Networks that probes come from; nobody else is answered."""


class AzureSettings(Model):
    """Azure: one floating-IP rule per port of a VIP, and a probe that only the active node answers."""

    subscription_id: Annotated[Uuid, Rules((immutable("subscriptionId"),))]
    """The subscription of the load balancer and the nodes. Immutable."""
    resource_group: Annotated[AzureName, Rules((immutable("resourceGroup"),))]
    """The resource group of the load balancer. Immutable."""
    node_resource_group: AzureName | None = None
    """The resource group of the nodes' network interfaces; absent means resourceGroup. Give back all VIPs before you
    change it."""
    load_balancer: AzureLoadBalancer
    """The Standard load balancer that carries the VIPs."""
    subnet_id: SubnetId | None = None
    """The subnet of the VIPs, by its resource id. Needed for VIPs without spec.publicIp."""
    probe: AzureProbe = AzureProbe()
    """How the load balancer finds the active node; each VIP has a probe port of its own, from 59999 downwards."""
    idle_timeout_minutes: Annotated[int, Field(ge=4, le=30), Int32] = 4
    """Minutes without traffic after which a flow is forgotten."""
    tcp_reset: bool = False
    """Tell both ends of a forgotten flow by TCP RST."""
    disable_outbound_snat: bool = True
    """Do not use a public VIP for the nodes' own outgoing connections."""
    load_distribution: AzureLoadDistribution = AzureLoadDistribution.DEFAULT
    """What of a flow decides where it goes. One node answers, so this matters during a planned switch only."""
    ip_forwarding: bool = False
    """Switch enableIPForwarding on at the candidates' network interfaces, and off again where it was off before."""
    endpoint: Endpoint | None = None
    """The resource manager's URL, for sovereign clouds; absent means the public cloud."""
    authority: Endpoint | None = None
    """The sign-in service's URL, for sovereign clouds; absent means the public cloud."""


class HuaweiSettings(Model):
    """Huawei Cloud: a virtual IP bound to the candidates' network interfaces; gratuitous ARP moves it."""

    region: Annotated[Region, Rules((immutable("region"),))]
    """The region, such as eu-west-101. Immutable."""
    project_id: Annotated[CloudId, Rules((immutable("projectId"),))]
    """The project that owns the VPC. Immutable."""
    network_id: CloudId
    """The network id of the VPC subnet that the VIPs and the nodes are in."""
    subnet_id: CloudId
    """The IPv4 subnet id (neutron_subnet_id) of that VPC subnet."""
    ipv6_subnet_id: CloudId | None = None
    """The IPv6 subnet id of that VPC subnet; needed for IPv6 VIPs."""
    endpoint: Endpoint | None = None
    """The VPC service's URL; absent means the region's own."""


class TencentInstanceType(StrEnum):
    CVM = "CVM"
    ENI = "ENI"


class TencentSettings(Model):
    """Tencent Cloud: a HAVIP that only the candidates may claim; gratuitous ARP moves it."""

    region: Annotated[Region, Rules((immutable("region"),))]
    """The region, such as ap-guangzhou. Immutable."""
    vpc_id: CloudId
    """The VPC, as vpc-...."""
    subnet_id: CloudId
    """The subnet of the VIPs and the nodes, as subnet-...."""
    instance_type: TencentInstanceType = TencentInstanceType.CVM
    """What the HAVIP is associated with: CVM, the whole instance; ENI, the network interface that has the node's
    address (not a primary one)."""
    endpoint: Endpoint | None = None
    """The VPC service's URL; absent means the public one."""
