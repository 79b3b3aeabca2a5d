"""What a provider says of itself. What it does in a cloud is added with the first cloud, not before."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Failover(StrEnum):
    """How the network learns that another node is active."""

    FOLLOWS = "Follows"
    """By itself: gratuitous ARP, unsolicited neighbour advertisements, or a probe of its own."""
    MUST_CALL = "MustCall"
    """Only when it is called; the operator then takes part in every failover."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a fabric can do. `elections` names the methods that pass on it, the default first."""

    failover: Failover
    elections: tuple[str, ...] = ("vrrp",)


@runtime_checkable
class Provider(Protocol):
    """What makes the network deliver a VIP to its active node."""

    @property
    def name(self) -> str:
        """As HAVipClass.spec.provider names it."""

    @property
    def capabilities(self) -> Capabilities:
        """Constant while the process runs."""
