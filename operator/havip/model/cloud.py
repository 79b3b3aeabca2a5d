"""What the operator wants of a cloud for one class, in words that no cloud has coined. Values only.

A class is the unit: its VIPs share load balancers and network interfaces, and writes to these are worth sharing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from havip.model.address import Address
from havip.model.keys import Key


@dataclass(frozen=True, slots=True)
class Owner:
    """Who we are in the cloud: `cluster` is the uid of the namespace kube-system. What lacks the mark is not ours."""

    cluster: str
    class_name: str

    @property
    def mark(self) -> str:
        """Short enough for any cloud's tag or name: 8 hexadecimal digits of the cluster, then the class."""
        return f"{blake2b(self.cluster.encode(), digest_size=4).hexdigest()}-{self.class_name}"


@dataclass(frozen=True, slots=True)
class CloudNode:
    """A node as a cloud can find it: by an own address of the class's interface. A VIP is never among them."""

    name: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class WantedVip:
    """One VIP that the cloud is to carry. `candidates` are names of nodes; the order says nothing. `leaving`: those of
    them on their way out, of which the cloud may know nothing any more.

    `ports`: (protocol, port) of the front ends. `probe_port`: where its nodes answer a probe; None = not probed.
    `public_ip`: a public address by the cloud's own id; None = none.
    """

    havip: Key
    addresses: tuple[Address, ...]
    candidates: tuple[str, ...]
    ports: tuple[tuple[str, int], ...] = ()
    probe_port: int | None = None
    public_ip: str | None = None
    leaving: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything one class wants. What the cloud has of ours beyond it is given back.

    `settings`: the class's block for its provider, None where it has none.
    `kept`: HAVips whose cloud objects stay as they are (their object cannot be read just now).
    """

    owner: Owner
    settings: object | None = None
    vips: tuple[WantedVip, ...] = ()
    nodes: tuple[CloudNode, ...] = ()
    kept: frozenset[Key] = frozenset()
