"""One HAVip's VRRP instances, node by node, from what is recorded and what is wished.

Here the decisions about one VIP meet: who may hold it, under which id, with which rank, in which step of the way.
Addresses and ids of an instance never change in place; an instance that is not this HAVip's is none of ours here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from havip.model.address import Address
from havip.model.election import Instance, Peer
from havip.model.keys import Key, node_object_name
from havip.model.node import Assignment, Frontend
from havip.model.states import Failback
from havip.plan.admission import Verdict, is_its_own
from havip.plan.candidates import Loads, Seat, in_order, lasting, target, usable
from havip.plan.claims import grace
from havip.plan.classes import Problem
from havip.plan.observed import Member, Observed, quarantined
from havip.plan.reasons import Reason
from havip.plan.rolling import Place, Role, Roll, Step
from havip.plan.settings import timing_of
from havip.plan.settled import at_rest
from havip.plan.snapshot import SeenClass
from havip.plan.virtual_router_ids import VirtualRouterIds

NO_STEP = Step({}, {}, (), settled=True)


@dataclass(frozen=True, slots=True)
class VipPlan:
    """What one HAVip gets: `assignments` by HAVipNode, `step` on the way there, `problems` that keep it from more.

    `target`: nodes that should be candidates, best first. `requested`: how many the user asked for.
    """

    verdict: Verdict
    assignments: Mapping[str, Assignment]
    step: Step
    target: tuple[str, ...] = ()
    virtual_router_id: int | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def solo(self) -> bool:
        """Whether it is meant to be on one node alone."""
        return len(self.target) == 1 and len(self.step.roles) == 1


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the instances are to say beyond who and where. A refused HAVip keeps what it had."""

    preferred: tuple[str, ...]
    failback: Failback
    delay: int
    frontends: tuple[Frontend, ...]
    tracked: bool

    def is_met_by(self, record: Assignment) -> bool:
        instance = record.instance
        return (
            record.frontends == self.frontends
            and instance.tracked == self.tracked
            and instance.failback is self.failback
            and instance.failback_delay_seconds == self.delay
        )


class Electorates:
    """Plans all HAVips one after the other, oldest first; each sees what the ones before it got."""

    def __init__(self, observed: Observed, verdicts: Mapping[Key, Verdict]) -> None:
        self._observed = observed
        self._ids = VirtualRouterIds(observed)
        self._usable = {
            (name, version): [one for one in usable(members) if one.speaks(version)]
            for name, members in observed.of_class.items()
            for version in (4, 6)
        }
        self._live: dict[Key, list[tuple[Member, Assignment]]] = {}
        self._loads: dict[str, Loads] = {name: Loads() for name in observed.of_class}
        for verdict in verdicts.values():
            self._count(verdict)

    def plan(self, verdict: Verdict) -> VipPlan:
        """The next step of one admitted or holding HAVip; nothing for any other."""
        name = verdict.class_name
        seen = None if name is None else self._observed.snapshot.classes.get(name)
        if not verdict.wants or name is None:
            return VipPlan(verdict, {}, NO_STEP, problems=verdict.problems)
        if seen is None:
            return self._untouched(verdict, name)
        return self._at_rest(verdict, name) or self._under_way(verdict, name, seen)

    def _at_rest(self, verdict: Verdict, name: str) -> VipPlan | None:
        """The plan of a VIP to which nothing is to happen; None = it takes a closer look."""
        if not verdict.admitted:
            return None
        records = self._records(verdict, name)
        nodes = verdict.seen.object.spec.nodes
        step = at_rest(verdict.key, records, count=nodes.candidates, preferred=nodes.preferred)
        wish = self._wish(verdict, ())
        if step is None or not all(wish.is_met_by(record) for _, record in records):
            return None
        return VipPlan(
            verdict,
            {member.name: record for member, record in records},
            step,
            target=tuple(step.roles),
            virtual_router_id=records[0][1].instance.virtual_router_id,
        )

    def _under_way(self, verdict: Verdict, name: str, seen: SeenClass) -> VipPlan:
        places = self._places(verdict, name)
        number = next((one.assignment.instance.virtual_router_id for one in places if one.assignment), None)
        nodes, conflicts = self._target(verdict, name, number)
        spec = seen.object.spec
        if number is None:
            ids = spec.election.vrrp.virtual_router_ids
            wish = verdict.seen.object.status.virtual_router_id
            number = self._ids.free((one.node for one in nodes), first=ids.first, last=ids.last, wish=wish)
            if number is None:
                return VipPlan(
                    verdict, {}, NO_STEP, problems=(*verdict.problems, _exhausted(name, ids.first, ids.last))
                )
        if not nodes and not places:
            return VipPlan(verdict, {}, NO_STEP, problems=(*verdict.problems, self._nobody(name)))
        wish_for = self._wish(verdict, places)
        step = Roll(
            verdict.key,
            places,
            target=nodes,
            preferred=wish_for.preferred,
            grace=grace(timing_of(seen.object)),
            waits=self._observed.waits,
        ).step()
        self._ids.take(verdict.key, step.roles, number)
        if not places:
            self._loads[name].add([one.name for one in nodes])
        assignments = self._assignments(verdict, name, places, step, number, wish_for)
        return VipPlan(
            verdict,
            assignments,
            step,
            target=tuple(one.node for one in nodes),
            virtual_router_id=number if step.roles else None,
            problems=(*verdict.problems, *conflicts, *([] if nodes else [self._nobody(name)])),
        )

    def _count(self, verdict: Verdict) -> None:
        name = verdict.class_name
        if not verdict.holds or name is None:
            return
        ranked = sorted(self._records(verdict, name), key=lambda one: -one[1].instance.priority)
        self._loads[name].add([member.name for member, _ in ranked])

    def _records(self, verdict: Verdict, class_name: str) -> list[tuple[Member, Assignment]]:
        known = self._live.get(verdict.key)
        if known is None:
            found = ((one, one.assignments[verdict.key]) for one in self._observed.allocated.get(verdict.key, ()))
            known = [(one, record) for one, record in found if is_live(one, record, verdict, class_name)]
            self._live[verdict.key] = known
        return known

    def _seats(self, verdict: Verdict, class_name: str) -> list[Seat]:
        return [
            Seat(one, record.instance.priority, record.instance.eligible, one.active(verdict.key))
            for one, record in self._records(verdict, class_name)
        ]

    def _places(self, verdict: Verdict, class_name: str) -> list[Place]:
        """Nodes with an instance, then those that are only named as peers, each in order of name."""
        seats = [Place(one, record) for one, record in self._records(verdict, class_name)]
        there = {place.member.node for place in seats}
        named = sorted(
            {peer.node for place in seats if place.assignment for peer in place.assignment.instance.peers} - there
        )
        return [*seats, *(Place(self._observed.known(class_name, node), None) for node in named)]

    def _target(
        self, verdict: Verdict, name: str, number: int | None
    ) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        seats = self._seats(verdict, name)
        if not verdict.admitted:
            staying = sorted(seats, key=lambda seat: -seat.priority)
            return tuple(seat.member for seat in staying if seat.member.belongs), ()
        nodes = verdict.seen.object.spec.nodes
        fits = self._usable[name, elected_of(verdict.addresses).version]
        seated = {seat.member.node for seat in seats}
        if len(seats) == nodes.candidates and seated.issuperset(nodes.preferred) and self._lasting(seats):
            return in_order([seat.member for seat in seats], seats, nodes.preferred), ()
        taken = {one.node: self._ids.other(verdict.key, one.node, number) for one in fits} if number else {}
        free = [one for one in fits if not taken.get(one.node)]
        conflicts = tuple(
            _collides(number or 0, node, other)
            for node in nodes.preferred
            if node not in seated and (other := taken.get(node)) is not None
        )
        found = target(
            verdict.key,
            seats,
            free,
            count=nodes.candidates,
            preferred=nodes.preferred,
            loads=self._loads[name],
            waits=self._observed.waits,
        )
        return found, conflicts

    def _lasting(self, seats: Sequence[Seat]) -> bool:
        return all(lasting(seat.member, self._observed.waits) for seat in seats)

    def _wish(self, verdict: Verdict, places: Sequence[Place]) -> _Wish:
        spec = verdict.seen.object.spec
        record = next((place.assignment for place in places if place.assignment), None)
        if not verdict.admitted and record is not None:
            old = record.instance
            return _Wish(old.preferred, old.failback, old.failback_delay_seconds, record.frontends, old.tracked)
        return _Wish(
            spec.nodes.preferred,
            spec.failback,
            spec.failback_delay_seconds or 0,
            verdict.frontends,
            tracked=bool(verdict.frontends),
        )

    def _assignments(
        self,
        verdict: Verdict,
        class_name: str,
        places: Sequence[Place],
        step: Step,
        number: int,
        wish: _Wish,
    ) -> dict[str, Assignment]:
        elected = elected_of(verdict.addresses)
        records = {place.member.node: place.assignment for place in places if place.assignment}
        addresses = {node: self._source(class_name, node, elected, records) for node in step.roles}
        peers = {node: Peer(node, address) for node, address in sorted(addresses.items()) if address is not None}
        out: dict[str, Assignment] = {}
        for node, role in step.roles.items():
            source = addresses[node]
            if role is Role.NAMED or source is None:
                continue
            record = records.get(node)
            before = record.instance if record else None
            preferred = step.preferred
            if preferred is None:
                preferred = before.preferred if before else wish.preferred
            out[node_object_name(class_name, node)] = Assignment(
                Instance(
                    havip=verdict.key,
                    virtual_router_id=number,
                    priority=step.priorities[node],
                    addresses=before.addresses if before else verdict.addresses,
                    source=source,
                    peers=tuple(peer for other, peer in peers.items() if other != node),
                    eligible=role is Role.ELIGIBLE,
                    preferred=preferred,
                    failback=wish.failback,
                    failback_delay_seconds=wish.delay,
                    announce=before.announce if before else 0,
                    tracked=wish.tracked,
                ),
                wish.frontends,
            )
        return out

    def _source(
        self, class_name: str, node: str, elected: Address, records: Mapping[str, Assignment]
    ) -> Address | None:
        """The node's own address: the recorded one while it has it, or while it does not say."""
        record = records.get(node)
        known = record.instance.source if record else _as_peer(node, records)
        member = self._observed.member(class_name, node)
        found = member.source(elected.version, elected, known) if member else None
        return found or known

    def _untouched(self, verdict: Verdict, class_name: str) -> VipPlan:
        """The class cannot be seen: what was allocated stays exactly as it is."""
        records = self._records(verdict, class_name)
        return VipPlan(
            verdict,
            {member.name: record for member, record in records},
            NO_STEP,
            target=tuple(member.node for member, _ in records),
            virtual_router_id=next((record.instance.virtual_router_id for _, record in records), None),
            problems=verdict.problems,
        )

    def _nobody(self, class_name: str) -> Problem:
        of = self._observed.snapshot.classes[class_name]
        members = self._observed.of_class[class_name]
        known = {one.node for one in members}
        coming = [node.name for node in self._observed.wanted_nodes(of) if node.ready and node.name not in known]
        if coming:
            return Problem(Reason.WAITING_FOR_NODES, f"waiting for {', '.join(coming[:5])} to report an interface")
        silent = sorted(one.node for one in members if one.belongs and not one.own)
        why = (
            f"nodes without an interface of the class: {', '.join(silent[:5])}"
            if silent
            else "no Node that is Ready matches the class's spec.nodes"
        )
        return Problem(
            Reason.NO_ELIGIBLE_NODES,
            f"no node of class {class_name} can hold the VIP: {why}",
        )


def is_live(member: Member, record: Assignment, verdict: Verdict, class_name: str) -> bool:
    """Whether a record is an instance of this HAVip, and not something that is still being given up."""
    return (
        member.class_name == class_name
        and not quarantined(record)
        and is_its_own(record.instance.addresses, verdict.addresses)
    )


def elected_of(addresses: Sequence[Address]) -> Address:
    """The address whose family the adverts are of (`Instance.elected`)."""
    return min(addresses, key=lambda address: address.version)


def _as_peer(node: str, records: Mapping[str, Assignment]) -> Address | None:
    return next(
        (peer.address for record in records.values() for peer in record.instance.peers if peer.node == node), None
    )


def _exhausted(class_name: str, first: int, last: int) -> Problem:
    return Problem(
        Reason.VIRTUAL_ROUTER_IDS_EXHAUSTED,
        f"every virtual router id from {first} to {last} is in use on the candidates: spec.election.vrrp."
        f"virtualRouterIds of HAVipClass {class_name} must be wider, or the class needs more nodes",
    )


def _collides(number: int, node: str, other: Key) -> Problem:
    return Problem(
        Reason.VIRTUAL_ROUTER_ID_CONFLICT,
        f"spec.nodes.preferred: {node} cannot join yet: HAVip {other} uses virtual router id {number} there; it joins"
        " when that HAVip is gone from the node",
    )
