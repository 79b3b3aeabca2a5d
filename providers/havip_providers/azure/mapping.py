"""Between our words and Azure's JSON. Pure.

Objects stay as the cloud wrote them: a change says which children or references of ours to put or to take away, and
`merged` does that to the newest text. What we do not know of survives, and so does what belongs to others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from havip.api.v1alpha1.clouds import AzureSettings
from havip.model.address import Address, parse_address
from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.provider import Change, Conflict, Invalid, Wanted, WantedVip
from havip_providers.azure.config import settings_of
from havip_providers.azure.names import FORWARDING_TAG, OWNER_TAG, Names

Json = dict[str, Any]

FRONT_ENDS = "frontendIPConfigurations"
POOLS = "backendAddressPools"
PROBES = "probes"
RULES = "loadBalancingRules"
KINDS = (FRONT_ENDS, POOLS, PROBES, RULES)
OTHER_KINDS = ("inboundNatRules", "inboundNatPools", "outboundRules")

HA_PORTS = ("All", 0)
"""A rule for every port of every protocol; internal front ends only."""
_PROTOCOLS = {"TCP": "Tcp", "UDP": "Udp"}
_DEFAULTS: Mapping[str, object] = {
    "noHealthyBackendsBehavior": "AllProbedDown",
    "enableFloatingIP": False,
    "enableTcpReset": False,
    "disableOutboundSnat": False,
    "loadDistribution": "Default",
    "idleTimeoutInMinutes": 4,
    "privateIPAddressVersion": "IPv4",
}
"""What an absent field means, by Azure's document: the cloud need not write it back."""


# -- what is wanted -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vip:
    """One VIP as the load balancer would carry it. `ports` in Azure's words, sorted."""

    key: Key
    addresses: tuple[Address, ...]
    candidates: tuple[str, ...]
    ports: tuple[tuple[str, int], ...]
    probe_port: int | None
    public_ip: str | None


@dataclass(frozen=True, slots=True)
class Desired:
    """A class as Azure would have it."""

    names: Names
    settings: AzureSettings
    vips: tuple[Vip, ...]
    nodes: Mapping[str, tuple[Address, ...]]
    kept: frozenset[Key]

    @property
    def balancer_id(self) -> str:
        one = self.settings
        return (
            f"/subscriptions/{one.subscription_id}/resourceGroups/{one.resource_group}"
            f"/providers/Microsoft.Network/loadBalancers/{one.load_balancer.name}"
        )

    @property
    def node_group(self) -> str:
        return self.settings.node_resource_group or self.settings.resource_group


def adjusted(wanted: Wanted) -> Desired:
    return Desired(
        Names.of(wanted.owner),
        settings_of(wanted),
        tuple(sorted((_vip(one) for one in wanted.vips), key=lambda one: one.key)),
        {node.name: node.addresses for node in wanted.nodes},
        wanted.kept,
    )


def _vip(one: WantedVip) -> Vip:
    ports = sorted((_protocol(protocol), port) for protocol, port in one.ports) or [HA_PORTS]
    addresses = tuple(sorted(one.addresses, key=lambda address: address.version))
    return Vip(one.havip, addresses, tuple(sorted(one.candidates)), tuple(ports), one.probe_port, one.public_ip)


def _protocol(name: str) -> str:
    try:
        return _PROTOCOLS[name.upper()]
    except KeyError:
        raise Invalid(f"protocol {name} is not carried; TCP and UDP are", field="spec.frontends") from None


# -- what was found -------------------------------------------------------------------------------------------------


class Helpful(StrEnum):
    """What is read only because it helps to find faults, in words for people."""

    SUBNETS = "the subnet"
    GROUPS = "network security groups"
    PUBLIC = "public IP addresses"


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read, and the permission that is missing for it."""

    what: Helpful
    permission: str


@dataclass(frozen=True, slots=True)
class Observed:
    """The cloud as it was read. Mappings by the id in lower case; None = it is not there (or, `unread` says so)."""

    balancer: Json | None
    interfaces: tuple[Json, ...] = ()
    subnets: Mapping[str, Json] = field(default_factory=dict)
    groups: Mapping[str, Json] = field(default_factory=dict)
    public: Mapping[str, Json] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()

    def is_unread(self, what: Helpful) -> bool:
        return any(one.what is what for one in self.unread)


@dataclass(frozen=True, slots=True)
class Port:
    """Where a node is attached: one IP configuration of one network interface."""

    interface: Json
    config: Json

    @property
    def id(self) -> str:
        return str(self.config["id"])


def properties(thing: Mapping[str, Any]) -> Json:
    found = thing.get("properties")
    return found if isinstance(found, dict) else {}


def children(balancer: Mapping[str, Any] | None, kind: str) -> list[Json]:
    return list(properties(balancer or {}).get(kind) or [])


def reference(thing: Mapping[str, Any], name: str) -> str:
    """The id, in lower case, that a property refers to; "" = none."""
    found = properties(thing).get(name)
    return str(found.get("id", "")).lower() if isinstance(found, dict) else ""


def references(thing: Mapping[str, Any], name: str) -> list[str]:
    return [str(one.get("id", "")).lower() for one in properties(thing).get(name) or []]


def child_id(balancer_id: str, kind: str, name: str) -> str:
    return f"{balancer_id}/{kind}/{name}"


def configs(interface: Mapping[str, Any]) -> list[Json]:
    return list(properties(interface).get("ipConfigurations") or [])


def address_in(thing: Mapping[str, Any], name: str = "privateIPAddress") -> Address | None:
    """An address as the cloud writes it; a prefix (`10.0.0.16/28`) is none."""
    try:
        return parse_address(properties(thing).get(name))
    except Refused:
        return None


def network_of(subnet_id: str) -> str:
    return subnet_id.lower().partition("/subnets/")[0]


def pools_of(balancer_id: str, names: Names, config: Mapping[str, Any]) -> list[str]:
    """Names of our pools that an IP configuration is in."""
    start = child_id(balancer_id, POOLS, "").lower()
    found = [str(one.get("id", "")) for one in properties(config).get("loadBalancerBackendAddressPools") or []]
    on_it = [one.rpartition("/")[2] for one in found if one.lower().startswith(start)]
    return list(filter(names.ours, on_it))


@dataclass(frozen=True, slots=True)
class Seats:
    """Where nodes are attached, looked up by address: a resource group can have thousands of interfaces."""

    nodes: Mapping[str, tuple[Address, ...]]
    by_address: Mapping[Address, Sequence[Port]]

    @classmethod
    def of(cls, desired: Desired, interfaces: Sequence[Json]) -> Seats:
        """Of the VIPs' network alone, where the class says which it is: networks may overlap."""
        network = network_of(desired.settings.subnet_id or "")
        known = {str(address): address for addresses in desired.nodes.values() for address in addresses}
        found: dict[Address, list[Port]] = {}
        for interface in interfaces:
            for config in configs(interface):
                address = known.get(str(properties(config).get("privateIPAddress")))
                if address is not None and network in ("", network_of(reference(config, "subnet"))):
                    found.setdefault(address, []).append(Port(interface, config))
        return cls(desired.nodes, found)

    def attached(self, node: str, version: int) -> list[Port]:
        """The IP configurations that have a node's own address; more than one where networks overlap."""
        own = [one for one in self.nodes.get(node, ()) if one.version == version]
        return [port for address in own for port in self.by_address.get(address, ())]


# -- wire forms -----------------------------------------------------------------------------------------------------


def front_end(desired: Desired, vip: Vip, address: Address) -> Json:
    wire: Json
    if vip.public_ip is not None:
        wire = {"publicIPAddress": {"id": vip.public_ip}}
    else:
        wire = {
            "privateIPAddress": str(address),
            "privateIPAllocationMethod": "Static",
            "privateIPAddressVersion": f"IPv{address.version}",
            "subnet": {"id": desired.settings.subnet_id},
        }
    return {"name": desired.names.front_end(vip.key, address.version), "properties": wire}


def probe(desired: Desired, vip: Vip) -> Json:
    settings = desired.settings.probe
    return {
        "name": desired.names.probe(vip.key),
        "properties": {
            "protocol": "Tcp",
            "port": vip.probe_port,
            "intervalInSeconds": settings.interval_seconds,
            "numberOfProbes": settings.threshold,
            "probeThreshold": settings.threshold,
            "noHealthyBackendsBehavior": "AllProbedDown",
        },
    }


def pool_name(desired: Desired, vip: Vip, version: int) -> str:
    return desired.names.pool(vip.candidates, version)


def pool(desired: Desired, vip: Vip, version: int) -> Json:
    return {"name": pool_name(desired, vip, version)}


def rule(desired: Desired, vip: Vip, version: int, *, protocol: str, port: int) -> Json:
    settings, names, balancer = desired.settings, desired.names, desired.balancer_id
    to = {"id": child_id(balancer, POOLS, pool_name(desired, vip, version))}
    wire: Json = {
        "frontendIPConfiguration": {"id": child_id(balancer, FRONT_ENDS, names.front_end(vip.key, version))},
        "backendAddressPool": to,
        "backendAddressPools": [to],
        "probe": {"id": child_id(balancer, PROBES, names.probe(vip.key))},
        "protocol": protocol,
        "frontendPort": port,
        "backendPort": port,
        "enableFloatingIP": True,
        "loadDistribution": settings.load_distribution.value,
    }
    if protocol != "Udp":  # of TCP only, says the document
        wire |= {"idleTimeoutInMinutes": settings.idle_timeout_minutes, "enableTcpReset": settings.tcp_reset}
    if vip.public_ip is not None:
        wire["disableOutboundSnat"] = settings.disable_outbound_snat
    return {"name": names.rule(vip.key, version, protocol=protocol, port=port), "properties": wire}


def new_balancer(desired: Desired) -> Json | None:
    """A load balancer of our own, without children; None where the class does not want one made."""
    create = desired.settings.load_balancer.create
    if create is None:
        return None
    return {
        "location": create.location,
        "sku": {"name": "Standard", "tier": "Regional"},
        "tags": {OWNER_TAG: desired.names.mark},
        "properties": {},
    }


def made_by_us(names: Names, balancer: Mapping[str, Any]) -> bool:
    return (balancer.get("tags") or {}).get(OWNER_TAG) == names.mark


def others_on(names: Names, balancer: Mapping[str, Any]) -> bool:
    """Whether anything on it is not ours."""
    kinds = (*KINDS, *OTHER_KINDS)
    return any(not names.ours(str(one.get("name"))) for kind in kinds for one in children(balancer, kind))


def covers(there: object, wanted: object, name: str = "") -> bool:
    """Whether everything wanted is there; what else is there does not matter."""
    if isinstance(wanted, Mapping):
        found = there if isinstance(there, Mapping) else {}
        return all(covers(found.get(key, _DEFAULTS.get(key)), value, key) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(covers(a, b) for a, b in zip(there, wanted, strict=True))
        )
    if name == "id":  # Azure changes the case of ids
        return str(there).lower() == str(wanted).lower()
    return there == wanted


# -- changes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Children:
    """Children of a load balancer to put (wire forms) and to take away (names), by kind."""

    put: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)
    drop: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.put.values()) or any(self.drop.values())

    def names(self) -> Iterator[str]:
        for some in self.put.values():
            yield from (str(one["name"]) for one in some)
        for gone in self.drop.values():
            yield from gone


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBalancer(Change):
    """Write children of ours. `new`: what to begin with if it is not there; None = then somebody took it away."""

    edit: Children
    new: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBalancer(Change):
    """Take away a load balancer that we made and that nobody uses."""

    names: Names


@dataclass(frozen=True, slots=True)
class Attachment:
    """What becomes of a network interface: pairs of an IP configuration's id and a pool's id, and our claim on IP
    forwarding (None = leave it)."""

    join: tuple[tuple[str, str], ...] = ()
    leave: tuple[tuple[str, str], ...] = ()
    forwarding: bool | None = None

    def __bool__(self) -> bool:
        return bool(self.join or self.leave or self.forwarding is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutInterface(Change):
    """Write our references on a network interface, and nothing else of it."""

    edit: Attachment
    names: Names


def merged(balancer: Mapping[str, Any], edit: Children) -> Json:
    """The newest text with our children as they should be, in the order that was there. Raises `Conflict` where that
    leaves a reference to nothing: the plan was made on something older."""
    out: Json = copy.deepcopy(dict(balancer))
    inside = out.setdefault("properties", {})
    for kind in KINDS:
        put = {str(one["name"]): one for one in edit.put.get(kind, ())}
        gone = set(edit.drop.get(kind, ()))
        before = inside.get(kind) or []
        if not put and not gone & {one.get("name") for one in before}:
            continue
        after = [_over(one, put.pop(one["name"], {})) for one in before if one.get("name") not in gone]
        inside[kind] = [*after, *(copy.deepcopy(put[name]) for name in sorted(put))]
    _refuse_dangling(balancer, out)
    return out


def _over(there: Json, wanted: Mapping[str, Any]) -> Json:
    """The child as it is with what is wanted over it."""
    for key, value in wanted.items():
        nested = isinstance(value, Mapping) and isinstance(there.get(key), dict)
        if nested and "id" not in value:
            _over(there[key], value)
        elif not covers(there.get(key), value, key):
            there[key] = copy.deepcopy(value)
    return there


def _refuse_dangling(before: Mapping[str, Any], after: Json) -> None:
    balancer = str(before.get("id", "")).lower()
    here = {child_id(balancer, kind, str(one["name"])).lower() for kind in KINDS for one in children(after, kind)}
    for one in children(after, RULES):
        wanted = [reference(one, name) for name in ("frontendIPConfiguration", "backendAddressPool", "probe")]
        lost = [to for to in (*wanted, *references(one, POOLS)) if balancer and to and to not in here]
        if lost:
            raise Conflict(f"rule {one['name']} would refer to {lost[0]}, which is not there; reading again")
    left = {str(one["name"]) for one in children(after, POOLS)}
    for one in children(before, POOLS):
        if one["name"] not in left and properties(one).get("backendIPConfigurations"):
            raise Conflict(f"backend address pool {one['name']} has members again; reading again")


def rearranged(interface: Mapping[str, Any], edit: Attachment, names: Names) -> Json:
    """The newest text of a network interface with our references as they should be. Raises `Conflict` where an IP
    configuration that is to join is gone."""
    out: Json = copy.deepcopy(dict(interface))
    at = {str(one["id"]).lower(): one for one in configs(out)}
    for config, to in edit.join:
        if config.lower() not in at:
            raise Conflict(f"IP configuration {config} is not there any more; reading again")
        _membership(at[config.lower()], to, member=True)
    for config, to in edit.leave:
        if config.lower() in at:
            _membership(at[config.lower()], to, member=False)
    if edit.forwarding is not None:
        _forward(out, names, wanted=edit.forwarding)
    return out


def _membership(config: Json, to: str, *, member: bool) -> None:
    name = "loadBalancerBackendAddressPools"
    inside = config.setdefault("properties", {})
    before = inside.get(name) or []
    there = [one for one in before if str(one.get("id", "")).lower() == to.lower()]
    if member and not there:
        inside[name] = [*before, {"id": to}]
    if not member and there:
        inside[name] = [one for one in before if one not in there]
        if not inside[name]:
            del inside[name]


def claims_on(interface: Mapping[str, Any]) -> list[str]:
    """Tags of those that IP forwarding was switched on for."""
    return [tag for tag in interface.get("tags") or {} if tag.startswith(FORWARDING_TAG)]


def forwarding(interface: Mapping[str, Any], names: Names, *, wanted: bool) -> bool | None:
    """What has to be done about IP forwarding; None = nothing. On without any claim = somebody else's wish, not ours
    to remember or to end."""
    on = bool(properties(interface).get("enableIPForwarding"))
    claims = claims_on(interface)
    if wanted:
        return None if on and (names.forwarding_tag in claims or not claims) else True
    return False if names.forwarding_tag in claims else None


def _forward(interface: Json, names: Names, *, wanted: bool) -> None:
    needed = forwarding(interface, names, wanted=wanted)
    if needed is None:
        return
    tags = interface.setdefault("tags", {}) or {}
    if needed:
        tags[names.forwarding_tag] = names.mark
    else:
        tags.pop(names.forwarding_tag)
    interface["tags"] = tags
    interface["properties"]["enableIPForwarding"] = bool(claims_on(interface))
    if not tags:
        del interface["tags"]


def listed(what: Sequence[object], most: int = 3) -> str:
    """For people: the first few and how many more."""
    shown = ", ".join(map(str, what[:most]))
    return shown if len(what) <= most else f"{shown} and {len(what) - most} more"
