"""Plain layer 2: gratuitous ARP and unsolicited neighbour advertisements are all that a failover needs.

There is no cloud to call, so nothing here ever does anything but say so.
"""

from __future__ import annotations

from havip.provider import Capabilities, Change, Credentials, Failover, Plan, Wanted


class NoCloud:
    """The connection to no cloud."""

    def observe(self, desired: None) -> None:
        return desired

    def apply(self, change: Change) -> None:
        raise AssertionError(f"plain layer 2 has nothing to change: {change}")

    def close(self) -> None:
        """There is nothing to let go."""


class NoProvider:
    """`spec.provider: None` of a HAVipClass."""

    name = "None"
    capabilities = Capabilities(Failover.BY_ANNOUNCEMENT)

    def connect(self, wanted: Wanted, credentials: Credentials) -> NoCloud:  # noqa: ARG002 - as the contract has it
        return NoCloud()

    def adjust(self, wanted: Wanted) -> None:
        """Nothing is wanted of no cloud."""

    def plan(self, desired: None, observed: None) -> Plan:  # noqa: ARG002 - as the contract has it
        return Plan()


provider = NoProvider()
