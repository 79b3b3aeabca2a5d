"""From what a class wants and what the cloud has to what is to be called. Pure.

A VIP port's allowed address pairs are the candidates' own addresses: that is the binding, and it is the opposite
direction of OpenStack's. `1.1.1.1/0` on every network interface of a candidate's server switches the source/destination
check off, without which a node can neither answer as the VIP nor, being on standby, reach it.

Order of the stages: what is remembered in a VIP port's name (see `wire`) is written before it is done, and forgotten
after it is undone; so a stop after any change loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from havip.model.address import Address
from havip.model.keys import Key
from havip.provider import Change, Finding, Plan, Wanted
from havip_providers.huawei import wire
from havip_providers.huawei.config import BLOCK, settings_of
from havip_providers.huawei.wire import Eip, Memory, Port, Subnets, base_of, digest, memory

UNBIND, RESTORE, DELETE, PUT, ALLOW, BIND = range(6)
"""The stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbindEip(Change):
    """Take a public address off the VIP port it is bound to."""

    eip: str
    port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreNic(Change):
    """Switch the check of a network interface on again, unless a VIP port that is not `leaving` needs it off."""

    nic: str
    leaving: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVip(Change):
    """Delete a VIP port that still has this name."""

    port: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVip(Change):
    """Make a VIP port that is bound from the first instant."""

    network: str
    subnet: str
    address: Address
    name: str
    bound: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutVip(Change):
    """Rename and bind a VIP port that still has the name `seen`."""

    port: str
    seen: str
    name: str
    bound: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowNic(Change):
    """Switch the check of a network interface off."""

    nic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BindEip(Change):
    """Bind a public address to the VIP port with this address, whose name begins with `base`."""

    eip: str
    network: str
    address: Address
    base: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node of a VIP and its own addresses; none where the node is not known."""

    node: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class WishedVip:
    """A VIP as the cloud will have it. `base`: the part of its ports' names that stays."""

    havip: Key
    base: str
    addresses: tuple[Address, ...]
    candidates: tuple[Candidate, ...]
    eip: str | None
    leaving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything of one class. `subnets` by IP version; `kept`: bases of the names that stay."""

    network: str
    subnets: Mapping[int, str]
    prefix: str
    vips: tuple[WishedVip, ...]
    kept: frozenset[str]

    @property
    def node_addresses(self) -> frozenset[Address]:
        return frozenset(one for vip in self.vips for node in vip.candidates for one in node.addresses)


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. `subnets`: of the network, None where there is no such network. `ports`: of the network, without
    VIPs. `vips`: of the project, whoever's. `servers`: network interfaces of the servers that matter, by the server's
    id. `eips`: empty where none matters."""

    subnets: Subnets | None
    ports: tuple[Port, ...]
    vips: tuple[Port, ...]
    servers: Mapping[str, tuple[Port, ...]] = field(default_factory=dict)
    eips: tuple[Eip, ...] = ()


def adjust(wanted: Wanted) -> Desired:
    """Sorted, with names and subnets. Raises `Invalid` where the class has no block."""
    settings = settings_of(wanted)
    nodes = {node.name: node.addresses for node in wanted.nodes}
    vips = sorted(wanted.vips, key=lambda one: one.havip)
    subnets = {4: settings.subnet_id} | ({6: settings.ipv6_subnet_id} if settings.ipv6_subnet_id else {})
    return Desired(
        settings.network_id,
        subnets,
        wire.prefix(wanted.owner),
        tuple(
            WishedVip(
                one.havip,
                wire.base(wanted.owner, one.havip),
                tuple(sorted(one.addresses, key=lambda address: (address.version, int(address)))),
                tuple(Candidate(node, nodes.get(node, ())) for node in sorted(set(one.candidates))),
                one.public_ip,
                frozenset(one.leaving),
            )
            for one in vips
        ),
        frozenset(wire.base(wanted.owner, one) for one in wanted.kept),
    )


def ours(port: Port, prefix: str) -> bool:
    """Whether a VIP port is this class's of this cluster."""
    return port.is_vip and port.name.startswith(prefix) and wire.read_name(port.name) is not None


def servers_of(desired: Desired, ports: Iterable[Port], vips: Iterable[Port]) -> tuple[str, ...]:
    """Servers whose network interfaces matter: of the candidates and of what our VIP ports are bound to."""
    bound = frozenset(one for port in vips if ours(port, desired.prefix) for one in port.bound)
    of = {
        port.device
        for port in ports
        if port.device and any(one in desired.node_addresses or str(one) in bound for one in port.addresses)
    }
    return tuple(sorted(of))


def eips_matter(desired: Desired, vips: Iterable[Port]) -> bool:
    """Whether any public address is wanted, remembered, or may be in the way of a deletion."""
    mine = [port for port in vips if ours(port, desired.prefix)]
    staying = {(vip.base, address) for vip in desired.vips for address in vip.addresses}

    def goes(port: Port) -> bool:
        base = base_of(port.name)
        return base not in desired.kept and not any((base, one) in staying for one in port.addresses)

    return any(vip.eip for vip in desired.vips) or any(memory(port).eip or goes(port) for port in mine)


def plan(desired: Desired, observed: Observed) -> Plan:
    """Findings first: what they block stays as it is. See the module for the order."""
    findings = list(_class_problems(desired, observed.subnets))
    left = set(desired.kept) | {vip.base for vip in desired.vips if findings}
    while True:
        view = View(desired, observed, frozenset(left))
        found = {vip.base: list(_problems(view, vip)) for vip in view.moving}
        blocked = {base for base, problems in found.items() if any(one.blocks for one in problems)}
        findings += [problem for base in sorted(blocked or found) for problem in found[base]]
        if not blocked:
            break
        left |= blocked
    changes = [*_unbound(view), *_restored(view), *_deleted(view), *_put(view), *_allowed(view), *_bound(view)]
    return Plan(sorted(changes, key=lambda one: (one.stage, one.on)), sorted(findings, key=_order))


def _class_problems(desired: Desired, subnets: Subnets | None) -> Iterator[Finding]:
    if subnets is None:
        message = f"there is no network {desired.network} in the project"
        yield Finding(None, f"{BLOCK}.networkId", message)
        return
    for version, name in ((4, "subnetId"), (6, "ipv6SubnetId")):
        given, has = desired.subnets.get(version), subnets.ids.get(version)
        if given and given != has:
            message = f"{given} is not the IPv{version} subnet of network {desired.network}, which has {has or 'none'}"
            yield Finding(None, f"{BLOCK}.{name}", message)


def _order(finding: Finding) -> tuple[str, str]:
    return str(finding.havip), finding.message


@dataclass(frozen=True)
class View:
    """Wish and cloud side by side. `left`: bases of the names of VIPs whose objects stay as they are."""

    desired: Desired
    observed: Observed
    left: frozenset[str]

    @cached_property
    def moving(self) -> tuple[WishedVip, ...]:
        return tuple(vip for vip in self.desired.vips if vip.base not in self.left)

    @cached_property
    def mine(self) -> tuple[Port, ...]:
        return tuple(port for port in self.observed.vips if ours(port, self.desired.prefix))

    @cached_property
    def going(self) -> tuple[Port, ...]:
        wished = {(vip.base, address) for vip in self.moving for address in vip.addresses}

        def stays(port: Port) -> bool:
            base, here = base_of(port.name), port.network == self.desired.network
            return base in self.left or (here and any((base, one) in wished for one in port.addresses))

        return tuple(port for port in self.mine if not stays(port))

    @cached_property
    def at(self) -> Mapping[Address, Port]:
        """Who has an address of the network."""
        here = [port for port in self.observed.vips if port.network == self.desired.network]
        return {address: port for port in (*here, *self.observed.ports) for address in port.addresses}

    def own(self, vip: WishedVip, address: Address) -> Port | None:
        port = self.at.get(address)
        return port if port is not None and ours(port, self.desired.prefix) and base_of(port.name) == vip.base else None

    def nics(self, node: Candidate) -> tuple[Port, ...]:
        """All network interfaces of a node's server; none where no port has its address."""
        own = [port for address in node.addresses if (port := self._nic(address))]
        found = {nic.id: nic for port in own for nic in self._all(port)}
        return tuple(found[one] for one in sorted(found))

    def nics_of(self, vip: WishedVip) -> tuple[Port, ...]:
        found = {nic.id: nic for node in vip.candidates for nic in self.nics(node)}
        return tuple(found[one] for one in sorted(found))

    def seat(self, node: Candidate, version: int) -> Address | None:
        """The node's own address that a VIP of this IP version is bound to."""
        named = [one for one in node.addresses if one.version == version and self._nic(one)]
        on = [one for own in node.addresses if (port := self._nic(own)) for one in port.addresses]
        return next(iter([*named, *(one for one in on if one.version == version)]), None)

    @cached_property
    def carriers(self) -> Mapping[str, frozenset[str]]:
        """VIP ports of the product, whichever class or cluster, by the interfaces that they remember."""
        found: dict[str, set[str]] = {}
        for port in self.observed.vips:
            for one in memory(port).nics:
                found.setdefault(one, set()).add(port.id)
        return {one: frozenset(ports) for one, ports in found.items()}

    def switched_by_others(self, nic: Port) -> bool:
        """Off, and nobody of the product remembers having done it: not ours to switch on again."""
        return nic.unchecked and digest(nic.id) not in self.carriers

    def remembered(self, vip: WishedVip, address: Address) -> Memory:
        nics = frozenset(digest(nic.id) for nic in self.nics_of(vip) if not self.switched_by_others(nic))
        return Memory(nics, self._eip_bit(vip, address))

    @cached_property
    def eips(self) -> Mapping[str, Eip]:
        return {eip.id: eip for eip in self.observed.eips}

    @cached_property
    def unbound(self) -> tuple[Eip, ...]:
        """Public addresses that are to come off: from what goes, and where we bound what is wanted no more."""
        going = {port.id for port in self.going}
        wished = [(self.own(vip, one), vip.eip) for vip in self.moving for one in vip.addresses]
        staying = {port.id: (port, eip) for port, eip in wished if port is not None}
        out = []
        for eip in self.observed.eips:
            port, wanted = staying.get(eip.port, (None, None))
            forgotten = port is not None and memory(port).eip == digest(eip.id) and wanted != eip.id
            if eip.port in going or forgotten:
                out.append(eip)
        return tuple(out)

    def _eip_bit(self, vip: WishedVip, address: Address) -> str:
        if vip.eip is None or address.version != 4:
            return ""
        port, eip = self.own(vip, address), self.eips.get(vip.eip)
        already = port is not None and eip is not None and eip.port == port.id
        if already and port is not None and memory(port).eip != digest(vip.eip):
            return ""  # somebody else bound it here, and may unbind it
        return digest(vip.eip)

    def _nic(self, address: Address) -> Port | None:
        port = self.at.get(address)
        return port if port is not None and not port.is_vip else None

    def _all(self, port: Port) -> Sequence[Port]:
        of_server = [one for one in self.observed.servers.get(port.device, ()) if one.is_nic] if port.device else []
        return of_server if any(one.id == port.id for one in of_server) else [*of_server, port]


def _problems(view: View, vip: WishedVip) -> Iterator[Finding]:
    yield from _address_problems(view, vip)
    yield from _node_problems(view, vip)
    yield from _eip_problems(view, vip)
    longest = max((len(wire.name(vip.base, view.remembered(vip, one))) for one in vip.addresses), default=0)
    if longest > wire.NAME_LIMIT:
        count = len(view.nics_of(vip))
        yield Finding(vip.havip, "spec.nodes", f"the candidates have {count} network interfaces, more than can be kept")


def _address_problems(view: View, vip: WishedVip) -> Iterator[Finding]:
    going = {port.id for port in view.going}
    for address in vip.addresses:
        if address.version not in view.desired.subnets:
            message = f"{address} needs the class's {BLOCK}.ipv6SubnetId"
            yield Finding(vip.havip, "spec.addresses", message)
            continue
        cidr = view.observed.subnets.cidrs.get(address.version) if view.observed.subnets else None
        if cidr is not None and address not in cidr:
            message = f"{address} is not in {cidr} of network {view.desired.network}"
            yield Finding(vip.havip, "spec.addresses", message)
        port = view.at.get(address)
        if port is not None and view.own(vip, address) is None and port.id not in going:
            yield Finding(vip.havip, "spec.addresses", f"{address} is in use by {described(port)}")


def described(port: Port) -> str:
    """A port for people."""
    named = f" named {port.name}" if port.name else ""
    return f"port {port.id}{named} of {port.device_owner or 'nobody'}"


def _node_problems(view: View, vip: WishedVip) -> Iterator[Finding]:
    nowhere = not view.nics_of(vip)
    for node in vip.candidates:
        if not view.nics(node):
            named = ", ".join(map(str, node.addresses)) or "of which no address is known"
            message = f"node {node.node} ({named}) is on no port of network {view.desired.network}"
            # A server that was deleted with its Node still there must not keep its successor out.
            yield Finding(vip.havip, "spec.nodes", message, blocks=nowhere or node.node not in vip.leaving)
            continue
        for version in sorted({address.version for address in vip.addresses}):
            if view.seat(node, version) is None:
                message = f"node {node.node} has no IPv{version} address on network {view.desired.network}"
                yield Finding(vip.havip, "spec.nodes", message)


def _eip_problems(view: View, vip: WishedVip) -> Iterator[Finding]:
    if vip.eip is None:
        return
    address = next((one for one in vip.addresses if one.version == 4), None)
    if address is None:
        yield Finding(vip.havip, "spec.publicIp", "Huawei Cloud binds public addresses to IPv4 virtual IPs only")
        return
    earlier = next((one for one in view.moving if one.eip == vip.eip), vip)
    if earlier is not vip:
        yield Finding(vip.havip, "spec.publicIp", f"public IP {vip.eip} is asked for by {earlier.havip} as well")
        return
    eip = view.eips.get(vip.eip)
    if eip is None:
        yield Finding(vip.havip, "spec.publicIp", f"there is no public IP {vip.eip} in the project")
        return
    port = view.own(vip, address)
    here = port is not None and port.id == eip.port
    if eip.port and not here and eip not in view.unbound:
        yield Finding(vip.havip, "spec.publicIp", f"public IP {vip.eip} is bound to port {eip.port} of others")


def _unbound(view: View) -> Iterator[Change]:
    at = {port.id: port for port in view.mine}
    for eip in view.unbound:
        yield UnbindEip(
            stage=UNBIND,
            on=eip.id,
            what=f"unbind public IP {eip.address or eip.id} from {_addresses(at[eip.port])}",
            havips=_havips(view, at[eip.port]),
            eip=eip.id,
            port=eip.port,
        )


def _restored(view: View) -> Iterator[Change]:
    """Interfaces that only VIP ports remember that go or will forget them."""
    new = {
        port.id: view.remembered(vip, address).nics
        for vip in view.moving
        for address in vip.addresses
        if (port := view.own(vip, address))
    }
    new |= {port.id: frozenset() for port in view.going}
    created = {one for vip in view.moving for address in vip.addresses for one in view.remembered(vip, address).nics}
    nics = {nic.id: nic for of_server in view.observed.servers.values() for nic in of_server if nic.is_nic}
    nics |= {port.id: port for port in view.observed.ports if port.id not in nics and not port.is_vip}
    for nic in nics.values():
        carriers = view.carriers.get(digest(nic.id), frozenset())
        leaving = frozenset(one for one in carriers if one in new and digest(nic.id) not in new[one])
        if not nic.unchecked or not leaving or leaving != carriers or digest(nic.id) in created:
            continue
        ports = [port for port in view.mine if port.id in leaving]
        yield RestoreNic(
            stage=RESTORE,
            on=nic.id,
            what=f"switch the source/destination check of {_addresses(nic)} on again",
            havips=tuple(sorted({key for port in ports for key in _havips(view, port)})),
            nic=nic.id,
            leaving=leaving,
        )


def _deleted(view: View) -> Iterator[Change]:
    for port in view.going:
        yield DeleteVip(
            stage=DELETE,
            on=port.id,
            what=f"delete virtual IP {_addresses(port)}",
            havips=_havips(view, port),
            port=port.id,
            name=port.name,
        )


def _put(view: View) -> Iterator[Change]:
    for vip in view.moving:
        for address in vip.addresses:
            seats = [view.seat(node, address.version) for node in vip.candidates]
            bound = tuple(str(one) for one in sorted({one for one in seats if one is not None}, key=int))
            name = wire.name(vip.base, view.remembered(vip, address))
            port = view.own(vip, address)
            if port is None:
                yield CreateVip(
                    stage=PUT,
                    on=str(address),
                    what=f"create virtual IP {address} bound to {', '.join(bound)}",
                    havips=(vip.havip,),
                    network=view.desired.network,
                    subnet=view.desired.subnets[address.version],
                    address=address,
                    name=name,
                    bound=bound,
                )
            elif port.name != name or port.bound != frozenset(bound):
                yield PutVip(
                    stage=PUT,
                    on=port.id,
                    what=f"bind virtual IP {address} to {', '.join(bound)}",
                    havips=(vip.havip,),
                    port=port.id,
                    seen=port.name,
                    name=name,
                    bound=bound,
                )


def _allowed(view: View) -> Iterator[Change]:
    needed: dict[str, tuple[Port, list[Key]]] = {}
    for vip in view.moving:
        for nic in view.nics_of(vip):
            needed.setdefault(nic.id, (nic, []))[1].append(vip.havip)
    for nic, havips in needed.values():
        if not nic.unchecked:
            yield AllowNic(
                stage=ALLOW,
                on=nic.id,
                what=f"switch the source/destination check of {_addresses(nic)} off",
                havips=tuple(havips),
                nic=nic.id,
            )


def _bound(view: View) -> Iterator[Change]:
    for vip in view.moving:
        eip = view.eips.get(vip.eip or "")
        address = next((one for one in vip.addresses if one.version == 4), None)
        if eip is None or address is None:
            continue
        port = view.own(vip, address)
        if port is None or port.id != eip.port:
            yield BindEip(
                stage=BIND,
                on=eip.id,
                what=f"bind public IP {eip.address or eip.id} to {address}",
                havips=(vip.havip,),
                eip=eip.id,
                network=view.desired.network,
                address=address,
                base=vip.base,
            )


def _addresses(port: Port) -> str:
    return ", ".join(map(str, port.addresses)) or f"port {port.id}"


def _havips(view: View, port: Port) -> tuple[Key, ...]:
    known = {vip.base: (vip.havip,) for vip in view.desired.vips}
    return known.get(base_of(port.name)) or wire.havip_of(base_of(port.name), view.desired.prefix)
