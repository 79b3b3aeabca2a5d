"""Probe ports: one per HAVip whose cloud finds the active node by asking, unique among HAVips that share a node.

A probe goes to a node's own address, so the port is all that says which HAVip it is about. The record is
HAVipNode.spec, as for virtual router ids; a port that waits for a node's confirmation stays taken.
"""

from __future__ import annotations

from collections.abc import Iterable

from havip.api.v1alpha1 import HAVipClass
from havip.model.address import Network, parse_network
from havip.model.election import Probe
from havip.model.keys import Key
from havip.plan.observed import Observed

FIRST, LAST = 59_999, 59_000
"""From the first downwards to the last: above what applications use, below what kernels give to connections."""
FLOWS_MS = 10_000
"""How long a node that hands over in order goes on for flows that the load balancer still sends to it."""


def probe_of(of: HAVipClass, port: int, version: int) -> Probe | None:
    """How the nodes of the class are asked; None = they are not."""
    azure = of.spec.azure
    if azure is None:
        return None
    sources: tuple[Network, ...] = tuple(
        source for source in map(parse_network, azure.probe.sources) if source.version == version
    )
    if not sources:
        return None
    return Probe(port, sources, azure.probe.interval_seconds * 1000, azure.probe.threshold, FLOWS_MS)


def is_probed(of: HAVipClass) -> bool:
    """Whether HAVips of the class need a probe port."""
    return of.spec.azure is not None


class ProbePorts:
    """Which ports are taken on which node."""

    def __init__(self, observed: Observed) -> None:
        self._taken: dict[str, set[int]] = {}
        self._anywhere: set[int] = set()
        self._own: dict[Key, int] = {}
        for key, members in observed.allocated.items():
            for member in members:
                probe = member.assignments[key].instance.probe
                if probe is not None:
                    peers = member.assignments[key].instance.peers
                    self.take(key, (member.node, *(peer.node for peer in peers)), probe.port)

    def take(self, havip: Key, nodes: Iterable[str], port: int) -> None:
        self._own.setdefault(havip, port)
        self._anywhere.add(port)
        for node in nodes:
            self._taken.setdefault(node, set()).add(port)

    def port(self, havip: Key, nodes: Iterable[str], *, unlike: Iterable[int] = ()) -> int | None:
        """The one it has, else the highest that nobody has anywhere, else the highest free on these nodes; None = none.

        `unlike`: ports of its front ends.
        """
        known = self._own.get(havip)
        if known is not None:
            return known
        refused = set(unlike)
        here = set().union(*(self._taken.get(node, ()) for node in nodes), refused)
        among = range(FIRST, LAST - 1, -1)
        return next((port for port in among if port not in self._anywhere and port not in refused), None) or next(
            (port for port in among if port not in here), None
        )
