"""How long a decision waits for somebody who may never answer, and when time alone would change the plan.

The time comes in with the snapshot. Whoever asks "has it been long enough?" leaves a note of when it will be, so
that the controller knows when to look again although nothing happened.
"""

from __future__ import annotations

from datetime import datetime, timedelta

REPLACE_AFTER = 300.0
"""Seconds a candidate's Node may be NotReady before another one takes its place: longer than a reboot."""
CUT_OFF_AFTER = 40.0
"""Seconds of NotReady after which a node is taken as unable to answer.

Kubernetes itself says NotReady only after 40 to 50 s without a sign. On top of that come the dead-man lifetime of
the addresses (2.3 s), detection by the peers (0.35 s with defaults) and a kubelet that was merely slow; a second
period of the first kind covers them all. Such a node may still be alive and only unreachable for the API server, so
what it had is never given to somebody else on this ground alone (`deletion`).
"""
SILENT_AFTER = 60.0
"""Seconds a Ready node may leave its newest spec unconfirmed before others stop waiting for it.

A node pod is restarted within 30 s, its grace period included.
"""
YOUNG_FOR = 60.0
"""Seconds in which a new node's first report is expected; so long it counts as a candidate to come."""
REPORT_MARGIN = 1.0
"""Seconds that two nodes' reports of one hand-over may arrive apart: agents coalesce, API servers queue."""


class Waits:
    """The snapshot's time, and the earliest moment at which an answer given here would be another one."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._next: datetime | None = None

    def over(self, since: datetime, seconds: float) -> bool:
        """Whether `seconds` have passed since then. A time in the future counts as now."""
        end = since + timedelta(seconds=seconds)
        if end <= self._now:
            return True
        end = min(end, self._now + timedelta(seconds=seconds))
        self._next = end if self._next is None else min(self._next, end)
        return False

    @property
    def look_again_in(self) -> float | None:
        """Seconds until time alone may change the plan; None = it will not."""
        return None if self._next is None else (self._next - self._now).total_seconds()
