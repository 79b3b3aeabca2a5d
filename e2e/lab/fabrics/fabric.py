"""A cloud's network over the nodes' bridge: traffic follows what the emulated cloud was told, and nothing else.

A fabric reads its cloud; it never writes there but for what a real one writes by itself: who holds an address.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from ipaddress import ip_address
from typing import Self

from e2e.clouds.azure import AzureCloud, Rule
from e2e.clouds.huawei import HuaweiCloud
from e2e.clouds.huawei.store import Address
from e2e.clouds.tencent import TencentCloud
from e2e.lab.fabrics.announcements import Announcements
from e2e.lab.fabrics.balancer import Balancer, Target
from e2e.lab.fabrics.gate import Gate
from e2e.lab.fabrics.rules import Front, Passage, Sight

_LOOK_SECONDS = 0.02
"""Between two looks at what the cloud was told."""


class Fabric(ABC):
    """Use as a context manager, over a gate that was laid. Afterwards nothing passes any more."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.addresses = {seat.address: seat.node for seat in gate.seats}
        self._stop = threading.Event()
        self._look_soon = threading.Event()
        self._lock = threading.Lock()
        self._shown: Sight | None = None
        self._thread = threading.Thread(target=self._look_forever, name="fabric")
        self.trouble: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._look_soon.set()
        self._thread.join()
        self.close()
        if self.trouble is not None:
            raise self.trouble

    def _look_forever(self) -> None:
        try:
            while not self._stop.is_set():
                self._look_soon.wait(_LOOK_SECONDS)
                self._look_soon.clear()
                self.look()
        except BaseException as error:
            self.trouble = error

    def look(self) -> None:
        """Bring the gate to what the cloud says now."""
        with self._lock:
            sight = self.sight()
            if sight != self._shown:
                self.gate.show(sight)
                self._shown = sight

    def look_soon(self) -> None:
        self._look_soon.set()

    @abstractmethod
    def start(self) -> None:
        """Begin to see who serves what."""

    @abstractmethod
    def close(self) -> None:
        """End that."""

    @abstractmethod
    def sight(self) -> Sight:
        """What passes, by what the cloud was told."""

    @abstractmethod
    def serving(self, address: str) -> set[str]:
        """The nodes that new flows to an address go to."""


class AzureFabric(Fabric):
    """Floating-IP rules: packets for a front end go unchanged to a node that answers its probe."""

    def __init__(self, gate: Gate, cloud: AzureCloud) -> None:
        super().__init__(gate)
        self._cloud = cloud
        self._balancer = Balancer(gate.network, self.look_soon)

    def start(self) -> None:
        self._balancer.start()

    def close(self) -> None:
        self._balancer.close()

    def sight(self) -> Sight:
        rules = [rule for rule in self._cloud.rules() if rule.floating and rule.protocol in ("Tcp", "Udp")]
        self._balancer.probe(target for rule in rules for target in self._targets(rule).values() if target)
        passages: dict[str, Passage] = {}
        for rule in rules:
            nodes = frozenset(self._targets(rule)) | passages.get(rule.address, Passage()).leave
            passages[rule.address] = Passage(leave=nodes, enter=nodes)
        fronts = {Front(rule.address, rule.protocol.lower(), rule.port): self._serving(rule) for rule in rules}
        return Sight(passages, fronts)

    def _targets(self, rule: Rule) -> dict[str, Target | None]:
        """What is asked of each node behind a rule; None where nothing is."""
        return {
            self.addresses[one.address]: None
            if rule.probe_port is None
            else Target(one.address, rule.probe_port, rule.probe_interval, rule.probe_threshold)
            for one in rule.backends
            if one.address in self.addresses
        }

    def _serving(self, rule: Rule) -> tuple[str, ...]:
        found = self._targets(rule)
        return tuple(sorted(node for node, target in found.items() if target is None or self._balancer.up(target)))

    def serving(self, address: str) -> set[str]:
        rules = [rule for rule in self._cloud.rules() if rule.address == address]
        return {node for rule in rules for node in self._serving(rule)}


class LearningFabric(Fabric):
    """A VIP goes to whoever announced it last, of those that the cloud lets announce it."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        ports = {seat.port: seat.node for seat in gate.seats}
        self._announcements = Announcements(gate.network, ports, self._heard)

    def start(self) -> None:
        self._announcements.start()

    def close(self) -> None:
        self._announcements.close()

    def _heard(self, node: str, address: str) -> None:
        if self.claim(node, address):
            self.look()

    def serving(self, address: str) -> set[str]:
        passage = self.sight().passages.get(address, Passage())
        return {passage.holder} if passage.holder else set()

    @abstractmethod
    def claim(self, node: str, address: str) -> bool:
        """A node's word that it holds an address: whether the cloud believes it."""


class HuaweiFabric(LearningFabric):
    """A VIP passes a node's network interface that is bound to it and whose source/destination check is off."""

    def __init__(self, gate: Gate, cloud: HuaweiCloud) -> None:
        super().__init__(gate)
        self._cloud = cloud

    def _nics(self) -> dict[str, str]:
        """Ids of network interfaces, by node."""
        nics = {str(address): nic.id for nic in self._cloud.store.nics() for address in nic.addresses}
        return {node: nics[address] for address, node in self.addresses.items() if address in nics}

    def claim(self, node: str, address: str) -> bool:
        with self._cloud.lock:
            nics = self._nics()
            return node in nics and self._cloud.store.claim(nics[node], ip_address(address))

    def sight(self) -> Sight:
        with self._cloud.lock:
            nics, store = self._nics(), self._cloud.store
            node_of = {nic: node for node, nic in nics.items()}

            def entered(address: Address) -> frozenset[str]:
                return frozenset(node for node, nic in nics.items() if store.may_enter(nic, address))

            return Sight(
                {
                    str(vip.address): Passage(
                        leave=frozenset(node for node, nic in nics.items() if store.may_leave(nic, vip.address)),
                        enter=entered(vip.address),
                        holder=node_of.get(store.holder(vip.address) or ""),
                        learns=entered(vip.address),
                    )
                    for vip in store.vips()
                    if vip.address.version == 4
                },
                {},
            )


class TencentFabric(LearningFabric):
    """A HAVIP goes to the instance that announced it last, out of its range."""

    def __init__(self, gate: Gate, cloud: TencentCloud, *, interface: Callable[[str], str]) -> None:
        """`interface`: the id of a node's network interface."""
        super().__init__(gate)
        self._cloud = cloud
        self._interface = {seat.node: interface(seat.node) for seat in gate.seats}

    def claim(self, node: str, address: str) -> bool:
        return self._cloud.garp(self._interface[node], address)

    def sight(self) -> Sight:
        node_of = {interface: node for node, interface in self._interface.items()}
        passages: dict[str, Passage] = {}
        for vip in self._cloud.addresses():
            may = frozenset(node_of[one] for one in self._cloud.may_announce(vip) if one in node_of)
            holder = self._cloud.holder(vip)
            passages[vip] = Passage(
                leave=may,
                enter=may,
                holder=node_of.get(holder.interface) if holder else None,
                learns=frozenset() if self._cloud.estate.lose_announcements else may,
            )
        return Sight(passages, {})
