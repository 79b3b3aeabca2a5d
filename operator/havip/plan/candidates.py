"""Which nodes may hold a VIP. Stable: who is a candidate stays one while it can; spread: nodes carry alike.

Rendezvous hashing alone is stable and uneven, the least loaded node alone is even and moves everything when records
are lost. Here the hash chooses among the nodes that are within one VIP of the least loaded: counts differ by two at
most, and a plan made anew from nothing comes out nearly the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from havip.model.keys import Key
from havip.plan.observed import Member
from havip.plan.waits import REPLACE_AFTER, Waits

SLACK = 1
"""How many VIPs more than the least loaded node has one may have and still be chosen."""


class Loads:
    """How many VIPs each HAVipNode is a candidate for, and of how many it is the best candidate."""

    def __init__(self) -> None:
        self._all: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def add(self, members: Sequence[str]) -> None:
        """One VIP's candidates, best first."""
        for name in members:
            self._all[name] = self._all.get(name, 0) + 1
        for name in members[:1]:
            self._first[name] = self._first.get(name, 0) + 1

    def of(self, name: str, *, first: bool) -> int:
        return (self._first if first else self._all).get(name, 0)


@dataclass(frozen=True, slots=True)
class Seat:
    """A node that is a candidate already. `priority` its base, `eligible` as recorded, `active` as last said."""

    member: Member
    priority: int
    eligible: bool
    active: bool


def rank_of(havip: Key, node: str) -> int:
    """The rendezvous weight: every (VIP, node) pair has its own, the same in every process and release."""
    return int.from_bytes(blake2b(f"{havip} {node}".encode(), digest_size=8).digest())


def lasting(member: Member, waits: Waits) -> bool:
    """Whether a candidate may stay one: its Node is there, in the class, and not NotReady for too long."""
    if not member.belongs or member.kube is None:
        return False
    return member.kube.ready or not waits.over(member.kube.ready_since, REPLACE_AFTER)


def usable(members: Iterable[Member]) -> list[Member]:
    """Nodes that may be chosen anew: Ready, of the class, and with an interface, or young enough to tell one yet."""
    return [one for one in members if one.belongs and one.ready and (one.own or one.young)]


def target(
    havip: Key,
    seats: Sequence[Seat],
    free: Sequence[Member],
    *,
    count: int,
    preferred: Sequence[str],
    loads: Loads,
    waits: Waits,
) -> tuple[Member, ...]:
    """The candidates as they should be, best first; at most `count`.

    Preferred nodes first, in the user's order; then those that are candidates already; then new ones. A candidate
    whose Node is NotReady for too long stays as long as there is nobody to take its place.
    """
    order = {name: index for index, name in enumerate(preferred)}
    staying = [seat for seat in seats if lasting(seat.member, waits)]
    fading = [seat for seat in seats if seat.member.belongs and seat not in staying]
    seated = {seat.member.name for seat in seats}
    wished = [one for one in free if one.node in order and one.name not in seated]
    chosen = _kept(staying, wished, count=count, order=order)
    while len(chosen) < count:
        more = [one for one in free if one.name not in seated and one not in chosen]
        if not more:
            break
        chosen.append(_pick(havip, more, loads, first=not chosen))
    for seat in sorted(fading, key=_trim)[: max(0, count - len(chosen))]:
        chosen.append(seat.member)
    return in_order(chosen, seats, preferred)


def in_order(chosen: Sequence[Member], seats: Sequence[Seat], preferred: Sequence[str]) -> tuple[Member, ...]:
    """Best first: as the user prefers, then by the bases they have; new ones as they were picked."""
    order = {name: index for index, name in enumerate(preferred)}
    priority = {seat.member.name: seat.priority for seat in seats}
    last = len(order)
    return tuple(sorted(chosen, key=lambda one: (order.get(one.node, last), -priority.get(one.name, 0))))


def _kept(staying: Sequence[Seat], wished: Sequence[Member], *, count: int, order: dict[str, int]) -> list[Member]:
    """Preferred ones, then sitting ones; who is cut when there are too many is the one that matters least."""
    seats = {seat.member.name: seat for seat in staying}
    last = len(order)

    def weight(member: Member) -> tuple[object, ...]:
        seat = seats.get(member.name)
        return (order.get(member.node, last), *(_trim(seat) if seat else (True, True, 0)))

    return sorted((*(seat.member for seat in staying), *wished), key=weight)[:count]


def _trim(seat: Seat) -> tuple[bool, bool, int]:
    # One that is on its way in or out goes before one that serves, or two plans in a row would undo each other.
    return not seat.eligible, not seat.active, -seat.priority


def _pick(havip: Key, among: Sequence[Member], loads: Loads, *, first: bool) -> Member:
    least = min(loads.of(one.name, first=first) for one in among)
    within = [one for one in among if loads.of(one.name, first=first) <= least + SLACK]
    return max(within, key=lambda one: (rank_of(havip, one.node), one.node))
