"""Events: what just became true, from the status before and the status now. Never one per pass: equal statuses say
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from havip.api.v1alpha1 import Condition, ConditionStatus, HAVipStatus
from havip.model.keys import Key
from havip.plan.change import Emit, Kind
from havip.plan.conditions import found
from havip.plan.reasons import Reason, Type

NOTE = 1000  # the API takes 1024 bytes
_PASSING = frozenset(
    one.value
    for one in (
        Reason.WAITING_FOR_NODES,
        Reason.NOT_CLAIMED,
        Reason.NOT_APPLIED,
        Reason.NOT_USED,
        Reason.NOT_YET_REPORTED,
        Reason.NODES_NOT_REPORTING,
    )
)
"""Reasons that are on everybody's way to Ready."""
_NORMAL = frozenset((Reason.RELEASING.value, Reason.UNINSTALLING.value))


def of_havip(key: Key, uid: str, old: HAVipStatus, new: HAVipStatus) -> Iterable[Emit]:
    yield from _switch(key, uid, old, new)
    yield from of_ready(Kind.HAVIP, key, uid, old=old.conditions, new=new.conditions)
    yield from _vrrp(key, uid, old.conditions, new.conditions)
    yield from _shown(key, uid, old.conditions, new.conditions)


def _switch(key: Key, uid: str, old: HAVipStatus, new: HAVipStatus) -> Iterable[Emit]:
    if not new.history:
        return
    last = new.history[0]
    if old.history and (old.history[0].to, old.history[0].at) == (last.to, last.at):
        return  # what a cloud says of it later is no other switch
    if last.from_ is None:
        yield _emit(Kind.HAVIP, key, uid, Reason.ACTIVATED, f"{last.to} is active")
    elif last.reason == Reason.PLANNED_SWITCH.value:
        yield _emit(Kind.HAVIP, key, uid, Reason.PLANNED_SWITCH, f"moved from {last.from_} to {last.to} as ordered")
    elif last.reason == Reason.OUTRANKED.value:
        note = f"moved from {last.from_} to {last.to}, the better candidate"
        yield _emit(Kind.HAVIP, key, uid, Reason.OUTRANKED, note)
    else:
        took = "" if last.duration_milliseconds is None else f" after {last.duration_milliseconds} ms"
        note = f"{last.to} took over from {last.from_}{took} ({last.reason})"
        yield _emit(Kind.HAVIP, key, uid, Reason.FAILED_OVER, note, warning=True)


def of_ready(kind: Kind, key: Key, uid: str, *, old: Sequence[Condition], new: Sequence[Condition]) -> Iterable[Emit]:
    """A new reason for not being Ready, or Ready again after one."""
    was, now = found(old, Type.READY), found(new, Type.READY)
    if now is None or (was is not None and (was.status, was.reason) == (now.status, now.reason)):
        return
    if now.status is not ConditionStatus.TRUE:
        if now.reason not in _PASSING:
            warning = now.reason not in _NORMAL
            yield _emit(kind, key, uid, now.reason, now.message, warning=warning)
    elif was is not None and was.status is not ConditionStatus.TRUE and was.reason not in _PASSING:
        yield _emit(kind, key, uid, Reason.READY, now.message)
    elif now.reason in (Reason.NO_REDUNDANCY.value, Reason.VIRTUAL_ROUTER_ID_CONFLICT.value):
        yield _emit(kind, key, uid, now.reason, now.message, warning=True)


def _shown(key: Key, uid: str, old: Sequence[Condition], new: Sequence[Condition]) -> Iterable[Emit]:
    """A cloud that shows the VIP where it is not."""
    was, now = found(old, Type.PROGRAMMED), found(new, Type.PROGRAMMED)
    if now is None or now.reason != Reason.SHOWN_ELSEWHERE.value:
        return
    if was is None or (was.reason, was.message) != (now.reason, now.message):
        yield _emit(Kind.HAVIP, key, uid, Reason.SHOWN_ELSEWHERE, now.message, warning=True)


def _vrrp(key: Key, uid: str, old: Sequence[Condition], new: Sequence[Condition]) -> Iterable[Emit]:
    was, now = found(old, Type.VRRP_BLOCKED), found(new, Type.VRRP_BLOCKED)
    before = was is not None and was.status is ConditionStatus.TRUE
    if now is None or (now.status is ConditionStatus.TRUE) == before:
        return
    reason = Reason.VRRP_HEALED if before else Reason.VRRP_BLOCKED
    yield _emit(Kind.HAVIP, key, uid, reason, now.message, warning=not before)


def quarantined(key: Key, uid: str, nodes: Sequence[str]) -> Emit:
    note = (
        f"let go without {', '.join(nodes)}, whose Node is NotReady and may still hold the VIP; the address and the"
        " virtual router id are not given to anybody until the node has confirmed or its Node is deleted"
    )
    return _emit(Kind.HAVIP, key, uid, Reason.QUARANTINED, note, warning=True)


def _emit(kind: Kind, key: Key, uid: str, reason: str, note: str, *, warning: bool = False) -> Emit:
    action = {Kind.HAVIP: "Elect", Kind.POOL: "Resolve", Kind.CLASS: "Plan"}.get(kind, "Plan")
    return Emit(kind, key, uid, warning, str(reason), action, note[:NOTE])
