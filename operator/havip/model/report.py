"""What the keeper tells the agent: the whole truth as one JSON line, on every change.

Written to the state file (atomically) and to every reader of the state socket. It carries no counters, so
that nothing is said while nothing changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from havip.model.keys import Key, parse_subdomain
from havip.model.reading import Reader
from havip.model.refusal import LeftOut
from havip.model.states import State

REPORT_VERSION = 1
_WORD = re.compile("[A-Za-z][A-Za-z0-9]{0,63}")


def left_out_from_json(value: object) -> LeftOut:
    """Raises `Refused` naming the field."""
    read = Reader(value)
    out = LeftOut(
        havip=read.string("havip", limit=320),
        reason=_word(read.string("reason")),
        field=read.string("field"),
        message=read.string("message", limit=1024),
    )
    read.done()
    return out


def _word(reason: str) -> str:
    """A reason that a condition takes: one node's odd word must not stop what is decided for all."""
    return reason if _WORD.fullmatch(reason) else "LeftOut"


def _milliseconds(name: str, value: object) -> int:
    return Reader({name: value}).integer(name, low=0, high=2**63 - 1)


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """One VIP on this node.

    `since`: RFC 3339 UTC with milliseconds, when `state` began. `reason`: CamelCase, why it is so
    (`Elected`, `PeerHeard`, `TrackFailed`, `NotEligible`, `Conflict`, `Starting`, `KeepalivedDied`, ...).
    A Draining node (`Overlapping`, then `FlowsEnding`) may say so of a HAVip that it is no candidate of any more.
    `heard`: nodes whose adverts for this VIP arrived within the last detection time, sorted; for an active node
    a non-empty list means that a second one claims the address too.
    `outage_ms`: for an active node, milliseconds from the last advert heard of the previous active node to the
    address being in this kernel; None where there was none before, or this node handed over in order.
    """

    havip: Key
    virtual_router_id: int
    state: State
    since: str
    reason: str
    heard: tuple[str, ...] = ()
    outage_ms: int | None = None

    @classmethod
    def from_json(cls, value: object) -> InstanceReport:
        read = Reader(value)
        outage = read.raw("outageMilliseconds", default=None)
        report = cls(
            havip=read.parsed("havip", Key.parse),
            virtual_router_id=read.integer("virtualRouterId", low=1, high=255),
            state=read.choice("state", State),
            since=read.string("since", limit=40),
            reason=read.string("reason", limit=64),
            heard=read.listed("heard", parse_subdomain, limit=8),
            outage_ms=None if outage is None else _milliseconds("outageMilliseconds", outage),
        )
        read.done()
        return report

    def to_json(self) -> dict[str, object]:
        body: dict[str, object] = {
            "havip": str(self.havip),
            "virtualRouterId": self.virtual_router_id,
            "state": self.state.value,
            "since": self.since,
            "reason": self.reason,
            "heard": list(self.heard),
        }
        if self.outage_ms is not None:
            body["outageMilliseconds"] = self.outage_ms
        return body


@dataclass(frozen=True, slots=True)
class KeeperReport:
    """The state of one keeper.

    `applied_generation`: of the last document whose reload was confirmed; 0 before the first.
    `error`: why the newest document is not applied as a whole (empty = it is).
    """

    applied_generation: int
    error: str
    keepalived_version: str
    keepalived_running: bool
    track_healthy: bool
    instances: tuple[InstanceReport, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def from_json(cls, value: object) -> KeeperReport:
        read = Reader(value)
        read.integer("version", low=REPORT_VERSION, high=REPORT_VERSION)
        report = cls(
            applied_generation=read.integer("appliedGeneration", low=0, high=2**63 - 1),
            error=read.string("error", limit=1024),
            keepalived_version=read.string("keepalivedVersion", limit=64),
            keepalived_running=read.boolean("keepalivedRunning"),
            track_healthy=read.boolean("trackHealthy"),
            instances=read.listed("instances", InstanceReport.from_json, limit=255),
            left_out=read.listed("leftOut", left_out_from_json, limit=255),
        )
        read.done()
        return report

    def to_json(self) -> dict[str, object]:
        return {
            "version": REPORT_VERSION,
            "appliedGeneration": self.applied_generation,
            "error": self.error,
            "keepalivedVersion": self.keepalived_version,
            "keepalivedRunning": self.keepalived_running,
            "trackHealthy": self.track_healthy,
            "instances": [instance.to_json() for instance in self.instances],
            "leftOut": [item.to_json() for item in self.left_out],
        }
