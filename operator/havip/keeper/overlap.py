"""A planned switch where a load balancer picks the node: both answer until it knows, then the old one lets go. Pure.

The order, and why nothing is lost: a copy of the address on the loopback, which keepalived does not know (what comes
here is still served after it has removed its own); the priority moves; both nodes answer the probe until the load
balancer has found the new one; the old one's probe is refused; it serves on until the load balancer has noticed, and a
little longer for the flows that live on. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from havip.model.election import Instance, Probe


def learning_seconds(probe: Probe) -> float:
    """How long the load balancer may take to change its mind about a node, and one interval to begin with."""
    return (probe.threshold + 1) * probe.interval_ms / 1000


def lifetime_seconds(probe: Probe, limit: float) -> int:
    """How long the copy may live at most, `limit` for a peer to take over included: nobody renews it."""
    return math.ceil(limit + 2 * learning_seconds(probe) + (probe.overlap_flows_ms or 0) / 1000) + 1


@dataclass(slots=True)
class Overlap:
    """One VIP that is being handed over in order, from its copy to the end of its flows.

    `handed_over`: when a peer had taken over; None = this node is still active. `since` is that moment for people.
    `answering` False = its probe is refused here.
    """

    name: str
    instance: Instance
    probe: Probe
    handed_over: float | None = None
    since: str = ""
    answering: bool = True

    def both_until(self, deadline: float) -> float:
        """When this node stops to answer the probe. `deadline`: when all must be over, whatever the cost."""
        return min((self.handed_over or 0.0) + learning_seconds(self.probe), deadline)

    def until(self, deadline: float) -> float:
        """When the copy goes. A deadline costs the flows first, then what the load balancer sends us meanwhile."""
        flows = (self.probe.overlap_flows_ms or 0) / 1000
        return min((self.handed_over or 0.0) + 2 * learning_seconds(self.probe) + flows, deadline)
