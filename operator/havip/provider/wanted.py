"""What the operator wants of a cloud for one class, in words that no cloud has coined. Values only.

A class is the unit: its VIPs share load balancers and network interfaces, and writes to these are worth sharing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from havip.api.schema import Model
from havip.model.address import Address
from havip.model.keys import Key


class Credentials:
    """The values of a class's Secret by key, or nothing (the environment then has them). Never shown, never printed."""

    __slots__ = ("_values", "digest")

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        text = "\0".join(f"{key}\0{value}" for key, value in sorted(self._values.items()))
        self.digest = blake2b(text.encode(), digest_size=8, key=b"rotation").hexdigest()
        """Another one after a rotation; says nothing about the values."""

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return "Credentials(hidden)"

    def keys(self) -> frozenset[str]:
        return frozenset(self._values)

    def get(self, key: str) -> str | None:
        return self._values.get(key)


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
    """One VIP that the cloud is to carry. `candidates` are names of nodes; the order says nothing.

    `ports`: (protocol, port) of the front ends. `probe_port`: where its nodes answer a probe; None = not probed.
    `public_ip`: a public address by the cloud's own id; None = none.
    """

    havip: Key
    addresses: tuple[Address, ...]
    candidates: tuple[str, ...]
    ports: tuple[tuple[str, int], ...] = ()
    probe_port: int | None = None
    public_ip: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything one class wants. What the cloud has of ours beyond it is given back.

    `settings`: the class's block for its provider, None where it has none.
    `kept`: HAVips whose cloud objects stay as they are (their object cannot be read just now).
    """

    owner: Owner
    settings: Model | None = None
    vips: tuple[WantedVip, ...] = ()
    nodes: tuple[CloudNode, ...] = ()
    kept: frozenset[Key] = field(default_factory=frozenset)
