"""What the emulated project has, what it refuses, and who may send and be sent what. Knows no HTTP.

A port is a dictionary as on the wire, so that fields nobody here knows survive; the lab reads `Nic` and `Vip`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, uuid5

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Wire = dict[str, Any]

VIP_OWNER = "neutron:VIP_PORT"
_NAME = re.compile(r"[\w-]{0,255}")
_SETTABLE = frozenset(
    {
        "name",
        "network_id",
        "fixed_ips",
        "device_owner",
        "security_groups",
        "admin_state_up",
        "allowed_address_pairs",
        "extra_dhcp_opts",
        "tenant_id",
    }
)
_CHANGEABLE = frozenset({"name", "security_groups", "allowed_address_pairs", "extra_dhcp_opts"})


@dataclass(frozen=True, slots=True)
class Guesses:
    """Where the documents say nothing. Every one is a switch, and what is built on it is tried in both positions."""

    neutron_errors: bool = False
    """v1 answers with Neutron's own errors, as v2.0 does, instead of `VPC.` codes."""
    names_action: bool = True
    """A 403 says which action is missing."""
    create_binds: bool = True
    """Pairs given when a VIP port is made are kept; otherwise they are ignored."""
    fills_in_macs: bool = False
    """A pair without a MAC address gets the port's, as Neutron does."""
    takes_any_network: bool = True
    """`1.1.1.1/0` is taken; hardware networks are said to take no CIDR."""
    pairs: int = 10
    """Most pairs of a port."""
    ports: int | None = None
    """Quota of ports."""
    binding_lifts_check: bool = False
    """A bound VIP passes a network interface whose source/destination check is on."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """One family of a network, with the id that `fixed_ips` has."""

    id: str
    cidr: str


@dataclass(frozen=True, slots=True)
class Network:
    """What the console calls a subnet."""

    id: str
    subnets: tuple[Subnet, ...]


@dataclass(frozen=True, slots=True)
class Nic:
    """A port that is no virtual IP. `unchecked`: its source/destination check is off."""

    id: str
    server: str
    addresses: tuple[Address, ...]
    unchecked: bool


@dataclass(frozen=True, slots=True)
class Vip:
    """A virtual IP: `bound` to the network interfaces with these addresses; `public` = the address outside, or ""."""

    id: str
    address: Address
    name: str
    bound: frozenset[Address]
    public: str


class Refused(Exception):
    """A refusal: HTTP status, `code` as VPC says it and `kind` as Neutron does."""

    def __init__(self, status: int, code: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind
        self.message = message


@dataclass(slots=True)
class Store:
    """Ports and public addresses by id, and who announced which VIP last."""

    project: str
    networks: Mapping[str, Network]
    guesses: Guesses = field(default_factory=Guesses)
    ports: dict[str, Wire] = field(default_factory=dict)
    eips: dict[str, Wire] = field(default_factory=dict)
    claims: dict[Address, str] = field(default_factory=dict)
    made: int = 0

    # -- ports ------------------------------------------------------------------------------------------------

    def create_port(self, option: Wire) -> Wire:
        if unknown := option.keys() - _SETTABLE:
            raise _wrong(f"Unrecognized attribute(s) {', '.join(sorted(unknown))}")
        owner = option.get("device_owner", "")
        if owner not in ("", VIP_OWNER):
            raise _wrong(f"device_owner {owner} cannot be set")
        network = self.networks.get(option.get("network_id", ""))
        if network is None:
            raise Refused(404, "VPC.0202", "NetworkNotFound", f"Network {option.get('network_id')} could not be found.")
        if self.guesses.ports is not None and len(self.ports) >= self.guesses.ports:
            raise Refused(409, "VPC.2504", "OverQuota", "Quota exceeded for resources: ['port'].")
        fixed = self._fixed(network, option.get("fixed_ips") or ())
        pairs = self._pairs(option.get("allowed_address_pairs") or ())
        kept = pairs if self.guesses.create_binds or owner != VIP_OWNER else []
        return self.add_port(
            network.id, fixed, name=_name(option.get("name", "")), device_owner=owner, allowed_address_pairs=kept
        )

    def update_port(self, port_id: str, option: Wire) -> Wire:
        port = self.port(port_id)
        if unknown := option.keys() - _CHANGEABLE:
            raise _wrong(f"Cannot update read-only attribute(s) {', '.join(sorted(unknown))}")
        if "name" in option:
            port["name"] = _name(option["name"])
        if "allowed_address_pairs" in option:
            port["allowed_address_pairs"] = self._filled_in(port, self._pairs(option["allowed_address_pairs"]))
        return port

    def delete_port(self, port_id: str) -> None:
        port = self.port(port_id)
        if port["device_owner"] not in ("", VIP_OWNER) or port["device_id"]:
            raise Refused(409, "VPC.2511", "PortInUse", f"Port {port_id} is used by {port['device_owner']}.")
        if any(eip.get("port_id") == port_id for eip in self.eips.values()):
            raise Refused(409, "VPC.2511", "PortInUse", f"Port {port_id} has a public IP bound.")
        del self.ports[port_id]

    def port(self, port_id: str) -> Wire:
        try:
            return self.ports[port_id]
        except KeyError:
            raise Refused(404, "VPC.2503", "PortNotFound", f"Port {port_id} could not be found.") from None

    def add_port(self, network: str, fixed: Sequence[Wire], **more: object) -> Wire:
        """Put a port there, without asking."""
        self.made += 1
        port_id = str(uuid5(NAMESPACE_OID, f"port {self.made}"))
        port: Wire = {
            "id": port_id,
            "name": "",
            "network_id": network,
            "device_id": "",
            "device_owner": "",
            "fixed_ips": list(fixed),
            "allowed_address_pairs": [],
            "status": "DOWN",
            "mac_address": f"fa:16:3e:00:{self.made >> 8:02x}:{self.made & 255:02x}",
            "tenant_id": self.project,
            "admin_state_up": True,
            "security_groups": [],
            "port_security_enabled": True,
        }
        port |= more
        port["allowed_address_pairs"] = self._filled_in(port, port["allowed_address_pairs"])
        self.ports[port_id] = port
        return port

    def _filled_in(self, port: Wire, pairs: Sequence[Wire]) -> list[Wire]:
        mac = {"mac_address": port["mac_address"]} if self.guesses.fills_in_macs else {}
        return [{**mac, **pair} for pair in pairs]

    def add_nic(self, network: str, addresses: Iterable[str], *, server: str, **more: object) -> str:
        """A server's network interface; returns the port's id."""
        fixed = [
            {"subnet_id": self._subnet(self.networks[network], ipaddress.ip_address(one)).id, "ip_address": one}
            for one in addresses
        ]
        port = self.add_port(network, fixed, device_id=server, device_owner="compute:zone-a", **more)
        return str(port["id"])

    def subnet(self, network_id: str) -> Wire:
        """A network as v1 shows it, under the name of a subnet."""
        network = self.networks.get(network_id)
        if network is None:
            raise Refused(404, "VPC.0202", "NetworkNotFound", f"Subnet {network_id} could not be found.")
        shown: Wire = {"id": network.id, "name": "nodes", "status": "ACTIVE", "neutron_network_id": network.id}
        for subnet in network.subnets:
            end = "_v6" if ":" in subnet.cidr else ""
            shown |= {f"cidr{end}": subnet.cidr, f"neutron_subnet_id{end}": subnet.id}
        return shown

    # -- public addresses -------------------------------------------------------------------------------------

    def eip(self, eip_id: str) -> Wire:
        try:
            return self.eips[eip_id]
        except KeyError:
            raise Refused(404, "VPC.0504", "FloatingIPNotFound", f"Floating IP {eip_id} could not be found.") from None

    def bind_eip(self, eip_id: str, port_id: str) -> Wire:
        """To a port; "" = to none."""
        eip = self.eip(eip_id)
        if not port_id:
            eip.pop("port_id", None)
            eip.pop("private_ip_address", None)
            eip["status"] = "DOWN"
            return eip
        port = self.port(port_id)
        if eip.get("port_id") not in (None, port_id):
            raise Refused(409, "VPC.0511", "FloatingIPPortAlreadyAssociated", f"Public IP {eip_id} is bound already.")
        if any(one.get("port_id") == port_id and one is not eip for one in self.eips.values()):
            raise Refused(409, "VPC.0510", "FloatingIPPortAlreadyAssociated", f"Port {port_id} has a public IP.")
        inside = [one["ip_address"] for one in port["fixed_ips"] if ":" not in one["ip_address"]]
        if not inside:
            raise Refused(400, "VPC.0501", "BadRequest", "A public IP is bound to an IPv4 address only.")
        eip |= {"port_id": port_id, "private_ip_address": inside[0], "status": "ACTIVE"}
        return eip

    def add_eip(self, eip_id: str, address: str, *, port: str | None = None) -> str:
        """A public address of the project."""
        self.eips[eip_id] = {
            "id": eip_id,
            "status": "DOWN",
            "public_ip_address": address,
            "tenant_id": self.project,
            "type": "5_bgp",
            "ip_version": 4,
        }
        if port is not None:
            self.bind_eip(eip_id, port)
        return eip_id

    # -- what the network lets pass -----------------------------------------------------------------------------

    def nics(self) -> tuple[Nic, ...]:
        return tuple(
            Nic(port["id"], port["device_id"], addresses_of(port), self._unchecked(port))
            for port in self.ports.values()
            if port["device_owner"] != VIP_OWNER
        )

    def vips(self) -> tuple[Vip, ...]:
        public = {eip.get("port_id"): str(eip["public_ip_address"]) for eip in self.eips.values()}
        return tuple(
            Vip(port["id"], address, port["name"], frozenset(_plain(port)), public.get(port["id"], ""))
            for port in self.ports.values()
            if port["device_owner"] == VIP_OWNER
            for address in addresses_of(port)
        )

    def may_leave(self, nic_id: str, source: Address) -> bool:
        """Whether a packet with this source address may leave a network interface."""
        port = self.port(nic_id)
        covered = any(source in one for one in _networks(port) if one.version == source.version)
        return source in addresses_of(port) or covered or self._passes(port, source)

    def may_enter(self, nic_id: str, destination: Address) -> bool:
        """Whether a packet to this address is delivered to a network interface that holds it."""
        port = self.port(nic_id)
        return destination in addresses_of(port) or self._passes(port, destination)

    def claim(self, nic_id: str, address: Address) -> bool:
        """A gratuitous ARP (or unsolicited advertisement) for an address: whether the network believes it."""
        if not self._passes(self.port(nic_id), address):
            return False
        self.claims[address] = nic_id
        return True

    def holder(self, address: Address) -> str | None:
        """The network interface that traffic to a VIP goes to."""
        nic_id = self.claims.get(address)
        return nic_id if nic_id in self.ports and self._passes(self.ports[nic_id], address) else None

    def inside(self, public: str) -> Address | None:
        """Where traffic to a public address goes."""
        return next((vip.address for vip in self.vips() if vip.public == public and vip.address.version == 4), None)

    def _passes(self, port: Wire, address: Address) -> bool:
        bound = any(vip.address == address and vip.bound & set(addresses_of(port)) for vip in self.vips())
        return bound and (self._unchecked(port) or self.guesses.binding_lifts_check)

    @staticmethod
    def _unchecked(port: Wire) -> bool:
        return any(pair["ip_address"] == "1.1.1.1/0" for pair in port["allowed_address_pairs"])

    # -- what is refused ----------------------------------------------------------------------------------------

    def _fixed(self, network: Network, wished: Sequence[Wire]) -> list[Wire]:
        if len(wished) != 1 or not wished[0].get("ip_address") or not wished[0].get("subnet_id"):
            raise _wrong("fixed_ips takes one address with its subnet")
        address = ipaddress.ip_address(wished[0]["ip_address"])
        subnet = self._subnet(network, address)
        if subnet.id != wished[0]["subnet_id"]:
            raise _wrong(f"{address} is not in subnet {wished[0]['subnet_id']}")
        for port in self.ports.values():
            if port["network_id"] == network.id and address in addresses_of(port):
                message = f"IP address {address} already allocated in subnet {subnet.id}"
                raise Refused(409, "VPC.0701", "IpAddressAlreadyAllocated", message)
        return [{"subnet_id": subnet.id, "ip_address": str(address)}]

    @staticmethod
    def _subnet(network: Network, address: Address) -> Subnet:
        for subnet in network.subnets:
            if address in ipaddress.ip_network(subnet.cidr):
                return subnet
        raise _wrong(f"IP address {address} is not a valid IP for the specified subnet.")

    def _pairs(self, wished: Sequence[Wire]) -> list[Wire]:
        if len(wished) > self.guesses.pairs:
            raise _wrong(f"Exceeded maximum amount of allowed address pairs: {self.guesses.pairs}")
        for pair in wished:
            text = pair.get("ip_address")
            if not isinstance(text, str) or not text:
                raise _wrong("AllowedAddressPair must contain ip_address")
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                raise _wrong(f"'{text}' is not a valid IP subnet") from None
            if text.split("/")[0] == "0.0.0.0":
                raise _wrong("0.0.0.0 is not allowed in allowed_address_pairs")
            if "/" in text and not self.guesses.takes_any_network:
                raise _wrong("hardware SDN does not support CIDR in ip_address")
        spelled = [(pair["ip_address"], pair.get("mac_address")) for pair in wished]
        if len(set(spelled)) != len(spelled):
            raise _wrong("Duplicate address pairs")
        return list(wished)


def addresses_of(port: Wire) -> tuple[Address, ...]:
    """A port's own addresses."""
    return tuple(ipaddress.ip_address(one["ip_address"]) for one in port["fixed_ips"])


def _networks(port: Wire) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """What its pairs cover; `1.1.1.1/0` covers every address of either version."""
    pairs = [ipaddress.ip_network(pair["ip_address"], strict=False) for pair in port["allowed_address_pairs"]]
    return (*pairs, *(ipaddress.ip_network("::/0") for one in pairs if str(one) == "0.0.0.0/0"))


def _plain(port: Wire) -> tuple[Address, ...]:
    return tuple(one.network_address for one in _networks(port) if one.prefixlen == one.max_prefixlen)


def _name(text: object) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise _wrong("name takes at most 255 letters, digits, '_' and '-'")
    return text


def _wrong(message: str) -> Refused:
    return Refused(400, "VPC.2500", "BadRequest", message)
