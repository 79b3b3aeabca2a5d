"""From the candidates that are to the candidates that should be, one safe step per pass.

Every node must agree with every other about who takes part, or two of them elect themselves. What goes wrong
(measured, reference "dataplane", section 2): a peer removed on one node only becomes active as well; a node that is
not yet in the others' lists hears nothing from the active one, and elects itself; an instance that is simply removed
loses 41 ms, one that hands over first loses nothing. Hence this order, and no other:

1. **Join.** The new node gets its instance *held* (not eligible), everybody else gets it as a peer, in one pass. It
   becomes eligible when everybody who may be active has confirmed the list that names it, and it hears the active
   node's adverts itself (or nobody is active). Evidence, not time: a path that does not pass VRRP stops here.
2. **Rank.** Priorities and the user's preference are published when all have joined: the switch that they order goes
   straight to the node that was meant.
3. **Leave.** A node that leaves is first held: it hands over while it still answers. When it has confirmed and says
   that it is not active, its instance is removed; when that is confirmed, the others forget it as a peer. Before,
   they must not: it would hear nothing any more and, if it still had its instance, elect itself.

A node that does not answer blocks a step only so long (`waits`): then it stays in everybody's lists, held in its
own, until it has confirmed or its Node is gone. It is never forgotten while it may be alive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from havip.model.election import PEERS
from havip.model.keys import Key
from havip.model.node import Assignment
from havip.plan.claims import hears, may_be_active
from havip.plan.observed import Member, Standing
from havip.plan.priorities import provisional, ranked
from havip.plan.vrrp_blocked import blocked, to_hold
from havip.plan.waits import Waits

ELECTORATE = PEERS + 1
EXCUSED = (Standing.SILENT, Standing.CUT_OFF)
"""Standings of nodes that are not waited for any more."""


class Role(StrEnum):
    """What a node is in one VIP's electorate."""

    ELIGIBLE = "Eligible"
    HELD = "Held"
    """Has the instance, is everybody's peer, must not be active."""
    NAMED = "Named"
    """Has no instance any more, or is letting go of one, and has not confirmed that; still everybody's peer."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the electorate as recorded. `assignment` None = it is only named as a peer."""

    member: Member
    assignment: Assignment | None

    @property
    def eligible(self) -> bool:
        return self.assignment is not None and self.assignment.instance.eligible

    @property
    def serves(self) -> bool:
        """Whether this one can take over: eligible, confirmed, and on a Node that is Ready."""
        return self.eligible and self.member.confirmed and self.member.ready

    @property
    def base(self) -> int:
        return 0 if self.assignment is None else self.assignment.instance.priority


@dataclass(frozen=True, slots=True)
class Step:
    """The electorate after this pass, by node. `priorities`: bases of those with an instance.

    `preferred`: the order to publish now; None = each node keeps the one it has. `settled`: nothing is under way.
    `joining`, `leaving`, `blocked`: nodes on their way in, on their way out, and held because adverts do not reach
    them. `keeping`: active nodes that are told of the new order in the next pass, when the others know it.
    `outgoing`: nodes with an instance under an id that the VIP moves away from (`renumbering`).
    """

    roles: Mapping[str, Role]
    priorities: Mapping[str, int]
    preferred: tuple[str, ...] | None
    settled: bool
    joining: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    keeping: frozenset[str] = frozenset()
    outgoing: frozenset[str] = frozenset()


NO_STEP = Step({}, {}, (), settled=True)


class Roll:
    """One VIP's electorate on its way. `target`: best first; `preferred`: the user's order of nodes."""

    def __init__(
        self,
        havip: Key,
        places: Sequence[Place],
        *,
        target: Sequence[Member],
        preferred: tuple[str, ...],
        grace: float,
        waits: Waits,
    ) -> None:
        self._havip = havip
        self._waits = waits
        self._grace = grace
        self._preferred = preferred
        self._target = [member for member in target if member.standing is not Standing.GONE]
        self._wanted = {member.node for member in self._target}
        present = [place for place in places if place.member.standing is not Standing.GONE]
        self._seats = [place for place in present if place.assignment is not None]
        self._new = self._newcomers([place.member for place in present if place.assignment is None])
        joining = {member.node for member in self._new}
        self._named = [
            place
            for place in present
            if place.assignment is None and place.member.node not in joining and self._unsure(place.member)
        ][: max(0, ELECTORATE - len(self._seats) - len(joining))]

    def _unsure(self, member: Member) -> bool:
        """Whether a node that has no instance of this electorate may still run one: then it stays a peer."""
        return self._occupied(member) or (not member.confirmed and member.standing is not Standing.CUT_OFF)

    def _occupied(self, member: Member) -> bool:
        """Whether a node without a seat has a record all the same: under another id, or one it is to let go of."""
        return self._havip in member.assignments

    def _newcomers(self, named: Sequence[Member]) -> list[Member]:
        """Wanted nodes without an instance that can join now, as many as the lists of peers have room for."""
        seated = {place.member.node for place in self._seats}
        able = [
            member for member in self._target if member.node not in seated and member.own and not self._occupied(member)
        ]
        occupied = {member.node for member in named if self._unsure(member)} - {member.node for member in able}
        return able[: max(0, ELECTORATE - len(seated) - len(occupied))]

    def step(self) -> Step:
        if not self._seats:
            return self._start()
        hold = to_hold(
            self._havip,
            [place.member for place in self._seats if place.eligible],
            grace=self._grace,
            waits=self._waits,
        )
        roles = {member.node: Role.HELD for member in self._new}
        roles |= {place.member.node: Role.NAMED for place in self._named}
        joined = self._joined()
        order, bases = self._ranks(joined=joined)
        keeping = self._keeping(bases) if joined else {}
        bases |= keeping
        leave = self._may_leave(joined=joined, published=self._published(bases))
        for place in self._seats:
            role = self._role(place, hold, leave)
            if role is not None:
                roles[place.member.node] = role
        step = self._outcome(roles, bases, order=order, joined=joined)
        return replace(step, keeping=frozenset(keeping), settled=step.settled and not keeping)

    def _start(self) -> Step:
        """Nobody has it: all begin together, each with all the others as peers."""
        waiting = [member for member in self._target if not member.own]
        nodes = [member.node for member in self._new]
        if waiting and len(nodes) < 2:
            # Alone, with others about to report: they would have to join one by one.
            return Step({}, {}, self._preferred, settled=False, joining=tuple(member.node for member in waiting))
        roles = dict.fromkeys(nodes, Role.ELIGIBLE) | {place.member.node: Role.NAMED for place in self._named}
        return Step(
            roles,
            ranked(nodes, {}),
            self._preferred,
            settled=not waiting,
            joining=tuple(member.node for member in waiting),
        )

    # -- join -------------------------------------------------------------------------------------------------

    def _role(self, place: Place, hold: frozenset[str], leave: frozenset[str]) -> Role | None:
        member = place.member
        if member.node not in self._wanted:
            return self._leaver(place, leave)
        if place.eligible:
            return Role.HELD if member.node in hold else Role.ELIGIBLE
        return Role.ELIGIBLE if self._may_be_eligible(place) else Role.HELD

    def _may_be_eligible(self, place: Place) -> bool:
        if len(self._seats) == 1 and not self._named:
            return True  # all the others are gone, so that there is nobody who might be active
        if not place.member.confirmed and place.member.standing is not Standing.CUT_OFF:
            return False
        others = [other for other in self._seats if other is not place]
        if not all(self._knows(other, place) for other in others):
            return False
        if place.member.standing is Standing.CUT_OFF:
            return True
        active = [other.member for other in others if may_be_active(other.member, self._havip, self._waits)]
        return not active or hears(place.member, self._havip, active)

    @staticmethod
    def _knows(other: Place, place: Place) -> bool:
        """Whether `other` has confirmed a list that names the node, or is not waited for."""
        if other.member.standing in EXCUSED:
            return True
        peers = other.assignment.instance.peers if other.assignment else ()
        return other.member.confirmed and any(peer.node == place.member.node for peer in peers)

    def _joined(self) -> bool:
        """Everybody who is wanted takes part, or cannot be waited for."""
        seated = {place.member.node for place in self._seats}
        late = (one for one in self._target if one.node not in seated and self._occupied(one))
        coming = self._new or any(one.standing not in EXCUSED for one in late)
        return not coming and all(
            place.eligible or place.member.standing in EXCUSED
            for place in self._seats
            if place.member.node in self._wanted
        )

    # -- rank -------------------------------------------------------------------------------------------------

    def _ranks(self, *, joined: bool) -> tuple[tuple[str, ...] | None, dict[str, int]]:
        """The preference to publish and the bases of all with an instance."""
        recorded = {place.member.node: place.assignment.instance.priority for place in self._seats if place.assignment}
        if not joined:
            return None, recorded | provisional([member.node for member in self._new], recorded)
        seated = {place.member.node for place in self._seats}
        order = [member.node for member in self._target if member.node in seated]
        leaving = sorted(seated - set(order), key=lambda node: -recorded[node])
        # A new order is published from the top: an active node tells by its base whether it is still the best.
        known = recorded if self._orders() == {self._preferred} else {}
        return self._preferred, ranked([*order, *leaving], known)

    def _keeping(self, bases: Mapping[str, int]) -> dict[str, int]:
        """The bases of active nodes that are not told of a new order yet, because others have to know it first.

        An active node that yields to "the best" before the others have their new ranks yields to the old best one: a
        third node held the VIP for 20 ms on the way.
        """
        waiting = [
            place
            for place in self._seats
            if place.member.node in self._wanted
            and place.member.standing not in EXCUSED
            and not place.member.active(self._havip)
            and not (place.member.confirmed and self._has(place, bases))
        ]
        return {
            place.member.node: place.base
            for place in self._seats
            if waiting and place.member.active(self._havip) and self._orders_of(place) != self._preferred
        }

    def _has(self, place: Place, bases: Mapping[str, int]) -> bool:
        return self._orders_of(place) == self._preferred and place.base == bases.get(place.member.node)

    @staticmethod
    def _orders_of(place: Place) -> tuple[str, ...]:
        return place.assignment.instance.preferred if place.assignment else ()

    def _orders(self) -> set[tuple[str, ...]]:
        """The preferences that the nodes have been told."""
        return {place.assignment.instance.preferred for place in self._seats if place.assignment}

    def _published(self, bases: Mapping[str, int]) -> bool:
        return all(
            place.assignment is not None
            and place.assignment.instance.priority == bases.get(place.member.node)
            and place.assignment.instance.preferred == self._preferred
            for place in self._seats
        )

    # -- leave ------------------------------------------------------------------------------------------------

    def _may_leave(self, *, joined: bool, published: bool) -> frozenset[str]:
        """Nodes that may begin to leave now."""
        leavers = [place for place in self._seats if place.member.node not in self._wanted]
        forced = {place.member.node for place in leavers if not place.member.belongs}
        taking_over = [place for place in self._seats if place.member.node in self._wanted and place.serves]
        if taking_over and joined and published:
            return frozenset(place.member.node for place in leavers)
        if self._full():
            return frozenset(forced | self._making_room(leavers))
        return frozenset(forced)

    def _making_room(self, leavers: Sequence[Place]) -> set[str]:
        """There is no room to join before somebody has left: one at a time, the one that matters least."""
        if any(not place.eligible for place in leavers):
            return set()  # one is on its way already
        least = sorted(leavers, key=lambda place: (place.member.active(self._havip), place.base))[:1]
        return {place.member.node for place in least if any(one.serves for one in self._seats if one is not place)}

    def _full(self) -> bool:
        """Whether somebody is to join and cannot, because the lists of peers are full."""
        seated = {place.member.node for place in self._seats}
        return len(self._seats) + len(self._named) >= ELECTORATE and any(
            member.node not in seated for member in self._target
        )

    def _leaver(self, place: Place, leave: frozenset[str]) -> Role | None:
        if place.eligible:
            return Role.HELD if place.member.node in leave else Role.ELIGIBLE
        if place.member.confirmed and not place.member.answers(self._havip):
            return Role.NAMED
        return Role.HELD

    # -- the whole --------------------------------------------------------------------------------------------

    def _outcome(
        self, roles: Mapping[str, Role], bases: Mapping[str, int], *, order: tuple[str, ...] | None, joined: bool
    ) -> Step:
        held = [
            place.member
            for place in self._seats
            if place.member.node in self._wanted and roles.get(place.member.node) is Role.HELD and not place.eligible
        ]
        active = [
            place.member
            for place in self._seats
            if place.eligible and place.member.confirmed and may_be_active(place.member, self._havip, self._waits)
        ]
        deaf = blocked(self._havip, held, active, grace=self._grace, waits=self._waits)
        joining = tuple(
            sorted({member.node for member in self._target if roles.get(member.node) is not Role.ELIGIBLE} - set(deaf))
        )
        leaving = tuple(sorted(set(roles) - self._wanted))
        return Step(
            roles=roles,
            priorities={node: bases[node] for node, role in roles.items() if role is not Role.NAMED},
            preferred=order,
            settled=joined and not joining and not leaving and not deaf,
            joining=joining,
            leaving=leaving,
            blocked=deaf,
        )
