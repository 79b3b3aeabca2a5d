"""Two holders who cannot hear each other: protocol 112 does not pass between them.

What is seen: two candidates report Active for longer than 2 x M x A (and a margin for the reports' own delay), and
they do not hear each other. That alone is also what a node that lost its power looks like, for the 40 s that
Kubernetes needs to notice: its last word stays. So the answer must be right in both cases:

- the newest claim stays eligible: a node that has just written it is alive. (Preferring the node that was active
  before would, after a power-off, take the address away from the only one that answers.) The others are held.
- being held is also the question "are you there?": a live node applies it and gives the address up; only then is it
  called VrrpBlocked. A dead one does not answer, and nothing is called anything.

A held node comes back when it reports that it hears the active one, which also mends a path that was blocked for a
while; when nobody is active any more; or when its Node has been NotReady so long that it will start afresh anyway
(so that a node that returns while the operator is away is a candidate again). See `rolling`.
"""

from __future__ import annotations

from collections.abc import Sequence

from havip.model.keys import Key
from havip.plan.claims import began, hears, may_be_active, newest_first
from havip.plan.observed import Member
from havip.plan.waits import Waits


def to_hold(havip: Key, eligible: Sequence[Member], *, grace: float, waits: Waits) -> frozenset[str]:
    """Names of the nodes to hold, of those that are eligible now. Empty unless two or more claim the VIP in silence."""
    claims = newest_first((one for one in eligible if may_be_active(one, havip, waits)), havip)
    if len(claims) < 2:
        return frozenset()
    winner, *others = claims
    split = [one for one in others if not _mutual(one, winner, havip)]
    if not split or not waits.over(max(began(one, havip) for one in (winner, *split)), grace):
        return frozenset()
    # Whoever hears a loser and not the winner would take over as soon as the loser falls silent.
    deaf = [one for one in eligible if one not in claims and one.confirmed and not hears(one, havip, [winner])]
    return frozenset(one.node for one in (*split, *deaf))


def _mutual(one: Member, other: Member, havip: Key) -> bool:
    """Both hear each other: the election itself settles that, in milliseconds."""
    return hears(one, havip, [other]) and hears(other, havip, [one])


def blocked(
    havip: Key, held: Sequence[Member], active: Sequence[Member], *, grace: float, waits: Waits
) -> tuple[str, ...]:
    """Held nodes that have answered and do not hear the active one: proven, not supposed. Sorted."""
    return tuple(
        sorted(
            one.node
            for one in held
            if one.confirmed
            and one.ready
            and one.reports.get(havip) is not None
            and active
            and not hears(one, havip, active)
            and waits.over(began(one, havip), grace)
        )
    )
