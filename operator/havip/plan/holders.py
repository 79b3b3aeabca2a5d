"""Who holds a VIP, as far as the nodes' words tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from havip.model.keys import Key
from havip.plan.claims import began, newest_first
from havip.plan.observed import Member
from havip.plan.rolling import Role, Step
from havip.plan.waits import Waits


@dataclass(frozen=True, slots=True)
class Holders:
    """`active`: the one holder, None when nobody or more than one says so. `rivals`: all who say so, when several.

    `superseded`: nodes whose older claim does not count (their last word before they fell silent, or a hand-over in
    the making, or the move to another virtual router id). `unheard`: nodes that claimed it and whose Node is NotReady
    since.
    """

    active: Member | None = None
    rivals: tuple[str, ...] = ()
    superseded: frozenset[str] = frozenset()
    unheard: tuple[str, ...] = ()


def holders(havip: Key, members: Sequence[Member], step: Step, *, grace: float, waits: Waits) -> Holders:
    claiming = [member for member in members if member.active(havip)]
    ready = newest_first((member for member in claiming if member.ready), havip)
    # Two ids are two elections: while the VIP moves it is held under both, and the new one is where it goes.
    moved = [member for member in ready if member.node not in step.outgoing]
    claims = moved or ready
    unheard = tuple(sorted(member.node for member in claiming if not member.ready))
    if not claims:
        return Holders(unheard=unheard)
    newest, *older = claims
    settled = bool(older) and waits.over(began(newest, havip), grace)
    counting = [member for member in older if settled and _insists(member, havip, step.roles)]
    return Holders(
        active=None if counting else newest,
        rivals=tuple(sorted(member.node for member in (newest, *counting))) if counting else (),
        superseded=frozenset(member.node for member in ready if member is not newest and member not in counting),
        unheard=unheard,
    )


def _insists(member: Member, havip: Key, roles: Mapping[str, Role]) -> bool:
    """Whether an older claim was made again by a node that answers, or is one that nobody questions."""
    record = member.assignments.get(havip)
    if record is not None and not record.instance.eligible:
        return member.confirmed
    return roles.get(member.node) is Role.ELIGIBLE
