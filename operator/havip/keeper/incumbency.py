"""What one instance's track file says: bonus, penalty, hold back, yielding, fault. Pure; times are monotonic seconds.

keepalived adds the value to the base priority (clamped to 1..254); -254 is FAULT. The bonus takes the place of
`nopreempt`, which would switch off every weight. A stale bonus takes the VIP back when a killed keepalived
returns (428 ms lost, measured), so nothing is given before the address is here and keepalived has settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from havip.model.election import Instance
from havip.model.priority import BASES, BONUS, HOLD_BACK, TRACK_PENALTY
from havip.model.states import Failback

FAULT = -254
_LOWEST = -253
_STEP = BASES[0] - BASES[1]
SWITCH_SECONDS = 5.0
"""How long the bonus stays away after the user's order changed, when nobody takes over."""


class Will(Enum):
    """What this node wants with an instance, whatever its priority is."""

    COMPETE = "compete"
    YIELD_TO_BEST = "yield to best"
    """Serve on, but let the best other candidate take over."""
    YIELD = "yield"
    """Serve on, but let anybody take over."""
    STAY_OUT = "stay out"
    """FAULT: no address, no adverts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The facts about one instance on this node.

    `held_since`: since when it is MASTER with every address in the kernel; None = it is not.
    `proven_at`: from when on it counts as the one that the election meant.
    `last_held`: when that ended last.
    `grace`: seconds that the bonus outlives the address.
    `started`: when keepalived began to run this instance; None = it does not run.
    `switch_until`: until when a changed preference keeps the bonus away.
    """

    will: Will
    track_healthy: bool
    started: float | None
    held_since: float | None
    last_held: float | None = None
    grace: float = 0.0
    switch_until: float = 0.0
    proven_at: float = 0.0


def value(instance: Instance, standing: Standing, *, settle_seconds: float, now: float) -> int:
    """What the track file is to say now."""
    if standing.will is Will.STAY_OUT:
        return FAULT
    if standing.will is Will.YIELD_TO_BEST:
        best_other = BASES[0] if instance.priority < BASES[0] else BASES[1]
        return best_other - _STEP // 2 - instance.priority
    if standing.will is Will.YIELD:
        return max(_LOWEST, 1 - instance.priority)
    total = 0
    if deserves_bonus(instance, standing, settle_seconds=settle_seconds, now=now):
        total += BONUS
    if instance.tracked and not standing.track_healthy:
        total -= TRACK_PENALTY
    if held_back(instance, standing, now=now):
        total -= HOLD_BACK
    return max(_LOWEST, total)


def deserves_bonus(instance: Instance, standing: Standing, *, settle_seconds: float, now: float) -> bool:
    """Whether the incumbent is protected against a node of a better base that returns.

    An address that somebody removed is put back by keepalived within 30 ms; without the bonus for that moment a
    peer of a nearby base won the race in between. The other way round, a candidate that woke up 4 ms too early on a
    busy machine must not be made the incumbent before the one that was meant has spoken: hence `proven_at`.
    """
    return (
        instance.failback is Failback.NEVER
        and _holds(standing, now)
        and standing.started is not None
        and now - standing.started >= settle_seconds
        and now >= max(standing.switch_until, standing.proven_at)
    )


def _holds(standing: Standing, now: float) -> bool:
    if standing.held_since is not None:
        return True
    return standing.last_held is not None and now - standing.last_held < standing.grace


def held_back(instance: Instance, standing: Standing, *, now: float) -> bool:
    """Failback Delayed: a node that has (re)started stays below everybody for a while."""
    return instance.failback is Failback.DELAYED and (
        standing.started is None or now - standing.started < instance.failback_delay_seconds
    )


def is_switch(old: Instance, new: Instance) -> bool:
    """Whether the new document orders a planned switch away from this node, should it be the active one.

    Without a bonus the priority alone moves the address, and it comes before the preference.
    """
    if new.failback is not Failback.NEVER and new.priority < old.priority:
        return True
    return old.preferred != new.preferred and new.priority < BASES[0]
