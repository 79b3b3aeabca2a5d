"""One VIP on this node: what is known of it from keepalived, the kernel and the counters. Holds facts, no effects.

`look` turns the facts into the track file's value and the reported state. All times are monotonic seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from havip.keeper import handover, incumbency, verdict
from havip.keeper.incumbency import Standing, Will
from havip.keeper.keepalived.notify import Vrrp
from havip.keeper.keepalived.render import Rendered
from havip.keeper.lifetime import Silence
from havip.keeper.netlink import KernelAddress
from havip.keeper.verdict import Evidence, Reason, Verdict
from havip.model.address import Address
from havip.model.election import Instance
from havip.model.priority import HIGHEST
from havip.model.report import InstanceReport

CALM_SECONDS = 2.0
"""How long after its last time limit a VIP is still looked at every time."""

_log = logging.getLogger(__name__)

READ_SECONDS = 0.5
"""How long keepalived may take to read a track file."""

BENCH_SECONDS = 5.0
"""How long an instance stays in FAULT after this node proved unable to hold it, so that a peer serves."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a VIP is judged by beside its own facts: `heard` and `draining` are of this VIP, the rest is the node's."""

    now: float
    wall: str
    handover_seconds: float
    stopping: bool
    track_healthy: bool
    link_up: bool
    heard: tuple[str, ...]
    draining: Reason | None = None


@dataclass(slots=True, eq=False)
class Vip:
    """Mutable; changed by `havip.keeper.holding` only."""

    rendered: Rendered
    vrrp: Vrrp | None = None
    started: float | None = None
    died: bool = False
    leaving: bool = False
    kernel: dict[Address, KernelAddress] = field(default_factory=dict)
    given: set[Address] = field(default_factory=set)
    """Addresses whose lifetime is ours: keepalived put them there and we renewed them."""
    held_since: float | None = None
    silence: Silence = field(default_factory=Silence)
    track: int | None = None
    """What its track file says, since `tracked_at`."""
    tracked_at: float = 0.0
    effective: int | None = None
    """The priority that keepalived says it uses."""
    last_held: float | None = None
    proven_at: float = 0.0
    notified: float = 0.0
    """When the FIFO said the state last."""
    disagreeing_since: float | None = None
    asked: float | None = None
    switch_until: float = 0.0
    benched_until: float = 0.0
    benched_for: Reason | None = None
    verdict: Verdict = verdict.STARTING
    since: str = ""
    outage_ms: int | None = None
    heard: tuple[str, ...] = ()
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.rendered.name

    @property
    def instance(self) -> Instance:
        return self.rendered.instance

    @property
    def master(self) -> bool:
        return self.vrrp is Vrrp.MASTER

    @property
    def whole(self) -> bool:
        """Every address is in the kernel."""
        return len(self.kernel) == len(self.instance.addresses)

    def restless(self, now: float) -> bool:
        """Whether time alone may change what is said or wanted of it."""
        calm = (
            self.disagreeing_since is None
            and self.asked is None
            and self.started is not None
            and now > max(self.benched_until, self.switch_until, self.proven_at) + CALM_SECONDS
        )
        waits = max(self.rendered.timing.settle_seconds, self.instance.failback_delay_seconds)
        return not calm or now - (self.started or 0.0) < waits + CALM_SECONDS

    def misread(self, now: float) -> bool:
        """Whether keepalived uses another priority than the track file asks for, and had time to read it."""
        if self.track is None or self.track == incumbency.FAULT or self.vrrp not in (Vrrp.MASTER, Vrrp.BACKUP):
            return False
        expected = min(HIGHEST, max(1, self.instance.priority + self.track))
        return self.effective not in (None, expected) and now - self.tracked_at > READ_SECONDS

    @property
    def grace(self) -> float:
        """Seconds: shorter than any standby's detection time, else the bonus would win the address back."""
        return self.rendered.timing.advert_interval_ms / 1000

    @property
    def said(self) -> tuple[object, ...]:
        """What of it can be news in a report."""
        return (self.verdict, self.since, self.heard, self.outage_ms)

    @property
    def handing_over(self) -> bool:
        return self.asked is not None and self.master

    def wish(self, *, stopping: bool, now: float) -> handover.Wish:
        return handover.Wish(
            eligible=self.instance.eligible,
            leaving=self.leaving,
            stopping=stopping,
            benched=now < self.benched_until,
            asked=self.asked,
            master=self.master,
            peers=bool(self.instance.peers),
        )

    def limit_seconds(self, configured: float) -> float:
        """How long a peer is waited for."""
        return handover.limit_seconds(self.rendered.timing, configured)

    def gives_away(self, limit: float, now: float) -> bool:
        """Whether it holds the address, and a peer is to take it over in order within `limit` seconds."""
        if self.held_since is None or not self.instance.peers or now < self.benched_until:
            return False
        return now < self.switch_until or (self.asked is not None and now - self.asked < limit)

    def bench(self, reason: Reason, now: float) -> None:
        """Stays out for a while; without peers nobody else could serve, then there is nothing to gain."""
        if self.instance.peers:
            _log.warning("%s: stands back for %s s: %s", self.instance.havip, BENCH_SECONDS, reason.value)
            self.benched_until = now + BENCH_SECONDS
            self.benched_for = reason

    def track_value(self, around: Surroundings) -> int:
        """What the track file is to say."""
        wish = self.wish(stopping=around.stopping, now=around.now)
        if not handover.asks(wish):
            self.asked = None
        elif self.asked is None:
            self.asked = around.now
            wish = self.wish(stopping=around.stopping, now=around.now)
        limit = self.limit_seconds(around.handover_seconds)
        narrow = handover.narrow_seconds(self.rendered.timing)
        standing = self._standing(handover.will(wish, limit, around.now, narrow=narrow), around)
        settle = self.rendered.timing.settle_seconds
        return incumbency.value(self.instance, standing, settle_seconds=settle, now=around.now)

    def _standing(self, will: Will, around: Surroundings) -> Standing:
        return Standing(
            will=will,
            track_healthy=around.track_healthy,
            started=self.started,
            held_since=self.held_since,
            last_held=self.last_held,
            grace=self.grace,
            switch_until=self.switch_until,
            proven_at=self.proven_at,
        )

    def note_held(self, now: float) -> bool:
        """Brings `held_since` up to date; True = this node has just become active."""
        held = self.master and self.whole
        taken_over = held and self.held_since is None
        if taken_over and (self.last_held is None or now - self.last_held >= self.grace):
            timing = self.rendered.timing
            self.proven_at = now + timing.advert_interval_ms * timing.missed_adverts / 1000
        if not held and self.held_since is not None:
            # Who has just switched in order wants no bonus for the moment after: it would win the VIP back.
            self.last_held = None if now < self.switch_until else now
        self.held_since = (self.held_since or now) if held else None
        if not self.master:
            self.switch_until = 0.0
        return taken_over

    def look(self, around: Surroundings) -> None:
        """Brings `heard` and the verdict up to date."""
        self.heard = around.heard
        evidence = self._evidence(around)
        if not verdict.disagree(evidence):
            self.disagreeing_since = None
        elif self.disagreeing_since is None:
            self.disagreeing_since = around.now
            evidence = self._evidence(around)
        found = verdict.judge(evidence, self.verdict, around.now)
        if found.state is not self.verdict.state or not self.since:
            self.since = around.wall
            self.outage_ms = None
        self.verdict = found

    def _evidence(self, around: Surroundings) -> Evidence:
        standing = self._standing(Will.COMPETE, around)
        benched = around.now < self.benched_until
        return Evidence(
            vrrp=self.vrrp,
            present=len(self.kernel),
            missing=len(self.instance.addresses) - len(self.kernel),
            disagreeing_since=self.disagreeing_since,
            died=self.died,
            link_up=around.link_up,
            heard=bool(around.heard),
            eligible=self.instance.eligible,
            benched=self.benched_for if benched else None,
            handing_over=self.handing_over,
            track_failed=self.instance.tracked and not around.track_healthy,
            held_back=incumbency.held_back(self.instance, standing, now=around.now),
            draining=around.draining,
        )

    def report(self) -> InstanceReport:
        return InstanceReport(
            havip=self.instance.havip,
            virtual_router_id=self.instance.virtual_router_id,
            state=self.verdict.state,
            since=self.since,
            reason=self.verdict.reason.value,
            heard=self.heard,
            outage_ms=self.outage_ms,
        )
