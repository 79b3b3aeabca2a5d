"""Giving a VIP away in order: lower the priority, serve on until a peer has taken over, give up after a while.

A priority change loses 0-1 ms, a SIGTERM of the active the skew time, an instance taken out of the file while it
is active 41 ms (measured). At first only the best peer outranks us: with everybody let in at once the second best,
whose skew is 4 ms longer, became active as well on a busy machine. Pure; times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from havip.keeper.incumbency import Will
from havip.model.election import Timing


@dataclass(frozen=True, slots=True)
class Wish:
    """Why this node might not compete for an instance. `asked`: since when it is to give the address away."""

    eligible: bool
    leaving: bool
    stopping: bool
    benched: bool
    asked: float | None
    master: bool
    peers: bool


def limit_seconds(timing: Timing, configured: float) -> float:
    """How long to wait for a peer: `configured`, but no peer can take over before its own detection time."""
    return max(configured, 2 * narrow_seconds(timing))


def narrow_seconds(timing: Timing) -> float:
    """How long only the best peer is let in, before anybody is: its detection time with its skew, and some."""
    return (timing.missed_adverts + 2) * timing.advert_interval_ms / 1000


def pending(wish: Wish, limit: float, now: float) -> bool:
    """Whether a peer is still waited for. Without peers there is nobody to wait for."""
    return wish.master and wish.peers and wish.asked is not None and now - wish.asked < limit


def asks(wish: Wish) -> bool:
    """Whether the address is to be given away."""
    return wish.leaving or wish.stopping or not wish.eligible


def will(wish: Wish, limit: float, now: float, *, narrow: float) -> Will:
    """What this node wants with the instance now. `limit` and `narrow` as the functions above give them."""
    if asks(wish):
        if pending(wish, limit, now):
            return Will.YIELD_TO_BEST if now - (wish.asked or now) < narrow else Will.YIELD
        # One that leaves or stops is taken out next; FAULT now would only cost a moment without an address.
        return Will.YIELD if wish.eligible else Will.STAY_OUT
    return Will.STAY_OUT if wish.benched else Will.COMPETE
