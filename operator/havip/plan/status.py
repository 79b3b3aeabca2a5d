"""HAVip.status: what is true of one VIP, from what the nodes say. A copy for people; nothing is decided from it
that would be lost with it.

The same facts give the same status: no time of "now" enters but a condition's when its status changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from havip.api.v1alpha1 import ConditionStatus, Failover, HAVipNodeState, HAVipStatus
from havip.api.v1alpha1.havip import HISTORY
from havip.model.keys import Key
from havip.model.refusal import LeftOut
from havip.model.states import State
from havip.plan.claims import grace
from havip.plan.clouds import holds_back, programmed, seen_by_cloud
from havip.plan.conditions import Statement, false, found, stamped, true
from havip.plan.deletion import Release
from havip.plan.holders import Holders, holders
from havip.plan.instances import VipPlan
from havip.plan.observed import Member, Observed, Standing
from havip.plan.reasons import Reason, Type
from havip.plan.settings import timing_of
from havip.plan.snapshot import SeenHAVip

_IN_ORDER = frozenset(("HandingOver", "NotEligible", "Overlapping", "FlowsEnding"))
"""Reasons of a node's state (the keeper's words) that say that it gave the VIP up as it was told."""
_WAITED_FOR = (Standing.CONFIRMED, Standing.BEHIND)


@dataclass(frozen=True, slots=True)
class _View:
    """One VIP's plan beside what its nodes say. `members`: the electorate, candidates first; `strangers`: preferred
    nodes that are not of the class."""

    key: Key
    plan: VipPlan
    old: HAVipStatus
    generation: int
    members: tuple[Member, ...]
    holders: Holders
    strangers: tuple[str, ...] = ()

    @property
    def addresses(self) -> str:
        return " and ".join(map(str, self.plan.verdict.addresses))

    def left_out(self, member: Member) -> LeftOut | None:
        """What the node says it could not do for this VIP."""
        status = member.seen.status
        return next((one for one in status.left_out if one.havip == str(self.key)), None) if status else None

    def applied(self, member: Member) -> bool:
        """Whether the node has confirmed exactly what is planned for this VIP now."""
        return member.confirmed and member.assignments.get(self.key) == self.plan.assignments.get(member.name)


def havip_status(plan: VipPlan, observed: Observed) -> HAVipStatus:
    """The status of a HAVip that is not being deleted."""
    view = _view(plan, observed)
    carried = programmed(plan, observed)
    ready, seen_generation = _ready(view, carried)
    conditions = stamped(
        (ready, _programmed(view, ready, carried), _claimed(view), _blocked(view)),
        view.old.conditions,
        now=observed.snapshot.now,
        generation=seen_generation,
    )
    history, transitions = _history(view)
    history = seen_by_cloud(history, plan, observed)
    active = view.holders.active
    before = {one.name: one for one in view.old.nodes}
    nodes = tuple(_node_state(view, member, before) for member in view.members)
    return HAVipStatus(
        conditions=conditions,
        observed_generation=seen_generation,
        class_name=_class_name(view, observed),
        active_node=active.node if active else None,
        virtual_router_id=plan.virtual_router_id,
        nodes=nodes,
        transitions=transitions,
        history=history,
    )


def releasing_status(seen: SeenHAVip, release: Release, observed: Observed, *, uninstalling: bool) -> HAVipStatus:
    """The status of a HAVip that is being given up; everything it was stays readable."""
    old = seen.object.status
    reason = Reason.UNINSTALLING if uninstalling else Reason.RELEASING
    parts = ["the VIP is being given up" + (" because the release is being uninstalled" if uninstalling else "")]
    if release.waiting:
        parts.append(f"waiting for {', '.join(release.waiting)} to confirm")
    if release.cut_off:
        parts.append(f"not waiting for {', '.join(release.cut_off)}, whose Node is NotReady")
    if held_back := holds_back(seen, observed):
        parts.append(held_back)
    message = "; ".join(parts)
    statements = [false(Type.READY, reason, message), false(Type.PROGRAMMED, reason, message)]
    if not release.waiting:
        statements.append(false(Type.CLAIMED, reason, "no node holds the VIP"))
    kept = {one.type.value for one in statements}
    conditions = stamped(statements, old.conditions, now=observed.snapshot.now, generation=seen.metadata.generation)
    return old.model_copy(
        update={
            "conditions": (*conditions, *(one for one in old.conditions if one.type not in kept)),
            "observed_generation": seen.metadata.generation,
            "active_node": old.active_node if release.waiting else None,
            "nodes": old.nodes if release.waiting else (),
        }
    )


def _view(plan: VipPlan, observed: Observed) -> _View:
    verdict = plan.verdict
    name = verdict.class_name or ""
    roles = plan.step.roles
    order = [*(node for node in plan.target if node in roles), *sorted(set(roles) - set(plan.target))]
    members = tuple(filter(None, (observed.member(name, node) for node in order)))
    of = observed.snapshot.classes.get(name)
    found_holders = (
        holders(verdict.key, members, plan.step, grace=grace(timing_of(of.object)), waits=observed.waits)
        if of is not None
        else Holders()
    )
    seen = verdict.seen
    here = {member.node for member in observed.of_class.get(name, ())}
    strangers = tuple(node for node in seen.object.spec.nodes.preferred if node not in here)
    return _View(verdict.key, plan, seen.object.status, seen.metadata.generation, members, found_holders, strangers)


def _class_name(view: _View, observed: Observed) -> str | None:
    name = view.plan.verdict.class_name
    return name if name in observed.snapshot.classes else view.old.class_name


# -- conditions ---------------------------------------------------------------------------------------------------


def _ready(view: _View, carried: Statement) -> tuple[Statement, int]:
    """Ready, and the generation that the status speaks of.

    While a working VIP is being changed, it stays Ready and the status goes on speaking of the generation before:
    who waits for the new one sees by observedGeneration that it is not there yet, and nothing flickers.
    """
    trouble = _trouble(view)
    if trouble is not None:
        return trouble, view.generation
    active = view.holders.active
    if active is None:
        return _unclaimed(view), view.generation
    was_ready = found(view.old.conditions, Type.READY)
    if was_ready is not None and was_ready.status is not ConditionStatus.TRUE:
        was_ready = None
    if was_ready is None and carried.status is not ConditionStatus.TRUE:
        # Later, while the cloud is told of a change, what it was told before goes on.
        return false(Type.READY, carried.reason, carried.message), view.generation
    if not view.applied(active):
        if was_ready is not None and active.standing in _WAITED_FOR:
            return _held(view, active), was_ready.observed_generation or view.generation
        return _not_applied(active), view.generation
    if was_ready is not None and carried.status is not ConditionStatus.TRUE:
        return _held(view, active), was_ready.observed_generation or view.generation
    return _held(view, active), view.generation


def _trouble(view: _View) -> Statement | None:
    """What keeps the VIP from being Ready whoever holds it."""
    verdict = view.plan.verdict
    if verdict.problems:
        kept = " What it had before stays in use." if view.plan.step.roles or view.plan.assignments else ""
        message = "; ".join(problem.message for problem in verdict.problems) + "." + kept
        return false(Type.READY, verdict.problems[0].reason, message)
    if not view.plan.step.roles:
        if view.plan.problems:
            return false(Type.READY, view.plan.problems[0].reason, view.plan.problems[0].message)
        names = ", ".join(view.plan.step.joining)
        return false(Type.READY, Reason.WAITING_FOR_NODES, f"waiting for {names} to report an interface")
    if verdict.poolless:
        names = ", ".join(verdict.poolless)
        return false(
            Type.READY,
            Reason.POOL_MISSING,
            f"spec.frontends: there is no BackendPool {names} in namespace {view.key.namespace}; the VIP is held and"
            " these front ends are left out",
        )
    if view.holders.rivals:
        return false(Type.READY, Reason.SPLIT_BRAIN, _split(view))
    active = view.holders.active
    left_out = view.left_out(active) if active else None
    if left_out is not None and active is not None:
        where = f"{left_out.field}: " if left_out.field else ""
        return false(Type.READY, left_out.reason, f"{active.node}: {where}{left_out.message}")
    return None


def _split(view: _View) -> str:
    return f"{' and '.join(view.holders.rivals)} all hold {view.addresses}"


def _unclaimed(view: _View) -> Statement:
    if view.holders.unheard:
        nodes = ", ".join(view.holders.unheard)
        message = f"{nodes} was active last; its Node is NotReady and no other has taken over"
        return false(Type.READY, Reason.NODE_NOT_READY, message)
    said = [f"{member.node}: {one.message}" for member in view.members if (one := view.left_out(member))]
    return false(Type.READY, Reason.NOT_CLAIMED, "; ".join(["no node is active yet", *said]))


def _not_applied(active: Member) -> Statement:
    error = active.seen.status.error if active.seen.status else ""
    message = f"{active.node} is active and has not confirmed its newest HAVipNode spec yet"
    return false(Type.READY, Reason.NOT_APPLIED, f"{message}: {error}" if error else message)


def _held(view: _View, active: Member) -> Statement:
    message = f"{active.node} holds {view.addresses}"
    if view.strangers:
        message += f"; spec.nodes.preferred: {', '.join(view.strangers)} is no node of the class"
    if view.plan.step.blocked:
        return true(Type.READY, Reason.VRRP_BLOCKED, f"{message}; {_deaf(view)}")
    if view.plan.problems:
        problem = view.plan.problems[0]
        return true(Type.READY, problem.reason, f"{message}; {problem.message}")
    if view.plan.verdict.seen.object.spec.nodes.candidates > 1 and not _others(view, active):
        return true(Type.READY, Reason.NO_REDUNDANCY, f"{message}; no other node could take over")
    return true(Type.READY, Reason.HELD, message)


def _others(view: _View, active: Member) -> list[str]:
    """Nodes that could take over, as far as is known."""
    return [
        member.node
        for member in view.members
        if member is not active and member.node in view.plan.target and member.ready and not _cannot(view, member)
    ]


def _cannot(view: _View, member: Member) -> bool:
    """Whether the node says itself that it could not take over."""
    report = member.reports.get(view.key)
    return view.left_out(member) is not None if report is None else report.state is State.FAULT


def _programmed(view: _View, ready: Statement, carried: Statement) -> Statement:
    if not view.plan.step.roles and not view.plan.assignments:
        return false(Type.PROGRAMMED, ready.reason, ready.message)
    return carried


def _claimed(view: _View) -> Statement:
    if view.holders.active is not None:
        return true(Type.CLAIMED, Reason.ONE_ACTIVE, f"{view.holders.active.node} is active")
    if view.holders.rivals:
        return false(Type.CLAIMED, Reason.SPLIT_BRAIN, _split(view))
    return false(Type.CLAIMED, Reason.NOT_CLAIMED, "no node is active")


def _deaf(view: _View) -> str:
    nodes = ", ".join(view.plan.step.blocked)
    return (
        f"no VRRP advert of the active node reaches {nodes}; let protocol 112 pass between the nodes. Held until"
        " adverts are heard"
    )


def _blocked(view: _View) -> Statement:
    if view.plan.step.blocked:
        return true(Type.VRRP_BLOCKED, Reason.VRRP_BLOCKED, _deaf(view))
    return false(Type.VRRP_BLOCKED, Reason.ADVERTS_HEARD, "no node is held for want of adverts")


# -- nodes and history --------------------------------------------------------------------------------------------


def _node_state(view: _View, member: Member, before: Mapping[str, HAVipNodeState]) -> HAVipNodeState:
    if not member.ready and member.kube is not None:
        heard = member.seen.status_written or member.kube.ready_since
        text = heard.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return HAVipNodeState(
            name=member.node, state=State.UNKNOWN, reason=Reason.NODE_NOT_READY.value, last_heard=text
        )
    if member.node in view.holders.superseded:
        return HAVipNodeState(name=member.node, state=State.UNKNOWN, reason=Reason.SUPERSEDED.value)
    report = member.reports.get(view.key)
    was = before.get(member.node)
    if (
        report is not None
        and was is not None
        and was.last_heard is None
        and (was.state, was.since, was.reason) == (report.state, report.since, report.reason)
    ):
        return was  # the same object: comparing and building are most of a pass
    if report is None:
        left_out = view.left_out(member)
        reason = left_out.reason if left_out else Reason.NOT_REPORTED.value
        return HAVipNodeState(name=member.node, state=State.UNKNOWN, reason=reason)
    return HAVipNodeState(name=member.node, state=report.state, since=report.since, reason=report.reason)


def _history(view: _View) -> tuple[tuple[Failover, ...], int]:
    """The failovers and their number, the newest one added if the active node is another than the last known."""
    old, active = view.old, view.holders.active
    last = old.active_node or (old.history[0].to if old.history else None)
    transitions = old.transitions or 0
    if active is None or active.node == last:
        return old.history, transitions
    report = active.reports[view.key]
    entry = Failover(
        from_=last,
        to=active.node,
        reason=_why(view, last, report.outage_ms),
        duration_milliseconds=report.outage_ms,
        at=report.since,
    )
    return (entry, *old.history)[:HISTORY], transitions + (last is not None)


def _why(view: _View, last: str | None, outage_ms: int | None) -> str:
    if last is None:
        return Reason.ACTIVATED.value
    before = next((member for member in view.members if member.node == last), None)
    report = before.reports.get(view.key) if before is not None else None
    if before is not None and not before.ready:
        return Reason.NODE_NOT_READY.value
    if report is not None and report.state is State.FAULT and report.reason:
        return report.reason
    if outage_ms is not None:
        return Reason.NOT_HEARD.value
    if _ordered(view) or (report is not None and report.reason in _IN_ORDER):
        return Reason.PLANNED_SWITCH.value
    standing_by = report is not None and report.state is State.STANDBY
    return Reason.OUTRANKED.value if standing_by else Reason.NOT_HEARD.value


def _ordered(view: _View) -> bool:
    """Whether the user asked for the node that is active now, or the last one was told to leave."""
    active = view.holders.active
    spec = view.plan.verdict.seen.object.spec.nodes
    last = view.old.active_node
    best = bool(spec.preferred) and active is not None and spec.preferred[0] == active.node
    step = view.plan.step
    told = {*step.leaving, *step.outgoing}
    return best or (last is not None and (last not in view.plan.target or last in told))
