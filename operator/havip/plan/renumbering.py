"""A VIP moves to another virtual router id: the new instances are added, then the old ones are taken away.

Why: another HAVip has the id on a node that this one is to join. An id never changes in place, and a node has one
instance of a HAVip, so for a while there are two electorates side by side, each with an id of its own, on different
nodes. Neither hears the other; each is rolled as usual (`rolling`), and the order between the two is this:

1. **Add.** Wanted nodes without an instance get one under the new id, held. They become eligible when they have
   confirmed each other's lists, and the best of them becomes active: the VIP is held twice, and answers all the time.
2. **Take away.** When one of the new ones says so itself, the old standbys let go; when they have confirmed, the old
   active node does. The other way round a standby would take over from it. To let go is what a deletion does
   (`deletion`): a record that is not eligible and names nobody, kept until its node has confirmed or is gone.
3. **Go on.** Old nodes that are still wanted join as any node does, when their old record is gone.

Which id is the new one is told by the records alone: new instances name old ones as peers, and old ones never name
new ones. While the old ones serve, whatever is wrong with a new one (not wanted any more, not answering) ends its part;
when none is left, everything is as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from havip.model.keys import Key
from havip.plan.observed import Member, Standing
from havip.plan.priorities import ranked
from havip.plan.rolling import ELECTORATE, EXCUSED, NO_STEP, Place, Role, Roll, Step
from havip.plan.waits import Waits


@dataclass(frozen=True, slots=True)
class Move:
    """One pass of it. `old`, `new`: the two electorates after it; `given_up`: members of either that let go now.

    `taken_over`: whether the VIP is held under the new id. `step`: the whole, for whom a VIP is one VIP.
    """

    old: Step
    new: Step
    given_up: tuple[Member, ...]
    taken_over: bool
    step: Step


def divided(seats: Sequence[Place]) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """Seats with the id that goes, and seats with the one that stays. Nobody has to go where all have one id."""
    numbers = {_number(seat) for seat in seats if seat.member.standing is not Standing.GONE}
    if len(numbers) < 2:
        return (), tuple(seat for seat in seats if not numbers or _number(seat) in numbers)
    present = [seat for seat in seats if seat.member.standing is not Standing.GONE]
    newest = max(numbers, key=lambda number: _novelty(number, present))
    old = tuple(seat for seat in present if _number(seat) != newest)
    return old, tuple(seat for seat in present if _number(seat) == newest)


def beginners(havip: Key, old: Sequence[Place], target: Sequence[Member]) -> tuple[Member, ...]:
    """Wanted nodes that can begin under a new id; as many as leave room in their lists of peers to name the old ones.

    A node that an old one names does not: then both would name each other.
    """
    known = {place.member.node for place in old}
    able = [
        one
        for one in target
        if one.node not in known and one.own and havip not in one.assignments and one.standing not in EXCUSED
    ]
    seated = sum(place.assignment is not None and place.member.standing is not Standing.GONE for place in old)
    return tuple(able[: max(1, ELECTORATE - seated)]) if seated else ()


class Renumbering:
    """`old`, `new`: the places of either id, each with those that its instances name. `new` empty = it begins.

    `target`: the nodes that should be candidates in the end, best first.
    """

    def __init__(
        self,
        havip: Key,
        old: Sequence[Place],
        new: Sequence[Place],
        *,
        target: Sequence[Member],
        grace: float,
        waits: Waits,
    ) -> None:
        self._havip = havip
        self._target = target
        self._wanted = {one.node for one in target}
        self._grace = grace
        self._waits = waits
        self._old, self._old_named = _seats_and_named(old)
        self._new, self._new_named = _seats_and_named(new)

    def step(self) -> Move:
        dropped = self._dropped()
        new = self._new_step(dropped) if self._new else self._begin()
        taken_over = self._taken_over(new)
        released = self._released() if taken_over else []
        old = self._old_step(released)
        given_up = tuple(place.member for place in (*dropped, *released))
        return Move(old, new, given_up, taken_over, self._whole(old, new, given_up))

    # -- the new id -------------------------------------------------------------------------------------------

    def _begin(self) -> Step:
        """Held, all at once, and with the old ones as peers: that is the record of which id is the new one."""
        nodes = [one.node for one in beginners(self._havip, [*self._old, *self._old_named], self._target)]
        named = sorted(place.member.node for place in self._old)[: ELECTORATE - len(nodes)]
        roles = dict.fromkeys(nodes, Role.HELD) | dict.fromkeys(named, Role.NAMED)
        return Step(roles, ranked(nodes, {}), (), settled=False)

    def _new_step(self, dropped: Sequence[Place]) -> Step:
        """No order of preference yet: published afterwards, it brings the VIP to the node that the user prefers."""
        staying = [place for place in self._new if place not in dropped]
        there = {place.member.node for place in (*self._old, *self._old_named)}
        return self._rolled(
            staying,
            named=(*_without_seat(dropped), *self._new_named),
            target=[one for one in self._target if one.node not in there],
            preferred=(),
        )

    def _dropped(self) -> list[Place]:
        """New ones whose part ends, because the old ones serve and these are not wanted or do not answer."""
        if not any(place.serves for place in self._old):
            return []
        return [
            place for place in self._new if place.member.node not in self._wanted or place.member.standing in EXCUSED
        ]

    def _taken_over(self, new: Step) -> bool:
        return any(
            place.serves and place.member.active(self._havip) and new.roles.get(place.member.node) is Role.ELIGIBLE
            for place in self._new
        )

    # -- the old id -------------------------------------------------------------------------------------------

    def _released(self) -> list[Place]:
        """Old ones that let go now: first all that are not active, then, when these have, the active one."""
        standbys = [place for place in self._old if not place.member.active(self._havip)]
        return standbys or ([] if self._letting_go() else self._old)

    def _letting_go(self) -> bool:
        """Whether one that was told to let go is still waited for: it would take over from the active one."""
        told = [place.member for place in self._old_named if self._havip in place.member.assignments]
        return any(one.standing is Standing.BEHIND or (one.confirmed and one.active(self._havip)) for one in told)

    def _old_step(self, released: Sequence[Place]) -> Step:
        """Nobody joins, nobody is ranked anew: a change of order would move the VIP once more for nothing.

        Who is not wanted stays too, until the VIP is held under the new id. Who was leaving already, or whose node left
        the class, goes on leaving as long as another one serves.
        """
        staying = sorted(
            (place for place in self._old if place not in released), key=lambda place: place.base, reverse=True
        )
        needed = [
            place for place in staying if place.member.node in self._wanted or (place.eligible and place.member.belongs)
        ]
        return self._rolled(
            staying,
            named=(*_without_seat(released), *self._old_named),
            target=[place.member for place in (needed if any(one.serves for one in needed) else staying)],
            preferred=next((one.assignment.instance.preferred for one in staying if one.assignment), ()),
        )

    # -- both -------------------------------------------------------------------------------------------------

    def _rolled(
        self,
        seats: Sequence[Place],
        *,
        named: Sequence[Place],
        target: Sequence[Member],
        preferred: tuple[str, ...],
    ) -> Step:
        if not seats:
            return NO_STEP
        return Roll(
            self._havip,
            (*seats, *named),
            target=target,
            preferred=preferred,
            grace=self._grace,
            waits=self._waits,
        ).step()

    def _whole(self, old: Step, new: Step, given_up: Sequence[Member]) -> Step:
        roles = {**new.roles, **old.roles, **{one.node: Role.HELD for one in given_up}}
        moved = {node for node, role in new.roles.items() if role is Role.ELIGIBLE}
        return Step(
            roles,
            {**new.priorities, **old.priorities},
            None,
            settled=False,
            joining=tuple(sorted(self._wanted - moved)),
            leaving=tuple(sorted(set(roles) - self._wanted)),
            blocked=tuple(sorted({*old.blocked, *new.blocked})),
            outgoing=frozenset(place.member.node for place in self._old),
        )


def _seats_and_named(places: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    present = [place for place in places if place.member.standing is not Standing.GONE]
    return [one for one in present if one.assignment is not None], [one for one in present if one.assignment is None]


def _number(seat: Place) -> int:
    return seat.assignment.instance.virtual_router_id if seat.assignment else 0


def _novelty(number: int, seats: Sequence[Place]) -> tuple[bool, bool, int]:
    """How sure it is that an id is the new one.

    The names of peers say it. Only when all that the new ones named are gone at once must something else do; then it is
    enough that every pass answers alike.
    """
    ours = [seat.assignment.instance for seat in seats if seat.assignment and _number(seat) == number]
    others = {seat.member.node for seat in seats if _number(seat) != number}
    names = any(peer.node in others for one in ours for peer in one.peers)
    return names, not any(one.eligible for one in ours), number


def _without_seat(places: Sequence[Place]) -> list[Place]:
    return [Place(place.member, None) for place in places]
