"""A cloud that is a dictionary, and the provider for it: the smallest thing that keeps the contract.

It is what the contract suite is tried on first, and what the operator's own tests use for a cloud. Like a real one it
has objects of others, objects that several VIPs share, refuses what it must, and can be told to fail.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from havip.model.keys import Key
from havip.provider import (
    Capabilities,
    Change,
    Credentials,
    Failover,
    Finding,
    Forbidden,
    Invalid,
    NotFound,
    Plan,
    Throttled,
    Unavailable,
    Wanted,
)


class Fault(StrEnum):
    """What a cloud can be told to do wrong."""

    THROTTLED = "Throttled"
    """Refuses, and says for how long."""
    UNAVAILABLE = "Unavailable"
    """Fails before anything is done."""
    ANSWER_LOST = "AnswerLost"
    """Does it, and the answer never comes. Writes only."""
    STALE = "Stale"
    """Reads show what was before the last write."""


Objects = dict[str, dict[str, object]]


@dataclass(slots=True)
class MemoryCloud:
    """The cloud itself. `objects` by id: addresses (one per VIP) and interfaces (one per node, shared by VIPs).

    An address has `owner`, `havip`, `interfaces`; an interface `address`, `forwards` (owners that asked for it) and
    whatever its real owner put there.
    """

    objects: Objects = field(default_factory=dict)
    writes: int = 0
    calls: int = 0
    denied: frozenset[str] = frozenset()
    """Actions that the credentials may not do."""
    _faults: list[Fault] = field(default_factory=list)
    _before: Objects = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._before = copy.deepcopy(self.objects)

    def save(self) -> Callable[[], None]:
        """Notes what is there; the answer puts it back, as often as it is called."""
        saved = copy.deepcopy((self.objects, self._before))

        def restore() -> None:
            self.objects, self._before = copy.deepcopy(saved)

        return restore

    def fail(self, fault: Fault, *, times: int = 1) -> None:
        """Let the next calls to which the fault can happen meet it."""
        self._faults.extend(itertools.repeat(fault, times))

    def read(self) -> Objects:
        self._call("memory/read")
        stale = self._met(Fault.STALE)
        return copy.deepcopy(self._before if stale else self.objects)

    def write(self, name: str, value: Mapping[str, object] | None) -> None:
        """Put an object, or take it away with None."""
        action = "memory/delete" if value is None else "memory/write"
        self._call(action)
        lost = self._met(Fault.ANSWER_LOST)
        if value is None and name not in self.objects:
            raise NotFound(f"there is no {name}", what=name)
        self._before = copy.deepcopy(self.objects)
        self.writes += 1
        if value is None:
            del self.objects[name]
        else:
            self.objects[name] = copy.deepcopy(dict(value))
        if lost:
            raise Unavailable("the connection was closed before the answer came")

    def _call(self, action: str) -> None:
        self.calls += 1
        if action in self.denied:
            raise Forbidden(f"the credentials lack {action}", permission=action)
        if self._met(Fault.THROTTLED):
            raise Throttled("too many calls", wait=0.01)
        if self._met(Fault.UNAVAILABLE):
            raise Unavailable("the cloud answers 503")

    def _met(self, fault: Fault) -> bool:
        if self._faults and self._faults[0] is fault:
            self._faults.pop(0)
            return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Put(Change):
    """Put `value` under `on`; None takes it away."""

    value: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Wish:
    """Addresses and interfaces as they should be. `interfaces`: node's address by the node's name."""

    owner: str
    vips: Mapping[Key, tuple[str, tuple[str, ...]]]
    """The address and the names of its nodes."""
    interfaces: Mapping[str, str]
    kept: frozenset[Key]


class Connection:
    """The connection to a `MemoryCloud`."""

    def __init__(self, cloud: MemoryCloud) -> None:
        self._cloud = cloud

    def observe(self, desired: Wish) -> Objects:  # noqa: ARG002 - a small cloud is read whole
        return self._cloud.read()

    def apply(self, change: Change) -> None:
        assert isinstance(change, Put)
        try:
            self._cloud.write(change.on, change.value)
        except NotFound:
            if change.value is not None:
                raise

    def close(self) -> None:
        """Nothing is open."""


class MemoryProvider:
    """`Memory`: addresses with a list of interfaces, and a switch on every interface that is used."""

    name = "Memory"
    capabilities = Capabilities(Failover.BY_ANNOUNCEMENT)

    def __init__(self, cloud: MemoryCloud) -> None:
        self._cloud = cloud

    def connect(self, wanted: Wanted, credentials: Credentials) -> Connection:  # noqa: ARG002 - one cloud for all
        if credentials and credentials.get("key") is None:
            raise Forbidden("the Secret must have the key key")
        return Connection(self._cloud)

    def adjust(self, wanted: Wanted) -> Wish:
        for vip in wanted.vips:
            if any(address.version == 6 for address in vip.addresses):
                raise Invalid(f"{vip.havip}: an IPv6 address is not carried", field="spec.addresses")
        return Wish(
            wanted.owner.mark,
            {vip.havip: (str(vip.addresses[0]), tuple(sorted(vip.candidates))) for vip in wanted.vips},
            {node.name: str(node.addresses[0]) for node in wanted.nodes},
            wanted.kept,
        )

    def plan(self, desired: Wish, observed: Objects) -> Plan:
        at = {str(value["address"]): name for name, value in observed.items() if name.startswith("interface/")}
        findings = [
            Finding(key, "", f"no interface has the address of {', '.join(lost)}")
            for key, (_, nodes) in desired.vips.items()
            if (lost := [node for node in nodes if desired.interfaces.get(node) not in at])
        ]
        taken = {
            str(value["address"]): name
            for name, value in observed.items()
            if name.startswith("address/") and value["owner"] != desired.owner
        }
        findings += [
            Finding(key, "spec.addresses", f"{address} is taken by {taken[address]}")
            for key, (address, _) in desired.vips.items()
            if address in taken
        ]
        left = {one.havip for one in findings} | desired.kept
        changes = [*self._switches(desired, observed, at, left), *self._addresses(desired, observed, at, left)]
        return Plan(sorted(changes, key=lambda one: one.stage), findings)

    def _addresses(
        self, desired: Wish, observed: Objects, at: Mapping[str, str], left: frozenset[Key | None] | set[Key | None]
    ) -> list[Put]:
        out: list[Put] = []
        for key, (address, nodes) in desired.vips.items():
            if key in left:
                continue
            value: dict[str, object] = {
                "owner": desired.owner,
                "havip": str(key),
                "address": address,
                "interfaces": [at[desired.interfaces[node]] for node in nodes],
            }
            if observed.get(f"address/{address}") != value:
                out.append(Put(stage=2, on=f"address/{address}", what=f"put {address}", havips=(key,), value=value))
        wanted = {f"address/{address}" for address, _ in desired.vips.values()}
        return out + [
            Put(stage=0, on=name, what=f"delete {name}", havips=(Key.parse(value["havip"]),), value=None)
            for name, value in observed.items()
            if value.get("owner") == desired.owner
            and name not in wanted
            and Key.parse(value["havip"]) not in desired.kept
        ]

    def _switches(
        self, desired: Wish, observed: Objects, at: Mapping[str, str], left: frozenset[Key | None] | set[Key | None]
    ) -> list[Put]:
        """The switch on while a VIP of ours needs it, off when the last one is gone."""
        needed: dict[str, list[Key]] = {}
        for key, (_, nodes) in desired.vips.items():
            for node in nodes if key not in left else ():
                needed.setdefault(at[desired.interfaces[node]], []).append(key)
        for name, value in observed.items():
            staying = name.startswith("address/") and value.get("owner") == desired.owner
            if staying and Key.parse(value["havip"]) in left:
                for interface in value["interfaces"]:  # type: ignore[attr-defined]  # a list: we wrote it
                    needed.setdefault(interface, [])
        out = []
        for name, value in observed.items():
            if not name.startswith("interface/"):
                continue
            forwards = value.get("forwards", [])
            assert isinstance(forwards, list)
            should = sorted({*forwards, desired.owner} if name in needed else {*forwards} - {desired.owner})
            if should == forwards:
                continue
            changed = {**value, "forwards": should}
            if not should:
                del changed["forwards"]
            out.append(
                Put(
                    stage=1 if name in needed else 3,
                    on=name,
                    what=f"let {name} {'forward' if name in needed else 'be as it was'}",
                    havips=tuple(needed.get(name, ())),
                    value=changed,
                )
            )
        return out
