"""Ports and public addresses as we see them, and the names by which we know and remember what we did.

Port tags would be the place to remember things; the cloud has them in one region only. So the VIP port itself is the
memory: nobody but us has a say in its name, it is there from the first instant (the name is part of the creation), and
it changes in the same write as the bindings. The name says whose the port is, for which HAVip, on which network
interfaces the source/destination check is off because of us, and which public address is bound because of us:

    havip-<cluster>-<class>_<namespace>_<name>_off<interface><interface>.._eip<public address>

with the last two as digests of four characters each, because a name ends at 255. The cloud's alphabet for names has no
dot, so a dot of a name is written '_'; namespaces have none. A name longer than the API takes becomes a digest.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from havip.model.address import Address, Network
from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.provider import Owner

VIP_OWNER = "neutron:VIP_PORT"
UNCHECKED = "1.1.1.1/0"
"""The pair that switches the source/destination check of a network interface off."""
NAME_LIMIT = 255
_BASE_LIMIT = 183
"""What the longest class, namespace and name that the API takes come to; leaves room for 15 interfaces at least."""
_DIGEST = 4
_NAME = re.compile(r"(?P<base>havip-.+)_off(?P<nics>(?:[a-z2-7]{4})*)(?:_eip(?P<eip>[a-z2-7]{4}))?")


@dataclass(frozen=True, slots=True)
class Pair:
    """An allowed address pair; `wire` is the whole of it as the cloud wrote it, known fields or not."""

    address: str
    wire: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Port:
    """A port; `device` is the server's id or "". `pairs` in the cloud's order."""

    id: str
    name: str
    network: str
    device: str
    device_owner: str
    addresses: tuple[Address, ...] = ()
    pairs: tuple[Pair, ...] = ()

    @property
    def is_vip(self) -> bool:
        return self.device_owner == VIP_OWNER

    @property
    def is_nic(self) -> bool:
        """Of a server; the interfaces that containers get below it have an owner of their own."""
        return self.device_owner.startswith("compute:") and self.device_owner != "compute:subeni"

    @property
    def unchecked(self) -> bool:
        """Whether the source/destination check is off, whoever switched it."""
        return any(pair.address.endswith("/0") for pair in self.pairs)

    @property
    def bound(self) -> frozenset[str]:
        """Addresses of the pairs in one spelling."""
        return frozenset(map(spelled, (pair.address for pair in self.pairs)))


@dataclass(frozen=True, slots=True)
class Eip:
    """A public address; `port` is what it is bound to, "" = nothing."""

    id: str
    address: str
    port: str


@dataclass(frozen=True, slots=True)
class Subnets:
    """A network's addresses and the ids that `fixed_ips` want, by IP version; a version it has not is not there."""

    cidrs: Mapping[int, Network]
    ids: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a VIP port remembers, as digests: `nics` that are unchecked because of us, `eip` bound because of us."""

    nics: frozenset[str] = field(default_factory=frozenset)
    eip: str = ""


def spelled(address: str) -> str:
    """One spelling per address; what is none stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def digest(identity: str) -> str:
    """Four characters that stand for a port or a public address in a name."""
    return _digest(identity)[:_DIGEST]


def prefix(owner: Owner) -> str:
    """What the names of all VIP ports of one class begin with."""
    return f"havip-{owner.mark}_"


def base(owner: Owner, havip: Key) -> str:
    """The part of a name that says whose it is; without memory."""
    plain = f"{prefix(owner)}{havip.namespace}_{havip.name.replace('.', '_')}"
    return plain if len(plain) <= _BASE_LIMIT else f"{prefix(owner)}{_digest(str(havip))}"


def name(base: str, memory: Memory) -> str:
    """The whole name; may be longer than `NAME_LIMIT`, which is the caller's to find."""
    return f"{base}_off{''.join(sorted(memory.nics))}{f'_eip{memory.eip}' if memory.eip else ''}"


def read_name(text: str) -> tuple[str, Memory] | None:
    """Base and memory of a name; None where the product has not written it, whichever class or cluster."""
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    nics = found["nics"]
    groups = frozenset(nics[at : at + _DIGEST] for at in range(0, len(nics), _DIGEST))
    return found["base"], Memory(groups, found["eip"] or "")


def base_of(text: str) -> str:
    """Base of a name; "" where the product has not written it."""
    read = read_name(text)
    return read[0] if read else ""


def memory(port: Port) -> Memory:
    """What a VIP port of the product remembers; nothing where it is none."""
    read = read_name(port.name) if port.is_vip else None
    return read[1] if read else Memory()


def havip_of(base: str, prefix: str) -> tuple[Key, ...]:
    """The HAVip that a name was made for; nothing where a digest took its place."""
    namespace, _, rest = base.removeprefix(prefix).partition("_")
    try:
        return (Key.parse(f"{namespace}/{rest.replace('_', '.')}"),) if rest else ()
    except Refused:
        return ()


def _digest(text: str) -> str:
    return b32encode(blake2b(text.encode(), digest_size=10).digest()).decode().lower()
