"""One HAVip's VRRP instances, node by node, from what is recorded and what is wished.

Here the decisions about one VIP meet: who may hold it, under which id, with which rank, in which step of the way.
Addresses and ids of an instance never change in place (a VIP gets another id by `renumbering`); an instance that is not
this HAVip's is none of ours here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from havip.model.address import Address
from havip.model.election import Instance, Peer, Probe
from havip.model.keys import Key, node_object_name
from havip.model.node import Assignment, Frontend
from havip.model.states import Failback
from havip.plan.admission import Verdict, is_its_own
from havip.plan.candidates import Loads, Seat, in_order, lasting, target, usable
from havip.plan.claims import grace
from havip.plan.classes import Problem
from havip.plan.deletion import release
from havip.plan.observed import Member, Observed, quarantined
from havip.plan.probe_ports import ProbePorts, is_probed, probe_of
from havip.plan.reasons import Reason
from havip.plan.renumbering import Renumbering, beginners, divided
from havip.plan.rolling import EXCUSED, NO_STEP, Place, Role, Roll, Step
from havip.plan.settings import timing_of
from havip.plan.settled import at_rest
from havip.plan.snapshot import SeenClass
from havip.plan.virtual_router_ids import VirtualRouterIds


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
        """Whether it is meant to be on one node alone, or was when it began to move to another id."""
        if self.step.outgoing:
            instances = [record.instance for record in self.assignments.values()]
            return any(one.eligible and not one.peers for one in instances)
        return len(self.target) == 1 and len(self.step.roles) == 1


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the instances are to say beyond who and where. A refused HAVip keeps what it had."""

    preferred: tuple[str, ...]
    failback: Failback
    delay: int
    frontends: tuple[Frontend, ...]
    tracked: bool
    probe: Probe | None = None
    announce: int = 0

    def is_met_by(self, record: Assignment) -> bool:
        instance = record.instance
        return (
            record.frontends == self.frontends
            and instance.tracked == self.tracked
            and instance.failback is self.failback
            and instance.failback_delay_seconds == self.delay
            and instance.probe == self.probe
            and instance.announce >= self.announce
        )


@dataclass(frozen=True, slots=True)
class _Aim:
    """`nodes`: who should be a candidate, best first, as far as the id allows it.

    `lacking`: nodes that should be too, and the HAVips that have the same id there; `ideal`: the nodes if none had.
    """

    nodes: tuple[Member, ...]
    ideal: tuple[Member, ...] = ()
    lacking: Mapping[str, Key] = field(default_factory=dict)


class Electorates:
    """Plans all HAVips one after the other, oldest first; each sees what the ones before it got."""

    def __init__(self, observed: Observed, verdicts: Mapping[Key, Verdict]) -> None:
        self._observed = observed
        self._ids = VirtualRouterIds(observed)
        self._probe_ports = ProbePorts(observed)
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
        old, new = divided([Place(one, record) for one, record in self._records(verdict, name)])
        before, number = _number(old), _number(new)
        places = self._places(name, new)
        aim = self._aim(verdict, name, number)
        if before is not None and number is not None:
            left = self._places(name, old)
            return self._moving(verdict, seen, left, places, before=before, number=number, aim=aim)
        if number is not None and aim.lacking and beginners(verdict.key, places, aim.ideal):
            another = self._free(seen, (*(one.member for one in places), *aim.ideal))
            if another is not None:
                whole = _Aim(aim.ideal)
                return self._moving(verdict, seen, places, (), before=number, number=another, aim=whole)
        return self._rolling(verdict, seen, places, number=number, aim=aim)

    def _rolling(
        self, verdict: Verdict, seen: SeenClass, places: Sequence[Place], *, number: int | None, aim: _Aim
    ) -> VipPlan:
        """The usual way: one id, and one electorate on its way to the target."""
        name, nodes = seen.metadata.name, aim.nodes
        if number is None:
            wish = verdict.seen.object.status.virtual_router_id
            number = self._free(seen, nodes, wish=wish)
            if number is None:
                return VipPlan(verdict, {}, NO_STEP, problems=(*verdict.problems, _exhausted(seen)))
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
        conflicts = _collisions(number, aim, verdict.seen.object.spec.nodes.preferred)
        return VipPlan(
            verdict,
            self._assignments(verdict, name, places, step, number, wish_for),
            step,
            target=tuple(one.node for one in nodes),
            virtual_router_id=number if step.roles else None,
            problems=(*verdict.problems, *conflicts, *([] if nodes else [self._nobody(name)])),
        )

    def _moving(
        self,
        verdict: Verdict,
        seen: SeenClass,
        old: Sequence[Place],
        new: Sequence[Place],
        *,
        before: int,
        number: int,
        aim: _Aim,
    ) -> VipPlan:
        """On its way from one id to another: two electorates side by side, none of a node of the other."""
        name = seen.metadata.name
        move = Renumbering(
            verdict.key,
            old,
            new,
            target=aim.nodes,
            grace=grace(timing_of(seen.object)),
            waits=self._observed.waits,
        ).step()
        self._ids.take(verdict.key, (*move.step.roles, *(one.node for one in aim.nodes)), number)
        wish = self._wish(verdict, (*new, *old))
        apart = replace(wish, preferred=())
        joining = (node for node, role in move.new.roles.items() if role is not Role.NAMED)
        why = next(((node, one) for node in joining if (one := self._ids.other(verdict.key, node, before))), None)
        return VipPlan(
            verdict,
            {
                **self._assignments(verdict, name, old, move.old, before, wish),
                **self._assignments(verdict, name, (*new, *old), move.new, number, apart),
                **release(verdict.key, move.given_up, seen=None).records,
            },
            move.step,
            target=tuple(one.node for one in aim.nodes),
            virtual_router_id=number if move.taken_over else before,
            problems=(
                *verdict.problems,
                _moves(before, number, why),
                *_collisions(number, aim, verdict.seen.object.spec.nodes.preferred),
            ),
        )

    def _free(self, seen: SeenClass, nodes: Iterable[Member], *, wish: int | None = None) -> int | None:
        """An id of the class's range that no other HAVip has on any of these nodes."""
        ids = seen.object.spec.election.vrrp.virtual_router_ids
        return self._ids.free((one.node for one in nodes), first=ids.first, last=ids.last, wish=wish)

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

    def _places(self, class_name: str, seats: Sequence[Place]) -> list[Place]:
        """Nodes with an instance, then those that are only named by these as peers, each in order of name."""
        there = {place.member.node for place in seats}
        named = sorted(
            {peer.node for place in seats if place.assignment for peer in place.assignment.instance.peers} - there
        )
        return [*seats, *(Place(self._observed.known(class_name, node), None) for node in named)]

    def _aim(self, verdict: Verdict, name: str, number: int | None) -> _Aim:
        seats = self._seats(verdict, name)
        if not verdict.admitted:
            staying = sorted(seats, key=lambda seat: -seat.priority)
            return _Aim(tuple(seat.member for seat in staying if seat.member.belongs))
        nodes = verdict.seen.object.spec.nodes
        usable = self._usable[name, elected_of(verdict.addresses).version]
        # A node that is to let go of an older instance first, and does not answer, cannot join.
        fits = [one for one in usable if verdict.key not in one.assignments or one.standing not in EXCUSED]
        seated = {seat.member.node for seat in seats}
        if len(seats) == nodes.candidates and seated.issuperset(nodes.preferred) and self._lasting(seats):
            return _Aim(in_order([seat.member for seat in seats], seats, nodes.preferred))
        taken = {one.node: self._ids.other(verdict.key, one.node, number) for one in fits} if number else {}
        found = self._target(verdict, name, seats, [one for one in fits if not taken.get(one.node)])
        ideal = self._target(verdict, name, seats, fits) if any(taken.values()) else found
        lacking = {
            one.node: other for one in ideal if one.node not in seated and (other := taken.get(one.node)) is not None
        }
        # Another node will do as well, as long as the user named none and there are enough that live.
        needed = any(node in nodes.preferred for node in lacking) or self._living(found) < self._living(ideal)
        return _Aim(found, ideal, lacking) if needed else _Aim(found)

    def _target(self, verdict: Verdict, name: str, seats: Sequence[Seat], free: Sequence[Member]) -> tuple[Member, ...]:
        nodes = verdict.seen.object.spec.nodes
        return target(
            verdict.key,
            seats,
            free,
            count=nodes.candidates,
            preferred=nodes.preferred,
            loads=self._loads[name],
            waits=self._observed.waits,
        )

    def _living(self, members: Iterable[Member]) -> int:
        return sum(lasting(one, self._observed.waits) for one in members)

    def _lasting(self, seats: Sequence[Seat]) -> bool:
        return all(lasting(seat.member, self._observed.waits) for seat in seats)

    def _wish(self, verdict: Verdict, places: Sequence[Place]) -> _Wish:
        spec = verdict.seen.object.spec
        record = next((place.assignment for place in places if place.assignment), None)
        if not verdict.admitted and record is not None:
            old = record.instance
            kept = (old.preferred, old.failback, old.failback_delay_seconds, record.frontends, old.tracked, old.probe)
            return _Wish(*kept)
        return _Wish(
            spec.nodes.preferred,
            spec.failback,
            spec.failback_delay_seconds or 0,
            verdict.frontends,
            tracked=bool(verdict.frontends),
            probe=self._probe(verdict),
            announce=self._announced(verdict),
        )

    def _announced(self, verdict: Verdict) -> int:
        """The moment of the last reason, on the cloud's side, to announce the addresses again; 0 = there was none."""
        report = self._observed.snapshot.clouds.get(verdict.class_name or "")
        return report.announce.get(verdict.key, 0) if report is not None else 0

    def _probe(self, verdict: Verdict) -> Probe | None:
        """How its nodes are asked, with the port that it has or gets now."""
        seen = self._observed.snapshot.classes.get(verdict.class_name or "")
        if seen is None or not is_probed(seen.object):
            return None
        nodes = [member.node for member in self._observed.of_class[seen.metadata.name]]
        port = self._probe_ports.port(verdict.key, nodes, unlike=[one.port for one in verdict.frontends])
        if port is None:
            return None
        self._probe_ports.take(verdict.key, nodes, port)
        return probe_of(seen.object, port, elected_of(verdict.addresses).version)

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
            if preferred is None or node in step.keeping:
                preferred = before.preferred if before else wish.preferred
            out[node_object_name(class_name, node)] = Assignment(
                Instance(
                    havip=verdict.key,
                    virtual_router_id=before.virtual_router_id if before else number,
                    priority=step.priorities[node],
                    addresses=before.addresses if before else verdict.addresses,
                    source=source,
                    peers=tuple(peer for other, peer in peers.items() if other != node),
                    eligible=role is Role.ELIGIBLE,
                    preferred=preferred,
                    failback=wish.failback,
                    failback_delay_seconds=wish.delay,
                    announce=max(before.announce if before else 0, wish.announce),
                    tracked=wish.tracked,
                    probe=wish.probe,
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


def _number(places: Iterable[Place]) -> int | None:
    return next((one.assignment.instance.virtual_router_id for one in places if one.assignment), None)


def _exhausted(seen: SeenClass) -> Problem:
    ids = seen.object.spec.election.vrrp.virtual_router_ids
    return Problem(
        Reason.VIRTUAL_ROUTER_IDS_EXHAUSTED,
        f"every virtual router id from {ids.first} to {ids.last} is in use on the candidates: spec.election.vrrp."
        f"virtualRouterIds of HAVipClass {seen.metadata.name} must be wider, or the class needs more nodes",
    )


def _collisions(number: int, aim: _Aim, preferred: Sequence[str]) -> list[Problem]:
    """What is said of nodes that cannot join, and for whom they wait."""
    return [
        Problem(
            Reason.VIRTUAL_ROUTER_ID_CONFLICT,
            f"{'spec.nodes.preferred: ' if node in preferred else ''}{node} cannot join yet: HAVip {other} uses virtual"
            f" router id {number} there; it joins when another id of the class's range is free on all candidates, or"
            " when that HAVip is gone from the node",
        )
        for node, other in aim.lacking.items()
    ]


def _moves(before: int, number: int, why: tuple[str, Key] | None) -> Problem:
    because = f", because HAVip {why[1]} uses {before} on {why[0]}" if why else ""
    return Problem(Reason.VIRTUAL_ROUTER_ID_CONFLICT, f"it moves from virtual router id {before} to {number}{because}")
