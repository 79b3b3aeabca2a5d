"""The priority budget of an election. Numbers only; who gets which is decided in `havip.plan`.

Measured: candidates one apart both became MASTER in 36 of 58 kills, with steps of 10 in 0 of 38. But 10 are only 4 ms
at an advert interval of 100 ms, and on a machine with other work the third node then began first in 10 of 20 power-offs
and gave way a few milliseconds later. So ranks below the second stay as far away as the budget has room for.
"""

from __future__ import annotations

BASES = (209, 199, 189, 179, 169)
"""Base priority by rank among the candidates, best first. At most five candidates."""


def bases_for(count: int) -> tuple[int, ...]:
    """Bases of so many candidates, best first. The second is always `BASES[1]`: a node that hands over to the best
    other one has to know that one's base without having been told."""
    return BASES[: min(count, 2)] + lowest(min(count, len(BASES)) - 2)


def lowest(count: int) -> tuple[int, ...]:
    """The lowest bases there are, so many of them, best first."""
    return BASES[len(BASES) - count :] if count > 0 else ()


BONUS = 45
"""What the incumbent gets, so that a node that returns with a better base does not take over."""

TRACK_PENALTY = 90
"""What a node loses while its track fails: at least 86, so that every healthy candidate outranks it."""

HOLD_BACK = 50
"""What a returning node stays below under `failback: Delayed`, until its delay has passed."""

HIGHEST = 254

assert BASES[0] + BONUS <= HIGHEST  # noqa: S101  # a budget that does not add up must not start
assert BASES[-1] - TRACK_PENALTY - HOLD_BACK >= 1  # noqa: S101  # the same, at the low end
assert BASES[0] + BONUS - TRACK_PENALTY < BASES[-1]  # noqa: S101  # a failing incumbent yields to any candidate
