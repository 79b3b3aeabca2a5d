"""The dead-man: every address of ours lives two seconds in the kernel, and is renewed only on evidence. Pure.

Alive is not enough. Renewing while the pid existed gave 4.8 s of two holders in a 5 s stop of keepalived; so
adverts must have left, and no process of keepalived may be stopped. When the keeper itself dies, nobody renews
and the kernel drops the address within 2.3 s. 15 s of renewing: 0 transitions, 0 of 15,001 packets lost.
"""

from __future__ import annotations

from havip.keeper.netlink import KernelAddress
from havip.model.election import Timing

VALID_SECONDS = 2
RENEW_SECONDS = 0.5
SAMPLE_SECONDS = 0.25
"""How often the evidence is looked at."""


def evidence_seconds(timing: Timing) -> float:
    """How old an advert may be to count: the peers' detection time, but no finer than we look."""
    return max(timing.advert_interval_ms * timing.missed_adverts / 1000, 1.2 * SAMPLE_SECONDS)


def lifetime(address: KernelAddress) -> tuple[KernelAddress, int, int]:
    """The address with its preferred and valid seconds. A preferred IPv6 VIP would be the node's source address."""
    return address, VALID_SECONDS if address.address.version == 4 else 0, VALID_SECONDS
