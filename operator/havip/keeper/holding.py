"""Holds the addresses: turns what the kernel, keepalived and the counters say into facts, and acts on them.

What is done here is cheap and happens at once: track files, lifetimes, removal of what must not stay, the
announcements. Files and processes of keepalived belong to `havip.keeper.applying`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from havip.keeper import handover, lifetime
from havip.keeper.announce import REPEATS, Announcer
from havip.keeper.draining import Draining
from havip.keeper.filter import AdvertFilter
from havip.keeper.keepalived.dump import Running
from havip.keeper.keepalived.notify import Notification, Vrrp
from havip.keeper.keepalived.render import Paths
from havip.keeper.netlink import AddressEvent, Event, KernelAddress, LinkEvent, Netlink, NetlinkError
from havip.keeper.probing import Probing
from havip.keeper.verdict import TOLERATED_SECONDS, Reason
from havip.keeper.vip import Surroundings, Vip
from havip.model.address import Address
from havip.model.election import Timing
from havip.model.report import InstanceReport
from havip.model.states import State

_log = logging.getLogger(__name__)


def wall_clock() -> str:
    """RFC 3339 in UTC with milliseconds; for people, never to measure with."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Holding:
    """Every VIP that keepalived runs here. `changed` is called when a state may be another one."""

    def __init__(
        self,
        paths: Paths,
        *,
        netlink: Netlink,
        advert_filter: AdvertFilter,
        probing: Probing,
        handover_seconds: float,
        track: Callable[[bool, bool], bool],
        changed: Callable[[], None],
    ) -> None:
        """`track`: told whether haproxy matters and whether such a VIP is served here, says whether haproxy is well."""
        self._paths = paths
        self._netlink = netlink
        self._filter = advert_filter
        self._probing = probing
        self._draining = Draining(netlink)
        self.handover_seconds = handover_seconds
        self._track = track
        self._changed = changed
        self._advancing: asyncio.TimerHandle | None = None
        self.class_name = ""
        self._interface = 0
        self._own: set[Address] = set()
        """The interface's addresses that are nobody's VIP: where probes may come to."""
        self._announcer = Announcer("lo")
        self.vips: dict[str, Vip] = {}
        self._owners: dict[Address, Vip] = {}
        self.link_up = True
        self.track_healthy = True
        self.stopping = False
        self._renewed = 0.0

    # What is there

    def use_interface(self, name: str, index: int) -> None:
        if index != self._interface:
            self._announcer = Announcer(name)
            self._interface = index
            self.link_up = self._netlink.link_up(index)

    def put(self, vips: Mapping[str, Vip]) -> None:
        """These are the VIPs from now on; the kernel is asked which of their addresses are here."""
        for name in self.vips.keys() - vips.keys():
            self._forget(name)
        self.vips = dict(vips)
        self._owners = {address: vip for vip in self.vips.values() for address in vip.instance.addresses}
        tracked = [vip for vip in self.vips.values() if vip.instance.tracked]
        self.track_healthy = self._track(bool(tracked), any(vip.held_since is not None for vip in tracked))
        self.resync_addresses()
        self._show_probes()

    def _forget(self, name: str) -> None:
        """keepalived no longer runs it: what it left behind goes, if it was ours."""
        vip = self.vips[name]
        self._remove(vip, [known for address, known in vip.kernel.items() if address in vip.given])
        (Path(self._paths.tracks) / name).unlink(missing_ok=True)
        self._draining.forget(name)

    def resync_addresses(self) -> None:
        """The kernel's whole truth instead of events."""
        try:
            index = socket.if_nametoindex(self._announcer.interface)
            if self._interface:  # a card that was taken out and put in again has another number
                self.use_interface(self._announcer.interface, index)
            addresses = self._netlink.addresses()
        except OSError as error:
            _log.error("addresses are not known: %s", error)
            return
        here = {known.address: known for known in addresses if known.interface == self._interface}
        for vip in self.vips.values():
            vip.kernel = {address: here[address] for address in vip.instance.addresses if address in here}
            vip.given &= vip.kernel.keys()
            if vip.started is None:
                # An address with a lifetime before keepalived runs is what a keeper before us held.
                self._remove(vip, [known for known in vip.kernel.values() if known.finite])
        elsewhere = [known for known in addresses if known.interface != self._interface]
        self._draining.remove_left_behind(elsewhere, self._owners)
        self._hear_own({address for address, known in here.items() if _is_own(known)})

    # What is heard

    def hear_kernel(self, events: Iterable[Event] | None) -> None:
        """Events of the kernel; None = some were lost."""
        if events is None:
            self.resync_addresses()
            self.look_at(self.vips.values())
            return
        touched: dict[str, Vip] = {}
        own = set(self._own)
        for event in events:
            if isinstance(event, LinkEvent):
                if event.interface == self._interface and event.up != self.link_up:
                    self.link_up = event.up
                    touched.update(self.vips)
            elif event.known.interface == self._interface:
                vip = self._owners.get(event.known.address)
                if vip is not None and self._hear_address(vip, event):
                    touched[vip.name] = vip
                elif vip is None and _is_own(event.known):
                    (own.add if event.there else own.discard)(event.known.address)
        self._hear_own(own)
        if touched:
            self.look_at(touched.values())

    def _hear_own(self, own: set[Address]) -> None:
        if own != self._own:
            self._own = own
            self._show_probes()

    def _hear_address(self, vip: Vip, event: AddressEvent) -> bool:
        """True = it came or went; a renewed lifetime is no news."""
        address = event.known.address
        if not event.there:
            vip.given.discard(address)
            return vip.kernel.pop(address, None) is not None
        new = address not in vip.kernel
        vip.kernel[address] = event.known
        if new and event.known.finite and not vip.master:
            # Our own renewal crossed keepalived's removal, and the kernel made the address anew.
            self._remove(vip, [event.known])
        return new

    def hear_keepalived(self, notifications: Iterable[Notification]) -> None:
        """Hints from the FIFO. Of several about one instance only the last counts: we may be late."""
        last: dict[str, Vrrp] = {}
        for notification in notifications:
            if notification.name in self.vips:
                self.vips[notification.name].effective = notification.priority
                if notification.state is not None:
                    last[notification.name] = notification.state
        touched = [self.vips[name] for name, state in last.items() if self.vips[name].vrrp is not state]
        for vip in touched:
            if vip.master:
                # keepalived has removed the addresses before it says so; what is here is a renewal that crossed.
                self._remove(vip, [known for known in vip.kernel.values() if known.finite])
            vip.vrrp = last[vip.name]
            vip.notified = time.monotonic()
        if touched:
            self.look_at(touched)

    def hear_dump(self, running: Mapping[str, Running], asked: float) -> None:
        """What keepalived said that it ran at a moment after `asked`; what the FIFO said since then is newer."""
        for name, vip in self.vips.items():
            found = running.get(name)
            if found is not None and found.state is not Vrrp.INIT and vip.notified < asked:
                vip.vrrp = found.state
                vip.effective = found.effective_priority
                vip.died = False
                if vip.misread(asked):
                    _log.warning("%s: keepalived did not read its track file, writing it anew", vip.instance.havip)
                    vip.track = None
        self.look_at(self.vips.values())

    def started(self, names: Iterable[str]) -> None:
        """keepalived runs these since now."""
        now = time.monotonic()
        for name in names:
            vip = self.vips.get(name)
            if vip is not None and vip.started is None:
                vip.started = now

    def keepalived_died(self) -> None:
        """Its addresses go at once, and with them the bonus: a peer takes over."""
        for vip in self.vips.values():
            self._remove(vip, [known for address, known in vip.kernel.items() if address in vip.given or vip.master])
            vip.vrrp = None
            vip.effective = None
            vip.started = None
            vip.died = True
            self._filter.adverts.forget(vip.instance.virtual_router_id)
        self.look_at(self.vips.values())

    # What is done

    def look_at(self, vips: Iterable[Vip]) -> None:
        """Judges these VIPs anew: their states, track files and what follows from them."""
        now, wall = time.monotonic(), wall_clock()
        news = False
        for vip in tuple(vips):
            before, was_active = vip.said, vip.verdict.state is State.ACTIVE
            taken_over = vip.note_held(now)
            self._note_overlap(vip, now, wall)
            around = self._surroundings(vip, now, wall)
            vip.look(around)
            if taken_over:
                self._taken_over(vip, now, again=was_active)
            elif vip.last_held == now:
                self._look_later(vip, vip.grace)
            value = vip.track_value(around)
            self._copy_first(vip, now)
            self._write_track(vip, value)
            if vip.asked == now:
                self._look_later(vip, handover.narrow_seconds(vip.rendered.timing))
            news = news or vip.said != before
        if news:
            self._changed()

    def _look_later(self, vip: Vip, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds + 0.001, self._look_at_if_known, vip)

    def _look_at_if_known(self, vip: Vip) -> None:
        if self.vips.get(vip.name) is vip:
            self.look_at([vip])

    def _surroundings(self, vip: Vip, now: float, wall: str) -> Surroundings:
        return Surroundings(
            now=now,
            wall=wall,
            handover_seconds=self.handover_seconds,
            stopping=self.stopping,
            track_healthy=self.track_healthy,
            link_up=self.link_up,
            heard=self._heard(vip, now),
            draining=self._draining.reason(vip.name),
        )

    def _heard(self, vip: Vip, now: float) -> tuple[str, ...]:
        timing = vip.rendered.timing
        interval = timing.advert_interval_ms / 1000
        moment = now - max((timing.missed_adverts + 1) * interval, 3 * lifetime.SAMPLE_SECONDS)
        if vip.held_since is not None:
            # The one before us may say a last word, and it is sampled a little later.
            moment = max(moment, vip.held_since + 2 * interval + lifetime.SAMPLE_SECONDS)
        return self._filter.adverts.heard_since(vip.instance.virtual_router_id, moment)

    def _write_track(self, vip: Vip, value: int) -> None:
        if vip.track == value:
            return
        # keepalived reads when a file was moved there; written in place it might read it empty, which is 0.
        temporary = Path(self._paths.temporary) / vip.name
        temporary.write_text(f"{value}\n", "ascii")
        temporary.replace(Path(self._paths.tracks) / vip.name)
        vip.track, vip.tracked_at = value, time.monotonic()

    def _taken_over(self, vip: Vip, now: float, *, again: bool) -> None:
        if not again:  # an address that was gone for a moment is no take-over
            vip.outage_ms = self._outage(vip, now)
        self._renew([vip])
        for delay in REPEATS:
            asyncio.get_running_loop().call_later(delay, self._announce_if_held, vip)
        after = "" if vip.outage_ms is None else f", {vip.outage_ms} ms after the last advert of another"
        _log.info("%s: active%s", vip.instance.havip, after)

    # Probes, and handing over where a load balancer asks

    def _show_probes(self) -> None:
        answers = self._draining.answers(self.vips.values())
        self._probing.show(self.class_name, self._interface, answers, frozenset(self._own))

    def _note_overlap(self, vip: Vip, now: float, wall: str) -> None:
        before = self._draining.next_moment()
        gives_away = vip.gives_away(vip.limit_seconds(self.handover_seconds), now)
        heard = bool(self._heard(vip, now))
        if self._draining.note(vip, gives_away=gives_away, heard=heard, now=now, wall=wall):
            self._show_probes()
        if self._draining.next_moment() < before:
            self._advance_later(now)

    def _copy_first(self, vip: Vip, now: float) -> None:
        """Before the priority moves. One whose haproxy is ill hands over at once: it must not answer any longer."""
        limit = vip.limit_seconds(self.handover_seconds)
        if vip.gives_away(limit, now) and (self.track_healthy or not vip.instance.tracked):
            self._draining.copy_first(vip, limit)

    def _advance_later(self, now: float) -> None:
        """One timer for all of them: an overlap that was forgotten must not take the next one's moment with it."""
        if self._advancing is not None:
            self._advancing.cancel()
        delay = self._draining.next_moment() - now
        self._advancing = asyncio.get_running_loop().call_later(delay + 0.001, self._advance_overlaps)

    def _advance_overlaps(self) -> None:
        now = time.monotonic()
        moved = self._draining.advance(now, well=self.track_healthy)
        if self._draining.handed_over:
            self._advance_later(now)
        if not moved:
            return
        self._show_probes()
        self.look_at(vip for name in moved if (vip := self.vips.get(name)) is not None)
        self._changed()

    def stop_within(self, seconds: float) -> None:
        """Hands everything over; what overlaps then is over after `seconds`."""
        self.stopping = True
        self._draining.deadline = time.monotonic() + seconds
        self.look_at(self.vips.values())

    async def drained(self) -> None:
        """Waits until no overlap is left. One that nobody took over is no overlap."""
        while self._draining.handed_over:
            await asyncio.sleep(0.02)
            self._advance_overlaps()
        for name in tuple(self._draining.overlaps):
            self._draining.end(name)

    def reports(self) -> tuple[InstanceReport, ...]:
        """Every VIP, and those that this node is no candidate of any more and still drains."""
        found = [vip.report() for vip in self.vips.values()]
        found += self._draining.reports(report.havip for report in found)
        return tuple(sorted(found, key=lambda report: report.havip))

    def _outage(self, vip: Vip, now: float) -> int | None:
        """Milliseconds since the one before us was heard; None = nobody was, or it served until now."""
        heard = self._filter.last_heard(vip.instance.virtual_router_id, now)
        served = max((moment for moment in (heard, vip.last_held) if moment is not None), default=None)
        if served is None:
            return None
        silence = now - served
        timing = vip.rendered.timing
        in_order = silence < 0.95 * _detection(timing)
        return None if in_order else round(silence * 1000)

    def announce(self, vip: Vip) -> None:
        """Says again where the address is, now and a few times more."""
        for delay in (0.0, *REPEATS):
            asyncio.get_running_loop().call_later(delay, self._announce_if_held, vip)

    def _announce_if_held(self, vip: Vip) -> None:
        if vip.held_since is not None and self.vips.get(vip.name) is vip:
            self._announcer.announce(vip.instance.addresses)

    def tick(self, *, frozen: bool) -> None:
        """Four times a second: evidence, lifetimes, what has lasted too long."""
        now = time.monotonic()
        self._filter.sample(now)
        self._advance_overlaps()
        if now - self._renewed >= lifetime.RENEW_SECONDS - lifetime.SAMPLE_SECONDS / 2:
            self._renewed = now
            if not frozen:
                self._renew(vip for vip in self.vips.values() if vip.held_since is not None and self.speaks(vip, now))
            for vip in self.vips.values():
                self._act_on_contradiction(vip, now, frozen=frozen)
            self.look_at(vip for vip in self.vips.values() if vip.restless(now) or self._heard(vip, now) != vip.heard)

    def speaks(self, vip: Vip, now: float) -> bool:
        """Whether its adverts leave: the evidence for renewing. Without a table nobody counts, and alive must do."""
        if self._filter.trouble:
            return True
        seconds = lifetime.evidence_seconds(vip.rendered.timing)
        return self._filter.adverts.sent_within(vip.instance.virtual_router_id, seconds, now)

    def silent(self) -> bool:
        """Whether an address is held here and its adverts do not leave: the peers are taking over."""
        now = time.monotonic()
        return any(vip.master and vip.instance.peers and not self.speaks(vip, now) for vip in self.vips.values())

    def _renew(self, vips: Iterable[Vip]) -> None:
        known = [(vip, address) for vip in vips for address in vip.kernel.values()]
        if not known:
            return
        try:
            self._netlink.renew(lifetime.lifetime(address) for _vip, address in known)
        except NetlinkError as error:
            _log.error("lifetimes cannot be renewed: %s", error)
            return
        for vip, address in known:
            vip.given.add(address.address)

    def _act_on_contradiction(self, vip: Vip, now: float, *, frozen: bool) -> None:
        lasts = vip.disagreeing_since is not None and now - vip.disagreeing_since >= TOLERATED_SECONDS
        if lasts and vip.master and now >= vip.benched_until:
            vip.bench(Reason.ADDRESS_MISSING, now)
        elif lasts and not vip.master and vip.given:
            _log.warning("%s: an address that we held was left behind, removing it", vip.instance.havip)
            self._remove(vip, [known for address, known in vip.kernel.items() if address in vip.given])
        if not frozen and not self._filter.trouble and self._mute_for(vip, now) > lifetime.VALID_SECONDS:
            vip.bench(Reason.ADVERTS_NOT_LEAVING, now)

    def _mute_for(self, vip: Vip, now: float) -> float:
        """Seconds that the address is held here without an advert leaving."""
        last_sent = self._filter.adverts.last_sent(vip.instance.virtual_router_id)
        return vip.silence.seconds(held_since=vip.held_since, last_sent=last_sent, now=now)

    def _remove(self, vip: Vip, addresses: list[KernelAddress]) -> None:
        if not addresses:
            return
        try:
            self._netlink.remove(addresses)
        except NetlinkError as error:
            _log.error("%s: an address cannot be removed: %s", vip.instance.havip, error)
            return
        for known in addresses:
            vip.kernel.pop(known.address, None)
            vip.given.discard(known.address)

    def detection_seconds(self) -> float:
        """The longest time that the peers of any VIP need to take over; 0 without peers."""
        return max((_detection(vip.rendered.timing) for vip in self.vips.values() if vip.instance.peers), default=0.0)


def _is_own(known: KernelAddress) -> bool:
    """A host prefix is somebody's VIP, or the source of adverts, which is named in the document."""
    return known.prefix < known.address.max_prefixlen and not known.address.is_link_local


def _detection(timing: Timing) -> float:
    return timing.advert_interval_ms * timing.missed_adverts / 1000
