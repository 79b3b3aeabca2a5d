"""The overlaps of this node: copies on the loopback of addresses that are handed over in order. Monotonic seconds.

A copy has a lifetime from the first moment and is never renewed, so that a keeper that dies holds nothing for long.
The node answers ARP for it (whether it should is the kernel's `arp_ignore`, not ours to write): hence only where no
ARP picks the node.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

from havip.keeper import overlap
from havip.keeper.incumbency import SWITCH_SECONDS
from havip.keeper.keepalived.notify import Vrrp
from havip.keeper.netlink import KernelAddress, Netlink, NetlinkError
from havip.keeper.overlap import Overlap
from havip.keeper.probing import Answer
from havip.keeper.verdict import Reason
from havip.keeper.vip import Vip
from havip.model.address import Address
from havip.model.keys import Key
from havip.model.report import InstanceReport
from havip.model.states import State

_log = logging.getLogger(__name__)


class Draining:
    """Every overlap, by the name of its instance. `deadline`: when the last of them must be over."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self.overlaps: dict[str, Overlap] = {}
        self.deadline = float("inf")

    @property
    def handed_over(self) -> bool:
        """Whether any is to be waited for."""
        return any(found.handed_over is not None for found in self.overlaps.values())

    def copy_first(self, vip: Vip, limit: float) -> None:
        """Copies the addresses, before the priority moves. What cannot be copied is handed over without.

        `limit`: seconds until it is known that nobody takes over.
        """
        probe = vip.instance.probe
        if vip.name in self.overlaps or probe is None or probe.overlap_flows_ms is None:
            return
        seconds = overlap.lifetime_seconds(probe, max(limit, SWITCH_SECONDS))
        copies = _copies(vip.instance.addresses)
        try:
            self._netlink.add((copy, seconds if copy.address.version == 4 else 0, seconds) for copy in copies)
        except OSError as error:
            _log.error("%s: handed over without overlap: %s", vip.instance.havip, error)
            return
        self.overlaps[vip.name] = Overlap(vip.name, vip.instance, probe)
        _log.info("%s: to be handed over with an overlap, copied for at most %s s", vip.instance.havip, seconds)

    def note(self, vip: Vip, *, gives_away: bool, heard: bool, now: float, wall: str) -> bool:
        """What the election has made of it: handed over, given up, or active again. True = answers are others now."""
        mine = self.overlaps.get(vip.name)
        if vip.held_since is not None:
            over = [found.name for found in self.overlaps.values() if found is not mine and _share(found, vip)]
            if mine is not None and (mine.handed_over is not None or not gives_away):
                over.append(mine.name)
            for name in over:
                self.end(name)
            return bool(over)
        if mine is not None and mine.handed_over is None and not vip.master:
            # keepalived goes from MASTER to BACKUP only for a peer that it hears.
            if vip.vrrp is Vrrp.BACKUP or heard:
                mine.handed_over, mine.since = now, wall
                both = mine.both_until(self.deadline) - now
                _log.info("%s: handed over, both answer for %.1f s", mine.instance.havip, both)
            else:
                self.end(mine.name)
        return False

    def forget(self, name: str) -> None:
        """The instance is gone. One that was handed over drains on."""
        if self.reason(name) is None:
            self.end(name)

    def end(self, name: str) -> None:
        """The copy goes: its time is over, nobody took over, or this node is active (again)."""
        found = self.overlaps.pop(name, None)
        if found is not None:
            self._remove(_copies(found.instance.addresses))
            _log.info("%s: the overlap is over", found.instance.havip)

    def _remove(self, copies: Iterable[KernelAddress]) -> None:
        try:
            self._netlink.remove(copies)
        except NetlinkError as error:
            _log.error("a copy on the loopback stays until its lifetime ends: %s", error)

    def advance(self, now: float, *, well: bool) -> set[str]:
        """Does what is due; the names of those of whom something else is to be said. `well`: the local haproxy."""
        moved: set[str] = set()
        for name, found in tuple(self.overlaps.items()):
            if found.handed_over is None:
                continue
            ill = found.instance.tracked and not well
            if now >= found.until(self.deadline):
                self.end(name)
                moved.add(name)
            elif found.answering and (ill or now >= found.both_until(self.deadline)):
                found.answering = False
                moved.add(name)
        return moved

    def next_moment(self) -> float:
        """When `advance` has something to do next; infinity = when something happens first."""
        return min(
            (
                found.both_until(self.deadline) if found.answering else found.until(self.deadline)
                for found in self.overlaps.values()
                if found.handed_over is not None
            ),
            default=float("inf"),
        )

    def remove_left_behind(self, known: Iterable[KernelAddress], vips: Iterable[Address]) -> None:
        """Copies that a keeper before us made of these."""
        ours = {address for found in self.overlaps.values() for address in found.instance.addresses}
        wanted, loopback = set(vips) - ours, _loopback()
        left = [one for one in known if one.interface == loopback and one.finite and one.address in wanted]
        if left:
            self._remove(left)

    # What is said

    def reason(self, name: str) -> Reason | None:
        """Why the node is Draining for it; None = it is not."""
        found = self.overlaps.get(name)
        if found is None or found.handed_over is None:
            return None
        return Reason.OVERLAPPING if found.answering else Reason.FLOWS_ENDING

    def answers(self, vips: Iterable[Vip]) -> tuple[Answer, ...]:
        """Who is answered here. By port: an instance that is new counts more than one that is on its way out."""
        found: dict[int, Answer] = {}
        for one in self.overlaps.values():
            if one.handed_over is not None:
                found[one.probe.port] = Answer(one.instance, one.answering)
        for vip in vips:
            if vip.instance.probe is not None:
                mine = self.overlaps.get(vip.name)
                found[vip.instance.probe.port] = Answer(vip.instance, mine is None or mine.answering)
        return tuple(found.values())

    def reports(self, but: Iterable[Key]) -> tuple[InstanceReport, ...]:
        """Of those that this node is no candidate of any more."""
        known = set(but)
        return tuple(
            InstanceReport(
                havip=found.instance.havip,
                virtual_router_id=found.instance.virtual_router_id,
                state=State.DRAINING,
                since=found.since,
                reason=reason.value,
            )
            for name, found in self.overlaps.items()
            if found.instance.havip not in known and (reason := self.reason(name)) is not None
        )


def _share(found: Overlap, vip: Vip) -> bool:
    return not set(found.instance.addresses).isdisjoint(vip.instance.addresses)


def _copies(addresses: Iterable[Address]) -> list[KernelAddress]:
    return [KernelAddress.copy(address, _loopback()) for address in addresses]


def _loopback() -> int:
    return socket.if_nametoindex("lo")
