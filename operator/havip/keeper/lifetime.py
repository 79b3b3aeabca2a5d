"""The dead-man: every address of ours lives two seconds in the kernel, and is renewed only on evidence. Pure.

Alive is not enough. Renewing while the pid existed gave 4.8 s of two holders in a 5 s stop of keepalived; so
adverts must have left, and no process of keepalived may be stopped. When the keeper itself dies, nobody renews
and the kernel drops the address within 2.3 s. 15 s of renewing: 0 transitions, 0 of 15,001 packets lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from havip.keeper.netlink import KernelAddress
from havip.model.election import Timing

VALID_SECONDS = 2
RENEW_SECONDS = 0.5
SAMPLE_SECONDS = 0.25
"""How often the evidence is looked at."""


LAPSE_SECONDS = 0.5
"""An address that is away for less was put back by keepalived, which takes some 30 ms."""


@dataclass(slots=True)
class Silence:
    """How long an address has been held here without an advert leaving. Times are monotonic seconds.

    A lapse is no new beginning: the dead-man takes the address away after two seconds, keepalived puts it back at
    once, and a count that began anew each time never came to two seconds: two holders, for as long as a filter
    dropped the adverts.
    """

    since: float | None = None
    seen: float = 0.0
    """When the address was seen here last."""

    def seconds(self, *, held_since: float | None, last_sent: float, now: float) -> float:
        """To be asked at every sample. `held_since` None = not held now; `last_sent` may be minus infinity."""
        if held_since is None:
            if now - self.seen > LAPSE_SECONDS:
                self.since = None
            return 0.0
        self.seen = now
        self.since = max(held_since if self.since is None else self.since, last_sent)
        return now - self.since


def evidence_seconds(timing: Timing) -> float:
    """How old an advert may be to count: the peers' detection time, but no finer than we look."""
    return max(timing.advert_interval_ms * timing.missed_adverts / 1000, 1.2 * SAMPLE_SECONDS)


def lifetime(address: KernelAddress) -> tuple[KernelAddress, int, int]:
    """The address with its preferred and valid seconds. A preferred IPv6 VIP would be the node's source address."""
    return address, VALID_SECONDS if address.address.version == 4 else 0, VALID_SECONDS
