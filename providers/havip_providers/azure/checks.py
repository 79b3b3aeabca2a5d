"""What is wrong before anything is called. Pure.

What blocks leaves a VIP's cloud objects as they are: Azure refuses the whole write for one bad child, so a VIP that it
would refuse must not take the others with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from havip.model.address import Address, Network
from havip.model.keys import Key
from havip.provider import Finding
from havip_providers.azure.firewall import denied_by, probe_packet, vrrp_packet
from havip_providers.azure.mapping import (
    FRONT_ENDS,
    HA_PORTS,
    POOLS,
    RULES,
    Desired,
    Helpful,
    Json,
    Observed,
    Port,
    Seats,
    Vip,
    address_in,
    child_id,
    children,
    configs,
    listed,
    network_of,
    properties,
    reference,
    references,
)
from havip_providers.azure.names import digest_in, digest_of

_BALANCER = "spec.azure.loadBalancer"
_SUBNET = "spec.azure.subnetId"
_ADDRESSES = "spec.addresses"
_PUBLIC = "spec.publicIp"


def findings(desired: Desired, observed: Observed) -> list[Finding]:
    """Those that block first; of these, one for each VIP."""
    whole = list(_of_the_class(desired, observed))
    place = _Place.of(desired, observed)
    blocking: list[Finding] = []
    warnings: list[Finding] = []
    for vip in desired.vips:
        if vip.key in desired.kept:
            continue
        mine = [one for check in _CHECKS for one in check(place, vip)]
        blocking += [one for one in mine if one.blocks][:1]
        warnings += [one for one in mine if not one.blocks]
    found = [*whole, *blocking, *warnings, *_unread(observed), *_vrrp(place)]
    return sorted(found, key=lambda one: not one.blocks)


def _of_the_class(desired: Desired, observed: Observed) -> Iterator[Finding]:
    if not desired.vips:
        return
    settings = desired.settings
    name, group = settings.load_balancer.name, settings.resource_group
    if observed.balancer is None:
        if settings.load_balancer.create is None:
            yield Finding(
                None,
                _BALANCER,
                f"there is no load balancer {name} in resource group {group};"
                " make it, or let spec.azure.loadBalancer.create make it",
            )
        return
    sku = (observed.balancer.get("sku") or {}).get("name", "Basic")
    if sku != "Standard":
        yield Finding(None, _BALANCER, f"load balancer {name} has SKU {sku}; it must be Standard")


def _unread(observed: Observed) -> Iterator[Finding]:
    for one in observed.unread:
        message = f"{one.what} cannot be read, so faults there are not found: the credentials lack {one.permission}"
        yield Finding(None, "", message, blocks=False, permission=one.permission)


@dataclass(frozen=True, slots=True)
class _Place:
    """What is looked up for every VIP, worked out once."""

    desired: Desired
    observed: Observed
    ports: Mapping[tuple[str, int], Sequence[Port]]
    """Where each node is attached, by node and IP version."""
    taken: Mapping[Address, str]
    """Addresses in the VIPs' network that somebody has who is not us."""

    @classmethod
    def of(cls, desired: Desired, observed: Observed) -> _Place:
        nodes = {(node, version) for vip in desired.vips for node in vip.candidates for version in (4, 6)}
        seats = Seats.of(desired, observed.interfaces)
        ports = {one: seats.attached(*one) for one in sorted(nodes)}
        return cls(desired, observed, ports, _taken(desired, observed))

    def attached(self, vip: Vip) -> list[tuple[str, Address, Sequence[Port]]]:
        return [
            (node, address, self.ports[node, address.version]) for address in vip.addresses for node in vip.candidates
        ]


def _ours_to_move(desired: Desired, name: str) -> bool:
    """A front end of ours whose VIP is not one to be kept: its address is free for another VIP of ours."""
    return desired.names.ours(name) and digest_in(name) not in {digest_of(key) for key in desired.kept}


def _taken(desired: Desired, observed: Observed) -> dict[Address, str]:
    """From the interfaces, from the subnet's own list and from the load balancer's front ends."""
    own = child_id(desired.balancer_id, FRONT_ENDS, "").lower()
    network = network_of(desired.settings.subnet_id or "")
    seen: list[tuple[str, Json]] = [
        (f"network interface {interface.get('name')}", config)
        for interface in observed.interfaces
        for config in configs(interface)
        if network == network_of(reference(config, "subnet"))
    ]
    subnet = observed.subnets.get((desired.settings.subnet_id or "").lower(), {})
    for config in properties(subnet).get("ipConfigurations") or []:
        name = str(config.get("id", ""))
        if not (name.lower().startswith(own) and _ours_to_move(desired, name.rpartition("/")[2].lower())):
            seen.append((_short(name), config))
    seen += [
        (f"front end {one['name']}", one)
        for one in children(observed.balancer, FRONT_ENDS)
        if not _ours_to_move(desired, one["name"])
    ]
    return {address: who for who, config in seen if (address := address_in(config)) is not None}


def _short(resource: str) -> str:
    """The telling end of a resource id."""
    return "/".join(resource.split("/")[-4:])


# -- checks of one VIP ----------------------------------------------------------------------------------------------


def _carried(place: _Place, vip: Vip) -> Iterator[Finding]:
    if vip.probe_port is None:
        yield Finding(vip.key, "", "it has no probe port: the load balancer finds the active node by its probe alone")
    six = [one for one in vip.addresses if one.version == 6]
    if vip.public_ip is None and six:
        message = f"{six[0]}: an internal load balancer has no floating IP for IPv6; use an IPv4 address"
        yield Finding(vip.key, _ADDRESSES, message)
    if vip.public_ip is None and place.desired.settings.subnet_id is None:
        yield Finding(vip.key, _SUBNET, "a VIP without spec.publicIp needs spec.azure.subnetId")
    if vip.public_ip is not None and len(vip.addresses) > 1:
        yield Finding(vip.key, _ADDRESSES, "a VIP with spec.publicIp has that address alone")
    if vip.public_ip is not None and HA_PORTS in vip.ports:
        message = "a public VIP needs front ends: every port at once is for internal ones"
        yield Finding(vip.key, "spec.frontends", message)


def _nodes(place: _Place, vip: Vip) -> Iterator[Finding]:
    found = place.attached(vip)
    lost = [node for node, _, ports in found if not ports]
    where = f"resource group {place.desired.node_group}"
    if lost:
        message = f"no network interface in {where} has the address of {listed(lost)}"
        yield Finding(vip.key, "spec.azure.nodeResourceGroup", message, blocks=len(lost) == len(found))
    for node, _, ports in found:
        if len(ports) > 1:
            message = f"{node}: more than one network interface in {where} has its address"
            yield Finding(vip.key, "spec.azure.nodeResourceGroup", message)
        elif ports and address_in(ports[0].config) and not _floats(ports[0].config):
            message = f"{node}: its address is a secondary one; Azure gives floating IP to primary ones only"
            yield Finding(vip.key, "", message)


def _floats(config: Json) -> bool:
    inside = properties(config)
    return inside.get("privateIPAddressVersion") == "IPv6" or inside.get("primary") is not False


def _addresses(place: _Place, vip: Vip) -> Iterator[Finding]:
    subnet_id = place.desired.settings.subnet_id
    if vip.public_ip is not None or subnet_id is None:
        return
    subnet = place.observed.subnets.get(subnet_id.lower())
    if subnet is None and not place.observed.is_unread(Helpful.SUBNETS):
        yield Finding(vip.key, _SUBNET, f"there is no subnet {subnet_id}")
    for address in vip.addresses:
        if subnet is not None:
            yield from _in_subnet(vip.key, address, subnet)
        if address in place.taken:
            yield Finding(vip.key, _ADDRESSES, f"{address} is taken by {place.taken[address]}")


def _in_subnet(key: Key, address: Address, subnet: Json) -> Iterator[Finding]:
    inside = properties(subnet)
    texts = inside.get("addressPrefixes") or [inside.get("addressPrefix")]
    networks: list[Network] = [ip_network(one) for one in texts if one]
    home = [one for one in networks if address in one]
    if networks and not home:
        message = f"{address} is outside the subnet's {listed(networks)}"
        yield Finding(key, _ADDRESSES, message)
    for network in home:
        first, last = int(network.network_address), int(network.broadcast_address)
        if int(address) - first < 4 or (address.version == 4 and int(address) == last):
            yield Finding(key, _ADDRESSES, f"{address} is one of those that Azure keeps in {network}")


def _public(place: _Place, vip: Vip) -> Iterator[Finding]:
    if vip.public_ip is None:
        return
    found = place.observed.public.get(vip.public_ip.lower())
    if found is None:
        if not place.observed.is_unread(Helpful.PUBLIC):
            yield Finding(vip.key, _PUBLIC, f"there is no public IP address {vip.public_ip}")
        return
    inside, name = properties(found), found.get("name")
    sku = (found.get("sku") or {}).get("name", "Basic")
    if sku != "Standard":
        yield Finding(vip.key, _PUBLIC, f"public IP address {name} has SKU {sku}; it must be Standard")
    if str(inside.get("ipAddress")) not in map(str, vip.addresses):
        message = (
            f"public IP address {name} is {inside.get('ipAddress')}, not {listed(vip.addresses)}: with floating IP the"
            " nodes see the public address itself, so it has to be the VIP's"
        )
        yield Finding(vip.key, _PUBLIC, message)
    home = (place.observed.balancer or {}).get("location")
    if home is not None and found.get("location") not in (None, home):
        message = f"public IP address {name} is in {found['location']}, the load balancer in {home}"
        yield Finding(vip.key, _PUBLIC, message)
    user = str((inside.get("ipConfiguration") or inside.get("natGateway") or {}).get("id", ""))
    own = child_id(place.desired.balancer_id, FRONT_ENDS, "").lower()
    if user and not (user.lower().startswith(own) and _ours_to_move(place.desired, user.lower().rpartition("/")[2])):
        yield Finding(vip.key, _PUBLIC, f"{inside.get('ipAddress')} is taken by {_short(user)}")
    zones = found.get("zones") or []
    if len(zones) == 1:
        message = f"public IP address {name} is in zone {zones[0]} alone and fails with it, wherever the nodes are"
        yield Finding(vip.key, _PUBLIC, message, blocks=False)


def _neighbours(place: _Place, vip: Vip) -> Iterator[Finding]:
    """Children of others on the same load balancer that Azure would refuse ours beside."""
    desired, balancer = place.desired, place.observed.balancer
    for one in children(balancer, FRONT_ENDS):
        public = bool(reference(one, "publicIPAddress") or reference(one, "publicIPPrefix"))
        if not desired.names.ours(one["name"]) and public != (vip.public_ip is not None):
            kind = "a public" if public else "an internal"
            message = f"the load balancer is {kind} one by its front end {one['name']}; internal and public do not mix"
            yield Finding(vip.key, _BALANCER, message)
    own = {
        child_id(desired.balancer_id, FRONT_ENDS, desired.names.front_end(vip.key, address.version)).lower()
        for address in vip.addresses
    }
    ours = {port.id.lower() for _, _, ports in place.attached(vip) for port in ports}
    for one in children(balancer, RULES):
        if desired.names.ours(one["name"]):
            continue
        inside = properties(one)
        if reference(one, "frontendIPConfiguration") in own:
            message = f"rule {one['name']} of another owner is on our front end, {inside.get('protocol')} port "
            yield Finding(
                vip.key,
                _BALANCER,
                f"{message}{inside.get('frontendPort')}",
                blocks=any(_clash(inside, protocol, port) for protocol, port in vip.ports),
            )
        if inside.get("protocol") == "All" and not inside.get("enableFloatingIP") and ours & _members(balancer, one):
            message = f"rule {one['name']} of another owner takes every port of the same nodes, without floating IP"
            yield Finding(vip.key, _BALANCER, f"{message}; Azure allows no other rule for them")


def _clash(inside: Json, protocol: str, port: int) -> bool:
    if "All" in (protocol, inside.get("protocol")):
        return True
    return (protocol, port) == (inside.get("protocol"), inside.get("frontendPort"))


def _members(balancer: Json | None, rule: Json) -> set[str]:
    """IP configurations behind a rule."""
    pools = {reference(rule, "backendAddressPool"), *references(rule, POOLS)}
    return {
        member
        for one in children(balancer, POOLS)
        if str(one.get("id", "")).lower() in pools
        for member in references(one, "backendIPConfigurations")
    }


def _probes(place: _Place, vip: Vip) -> Iterator[Finding]:
    """Network security groups that keep the probe away. A warning: no cloud object would be another one for it."""
    if vip.probe_port is None:
        return
    stopped: dict[str, list[str]] = {}
    for node, _, ports in place.attached(vip):
        for port in ports[:1]:
            target = address_in(port.config)
            if target is None:
                continue
            for group in _groups(place, port):
                if rule := denied_by(group, probe_packet(target, vip.probe_port)):
                    stopped.setdefault(f"rule {rule} of network security group {group.get('name')}", []).append(node)
    for what, nodes in stopped.items():
        message = f"{what} keeps the probe of port {vip.probe_port} from {listed(nodes)}: allow AzureLoadBalancer"
        yield Finding(vip.key, "", message, blocks=False)


def _groups(place: _Place, port: Port) -> Iterator[Json]:
    """The security groups a packet to an IP configuration has to pass: the subnet's and the interface's."""
    subnet = place.observed.subnets.get(reference(port.config, "subnet"), {})
    for name in {reference(port.interface, "networkSecurityGroup"), reference(subnet, "networkSecurityGroup")} - {""}:
        if group := place.observed.groups.get(name):
            yield group


def _vrrp(place: _Place) -> Iterator[Finding]:
    """Protocol 112 between the nodes: one warning for each rule that drops it."""
    ends = {
        node: (address, ports[0])
        for (node, _), ports in place.ports.items()
        if len(ports) == 1 and (address := address_in(ports[0].config)) is not None
    }
    stopped: dict[str, None] = {}
    for node, (target, port) in ends.items():
        for peer, (source, _) in ends.items():
            for group in _groups(place, port) if peer != node and source.version == target.version else ():
                if rule := denied_by(group, vrrp_packet(source, target)):
                    stopped[f"rule {rule} of network security group {group.get('name')}"] = None
    for what in stopped:
        message = (
            f"{what} drops protocol 112 (VRRP) between the nodes; no rule can name it, so one before it must allow"
            " protocol Any and all ports from the nodes' subnet"
        )
        yield Finding(None, "", message, blocks=False)


_CHECKS: tuple[Callable[[_Place, Vip], Iterator[Finding]], ...] = (
    _carried,
    _nodes,
    _addresses,
    _public,
    _neighbours,
    _probes,
)
