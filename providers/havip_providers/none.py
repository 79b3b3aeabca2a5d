"""Plain layer 2: gratuitous ARP and unsolicited neighbour advertisements are all that a failover needs.

There is no cloud to call, so nothing here ever does anything but say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from havip.provider import Capabilities, Failover


@dataclass(frozen=True, slots=True)
class NoProvider:
    """`spec.provider: None` of a HAVipClass."""

    name: str = "None"
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(Failover.FOLLOWS))


provider = NoProvider()
