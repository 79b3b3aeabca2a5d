"""HAVipClass: *how* VIPs are made, written by an administrator. Like a StorageClass or GatewayClass."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from havip.api.schema import ListType, Model, Rule, Rules, exactly_one, immutable
from havip.api.v1alpha1.clouds import AzureSettings, HuaweiSettings, PublicIp, TencentSettings
from havip.api.v1alpha1.conditions import Conditions
from havip.api.v1alpha1.text import (
    LABEL_KEY_MESSAGE,
    Count,
    Generation,
    Int32,
    InterfaceName,
    Label,
    LabelKey,
    LabelValue,
    NetworkRange,
    ObjectName,
    Port,
    label_key,
)

DEFAULT_CLASS_ANNOTATION = "havip.dev/is-default-class"
IN_USE_BY = 10
"""How many users of a class its status names."""


class Provider(StrEnum):
    NONE = "None"
    AZURE = "Azure"
    HUAWEI = "Huawei"
    TENCENT = "Tencent"


class LabelSelector(Model):
    """Objects that carry all of these labels."""

    match_labels: Annotated[
        dict[str, LabelValue],
        Field(min_length=1, max_length=16),
        Rules((Rule(f"self.all(key, {label_key('key')})", LABEL_KEY_MESSAGE),)),
    ]
    """Label keys and the values they must have; all must match."""


class TolerationOperator(StrEnum):
    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that the class's node pods tolerate."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.operator != 'Exists' || !has(self.value)",
            "value must be absent when operator is Exists",
            field="value",
        ),
        Rule(
            "self.operator != 'Equal' || has(self.key)",
            "key is required when operator is Equal; only Exists may go without",
            field="key",
        ),
    )

    key: LabelKey | None = None
    """The taint's key; absent with operator Exists tolerates every taint."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """Exists: any value of the key. Equal: the value below."""
    value: LabelValue | None = None
    """The taint's value, with operator Equal."""
    effect: TaintEffect | None = None
    """The taint's effect; absent means every effect."""


class ClassNodes(Model):
    """Which nodes may hold VIPs of this class. The class's node pods run there and nowhere else."""

    selector: LabelSelector | None = None
    """Nodes that carry these labels; absent means every node."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that the node pods tolerate, so that tainted nodes can take part."""


class Nothing(Model):
    """An empty object: being there is all it says."""


class Interface(Model):
    """The network interface that carries the VIPs, found on each node by itself."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one("name", "fromDefaultRoute", "fromAddressSubnet"),)

    name: InterfaceName | None = None
    """The interface's name, the same on every node, such as eth0."""
    from_default_route: Nothing | None = None
    """The interface that the node's default route leaves by."""
    from_address_subnet: Nothing | None = None
    """The interface whose subnet contains the class's VIPs."""


class AllowedNamespaces(Model):
    """Namespaces whose HAVips may use this class. Nobody may who is not named here."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one("names", "selector", "all"),)

    names: Annotated[tuple[Label, ...], Field(min_length=1, max_length=64), ListType("set")] | None = None
    """These namespaces."""
    selector: LabelSelector | None = None
    """Namespaces that carry these labels. Whoever may label a namespace may let it in."""
    all: Nothing | None = None
    """Every namespace."""


class VirtualRouterIds(Model):
    """The VRRP virtual router ids the operator may give to HAVips of this class, both ends included."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.first <= self.last", "first must not be greater than last", field="first"),
    )

    first: Annotated[int, Field(ge=1, le=255), Int32] = 1
    """Lowest id to give."""
    last: Annotated[int, Field(ge=1, le=255), Int32] = 255
    """Highest id to give."""


class VrrpElection(Model):
    """Election by VRRPv3 among a HAVip's candidates. A failure is noticed after advertIntervalMilliseconds x
    missedAdverts and a little skew."""

    advert_interval_milliseconds: Annotated[int, Field(ge=10, le=40_950, multiple_of=10), Int32] = 100
    """Time between two adverts of the active node, in milliseconds, in steps of 10."""
    missed_adverts: Annotated[int, Field(ge=2, le=100), Int32] = 3
    """How many adverts in a row must be missing before a standby takes over."""
    virtual_router_ids: VirtualRouterIds = VirtualRouterIds()
    """The ids the operator may allocate. Narrow it where other VRRP routers live on the same network."""
    settle_seconds: Annotated[int, Field(ge=0, le=3600), Int32] = 30
    """How long, in seconds, a node's election must have run before its active VIPs stay with it against a better
    candidate, so that a cold start ends with the VIPs spread as planned."""


class Election(Model):
    """How the active node of each VIP is found."""

    vrrp: VrrpElection = VrrpElection()
    """VRRPv3, unicast among the candidates; no cloud or API server takes part."""


def _with_settings(provider: str) -> tuple[Rule, Rule]:
    block = provider.lower()
    return (
        Rule(
            f"self.provider != '{provider}' || has(self.{block})",
            f"{block} is required with provider {provider}",
            field=block,
        ),
        Rule(
            f"self.provider == '{provider}' || !has(self.{block})",
            f"{block} must be absent unless provider is {provider}",
            field=block,
        ),
    )


class HAVipClassSpec(Model):
    """How VIPs of this class are made, where, and who may ask for them."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *(rule for one in ("Azure", "Huawei", "Tencent") for rule in _with_settings(one)),
        Rule(
            "self.provider != 'None' || !has(self.credentialsSecret)",
            "credentialsSecret must be absent with provider None: nothing is called",
            field="credentialsSecret",
        ),
    )

    provider: Annotated[Provider, Rules((immutable("provider"),))]
    """What makes the network deliver a VIP to its active node. None: plain layer 2, where gratuitous ARP and
    unsolicited neighbour advertisements are enough. Azure: a load balancer whose probe only the active node answers.
    Huawei: a virtual IP bound to the nodes. Tencent: a HAVIP that only the nodes may claim. Immutable."""
    azure: AzureSettings | None = None
    """Where in Azure; required with provider Azure and refused otherwise."""
    huawei: HuaweiSettings | None = None
    """Where in Huawei Cloud; required with provider Huawei and refused otherwise."""
    tencent: TencentSettings | None = None
    """Where in Tencent Cloud; required with provider Tencent and refused otherwise."""
    credentials_secret: ObjectName | None = None
    """The Secret in the operator's namespace with the cloud's credentials; the chart must name it as well. Absent:
    what the operator's environment gives it, such as a workload identity."""
    public_ips: Annotated[tuple[PublicIp, ...], Field(max_length=64), ListType("set")] = ()
    """Public addresses, by the cloud's own ids, that HAVips of this class may ask for in spec.publicIp."""
    nodes: ClassNodes = ClassNodes()
    """Which nodes may hold VIPs of this class."""
    interface: Interface
    """The network interface that carries the VIPs. Exactly one of name, fromDefaultRoute and fromAddressSubnet."""
    address_ranges: Annotated[tuple[NetworkRange, ...], Field(min_length=1, max_length=32), ListType("set")]
    """Networks in CIDR form, such as 192.0.2.192/26, that VIPs may be taken from. A HAVip outside is refused."""
    namespaces: AllowedNamespaces
    """Namespaces whose HAVips may use this class. Exactly one of names, selector and all."""
    election: Election = Election()
    """How the active node of each VIP is found."""
    reserved_ports: Annotated[tuple[Port, ...], Field(max_length=64), ListType("set")] = (22, 6443, 10_250)
    """Ports that no front end of a HAVip may use, because the nodes themselves answer there."""


class HAVipClassStatus(Model):
    """What the operator makes of this class."""

    conditions: Conditions = ()
    """Ready: the class is valid and its node pods are there. InUse: a deleted class stays while it is True."""
    observed_generation: Generation = -1
    """The metadata.generation this status is about; -1 until the operator has seen the object."""
    nodes: Count | None = None
    """How many nodes the class has."""
    vips: Count | None = None
    """How many HAVips use the class."""
    in_use_by: Annotated[
        tuple[Annotated[str, Field(max_length=127)], ...], Field(max_length=IN_USE_BY), ListType("set")
    ] = ()
    """HAVips that use the class, as namespace/name, the first few in order."""


class HAVipClass(Model):
    """How virtual IPs are made: nodes, interface, address ranges, allowed namespaces and timing. Written by an
    administrator. The annotation havip.dev/is-default-class: "true" makes it the class of HAVips that name none."""

    spec: HAVipClassSpec
    """How VIPs of this class are made, where, and who may ask for them."""
    status: HAVipClassStatus = HAVipClassStatus()
    """What the operator makes of this class. Written by the operator."""
