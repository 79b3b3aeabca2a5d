"""Virtual router ids: one per HAVip, unique among HAVips that share a node, across classes.

Two classes may use one wire, and a virtual router id is all that tells their adverts apart, so all classes count
together. The record is HAVipNode.spec; a HAVip's status is only asked which id it would like back.

An id never changes in place (that costs an election, up to seconds), and one HAVip cannot have two instances on a node.
So of two HAVips with one id that come to share a node, the one that would join moves to another id, on other nodes
first (`renumbering`); both ids stay taken on the nodes that run or name them until it is done. Where no id is free, it
waits, and is told for whom. To make both rare, an id that nobody in the cluster has is taken as long as there is one.
"""

from __future__ import annotations

from collections.abc import Iterable

from havip.model.keys import Key
from havip.plan.observed import Observed


class VirtualRouterIds:
    """Which ids are taken on which node. Records that wait for a node's confirmation keep theirs taken."""

    def __init__(self, observed: Observed) -> None:
        self._taken: dict[str, int] = {}
        self._anywhere = 0
        self._owners: dict[tuple[str, int], Key] = {}
        for key, members in observed.allocated.items():
            for member in members:
                instance = member.assignments[key].instance
                nodes = (member.node, *(peer.node for peer in instance.peers))
                self.take(key, nodes, instance.virtual_router_id)

    def take(self, havip: Key, nodes: Iterable[str], number: int) -> None:
        self._anywhere |= 1 << number
        for node in nodes:
            self._taken[node] = self._taken.get(node, 0) | 1 << number
            self._owners.setdefault((node, number), havip)

    def other(self, havip: Key, node: str, number: int) -> Key | None:
        """Another HAVip that has the id on this node."""
        owner = self._owners.get((node, number))
        return None if owner == havip else owner

    def free(self, nodes: Iterable[str], *, first: int, last: int, wish: int | None = None) -> int | None:
        """An id of the range that is free on all the nodes; None = there is none.

        The wished one, else the lowest that nobody has anywhere, else the lowest that these nodes do not have.
        """
        taken = 0
        for node in nodes:
            taken |= self._taken.get(node, 0)
        if wish is not None and first <= wish <= last and not taken >> wish & 1:
            return wish
        within = (1 << last + 1) - (1 << first)
        free = (within & ~self._anywhere) or (within & ~taken)
        return (free & -free).bit_length() - 1 if free else None
