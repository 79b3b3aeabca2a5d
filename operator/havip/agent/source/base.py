"""The seam between a node's orders and the agent: what any source has to deliver and to take back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from havip.model.node import NodeStatus


class SourceAway(Exception):
    """The source cannot be reached or will not take what was sent. Worth another try later; the message says why."""


@dataclass(frozen=True, slots=True)
class NodeObject:
    """The HAVipNode of this node as delivered: `spec` and `status` are unread JSON."""

    generation: int
    spec: object
    status: object = None


@dataclass(frozen=True, slots=True)
class Observed:
    """All a source knows. `node` None = never seen; `pools`: text of `pool.json` by `namespace.name`."""

    node: NodeObject | None = None
    pools: Mapping[str, str] = field(default_factory=dict)

    def without_status(self) -> Observed:
        """The orders alone."""
        if self.node is None or self.node.status is None:
            return self
        return replace(self, node=replace(self.node, status=None))


class Source(Protocol):
    async def run(self, publish: Callable[[Observed], None]) -> None:
        """Publishes every change until cancelled. Trouble is logged and retried inside; what was last seen stays."""

    async def write_status(self, status: NodeStatus) -> None:
        """Makes `status` the node's status. Raises `SourceAway`."""
