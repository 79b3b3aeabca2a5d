"""Who says "I hold it", how new that word is, and which of two words counts.

A dead node's last word stays in its HAVipNode for ever. So an older claim is never taken as proof of two holders;
it has to be confirmed by a node that answers (`vrrp_blocked`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from havip.model.election import Timing
from havip.model.keys import Key
from havip.plan.observed import Member, Standing
from havip.plan.waits import CUT_OFF_AFTER, REPORT_MARGIN, Waits

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=16384)
def moment(text: str) -> datetime:
    """An RFC 3339 time; the epoch when it is none. Without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return _NEVER
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def grace(timing: Timing) -> float:
    """Seconds for which two claims are one hand-over in the making: 2 x M x A, and the reports' own delay."""
    return 2 * timing.missed_adverts * timing.advert_interval_ms / 1000 + REPORT_MARGIN


def began(member: Member, havip: Key) -> datetime:
    """Since when it has been so: the node's clock, but never later than the API server took the word down."""
    since = moment(member.reports[havip].since)
    written = member.seen.status_written
    return since if written is None else min(since, written)


def newest_first(members: Iterable[Member], havip: Key) -> list[Member]:
    """Claims by how surely they are alive: Ready Nodes first, then by the API server's clock, then by their own."""
    return sorted(
        members,
        key=lambda one: (one.ready, one.seen.status_written or _NEVER, moment(one.reports[havip].since), one.node),
        reverse=True,
    )


def may_be_active(member: Member, havip: Key, waits: Waits) -> bool:
    """Whether the node's last word is a claim, and it is not out of reach for so long that it may be dead."""
    if member.kube is None or member.standing is Standing.GONE or not member.active(havip):
        return False
    return member.kube.ready or not waits.over(member.kube.ready_since, CUT_OFF_AFTER)


def hears(member: Member, havip: Key, others: Iterable[Member]) -> bool:
    """Whether adverts of one of the others reach this node."""
    report = member.reports.get(havip)
    return report is not None and any(other.node in report.heard for other in others)
