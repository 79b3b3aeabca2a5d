"""The state of one VIP on this node, from what the kernel and what keepalived say. Pure; times are monotonic seconds.

MASTER is not "holds the address": without NET_ADMIN keepalived becomes MASTER, cannot add the address, and the
healthy node stays BACKUP for ever. Nor is the address alone enough: after a SIGKILL it stays. Active needs both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from havip.keeper.keepalived.notify import Vrrp
from havip.model.states import State

TOLERATED_SECONDS = 1.0
"""How long address and election may disagree before it is said and acted upon; a normal change takes milliseconds."""


class Reason(StrEnum):
    """Why a state is so, as `InstanceReport.reason`."""

    STARTING = "Starting"
    KEEPALIVED_DIED = "KeepalivedDied"
    ELECTED = "Elected"
    CONFLICT = "Conflict"
    WAITING = "Waiting"
    PEER_HEARD = "PeerHeard"
    TRACK_FAILED = "TrackFailed"
    HELD_BACK = "HeldBack"
    HANDING_OVER = "HandingOver"
    OVERLAPPING = "Overlapping"
    FLOWS_ENDING = "FlowsEnding"
    NOT_ELIGIBLE = "NotEligible"
    LINK_DOWN = "LinkDown"
    VRRP_FAULT = "VrrpFault"
    ADVERTS_NOT_LEAVING = "AdvertsNotLeaving"
    ADDRESS_MISSING = "AddressMissing"
    FOREIGN_ADDRESS = "ForeignAddress"


@dataclass(frozen=True, slots=True)
class Evidence:
    """`vrrp` None = keepalived does not run the instance. `missing`, `present`: counts of its addresses."""

    vrrp: Vrrp | None
    present: int
    missing: int
    disagreeing_since: float | None
    died: bool
    link_up: bool
    heard: bool
    eligible: bool
    benched: Reason | None
    handing_over: bool
    track_failed: bool
    held_back: bool
    draining: Reason | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    reason: Reason


def disagree(evidence: Evidence) -> bool:
    """Whether kernel and election contradict each other."""
    if evidence.vrrp is Vrrp.MASTER:
        return evidence.missing > 0
    return evidence.present > 0


def judge(evidence: Evidence, before: Verdict, now: float) -> Verdict:
    """The state now. A contradiction keeps the state before it for a moment: every change passes through one."""
    if disagree(evidence):
        since = evidence.disagreeing_since
        if since is None or now - since < TOLERATED_SECONDS:
            return before
        missing = evidence.vrrp is Vrrp.MASTER
        return Verdict(State.UNKNOWN, Reason.ADDRESS_MISSING if missing else Reason.FOREIGN_ADDRESS)
    if evidence.draining is not None and evidence.vrrp is not Vrrp.MASTER:
        return Verdict(State.DRAINING, evidence.draining)
    match evidence.vrrp:
        case Vrrp.MASTER:
            return Verdict(State.ACTIVE, _why_active(evidence))
        case Vrrp.BACKUP:
            return Verdict(State.STANDBY, _why_standby(evidence))
        case Vrrp.FAULT:
            return Verdict(State.FAULT, _why_fault(evidence))
        case _:
            return Verdict(State.FAULT, Reason.KEEPALIVED_DIED) if evidence.died else STARTING


STARTING = Verdict(State.UNKNOWN, Reason.STARTING)


def _why_active(evidence: Evidence) -> Reason:
    if evidence.handing_over:
        return Reason.HANDING_OVER
    if evidence.heard:
        return Reason.CONFLICT
    return Reason.TRACK_FAILED if evidence.track_failed else Reason.ELECTED


def _why_standby(evidence: Evidence) -> Reason:
    if evidence.track_failed:
        return Reason.TRACK_FAILED
    if evidence.held_back:
        return Reason.HELD_BACK
    return Reason.PEER_HEARD if evidence.heard else Reason.WAITING


def _why_fault(evidence: Evidence) -> Reason:
    if not evidence.eligible:
        return Reason.NOT_ELIGIBLE
    if evidence.benched is not None:
        return evidence.benched
    return Reason.VRRP_FAULT if evidence.link_up else Reason.LINK_DOWN
