"""What a provider promises: to bring a cloud from what it is to what a class wants, and back again.

    desired = provider.adjust(wanted)             pure: into the cloud's own canonical form
    observed = cloud.observe(desired)             reads, as many calls for one VIP as for eighty
    plan = provider.plan(desired, observed)       pure: findings (the preflight), changes in order
    cloud.apply(change)                           one write

Giving back is a plan towards less: a VIP that is not wanted any more, and at last a class without VIPs. What was there
before stays, or comes back, byte for byte; so what has to be remembered for that is remembered in the cloud, beside
the thing itself. Nothing here waits, retries or runs in another thread: whoever calls does, in one place.

`havip.testing.provider_contract` is the suite that every provider passes, ours or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar, runtime_checkable

from havip.model.cloud import Wanted
from havip.provider.change import Change, Plan
from havip.provider.credentials import Credentials

D = TypeVar("D")  # desired
O = TypeVar("O")  # noqa: E741 - observed, beside D
D_contra = TypeVar("D_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Failover(StrEnum):
    """How the network learns that another node is active."""

    BY_ANNOUNCEMENT = "ByAnnouncement"
    """From the node: gratuitous ARP and unsolicited neighbour advertisements."""
    BY_PROBE = "ByProbe"
    """The network asks the nodes itself, and only the active one answers."""
    MUST_CALL = "MustCall"
    """Only when it is called; the operator then takes part in every failover."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a fabric can do. `elections` names the methods that pass on it, the default first.

    `candidates`: most nodes that one VIP may have. `families`: IP versions that it carries. `shows_holder`: the plan
    says where the cloud itself sees each VIP.
    """

    failover: Failover
    elections: tuple[str, ...] = ("vrrp",)
    candidates: int = 5
    families: tuple[int, ...] = (4, 6)
    shows_holder: bool = False


class Cloud(Protocol[D_contra, O_co]):
    """A connection for one class, with its endpoint and credentials. One thread observes; several may `apply` at a
    time, each a change of another cloud object.

    Every method may raise a `CloudFailed` and nothing else of the SDK's, not even as its context: that has the request
    with it, and the credentials.
    """

    def observe(self, desired: D_contra) -> O_co:
        """What is there now, ours and what ours depends on. Never writes."""

    def apply(self, change: Change) -> None:
        """Make one change and see it through: a long-running operation has ended when this returns."""

    def close(self) -> None:
        """Let connections go."""


@runtime_checkable
class Provider(Protocol[D, O]):
    """What makes the network deliver a VIP to its active node."""

    @property
    def name(self) -> str:
        """As HAVipClass.spec.provider names it."""

    @property
    def capabilities(self) -> Capabilities:
        """Constant while the process runs."""

    def connect(self, wanted: Wanted, credentials: Credentials) -> Cloud[D, O]:
        """Nothing is called yet. Raises `Invalid` or `Forbidden` for credentials or an endpoint that cannot be used."""

    def adjust(self, wanted: Wanted) -> D:
        """The same wish as the cloud would write it. Pure. Raises `Invalid` naming the field of the class."""

    def plan(self, desired: D, observed: O) -> Plan:
        """From what is to what should be. Pure; the same twice gives the same twice."""
