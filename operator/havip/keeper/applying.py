"""Brings keepalived to what the document says: check, swap, reload, confirm; and back after it has died.

One task, one thing at a time. A file that keepalived refuses never replaces one that it runs; the instance at
fault is found and left out, the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from havip.keeper import handover
from havip.keeper.children import Children
from havip.keeper.document import Read
from havip.keeper.filter import AdvertFilter
from havip.keeper.holding import Holding
from havip.keeper.incumbency import SWITCH_SECONDS, is_switch
from havip.keeper.keepalived import check
from havip.keeper.keepalived.daemon import Daemon
from havip.keeper.keepalived.render import Paths, Rendered, render
from havip.keeper.netlink import Netlink, NetlinkError
from havip.keeper.nftables.rules import Watched
from havip.keeper.selection import in_order, select
from havip.keeper.vip import Vip
from havip.model.election import Election
from havip.model.refusal import LeftOut

CONFIRM_SECONDS = 5.0
RETRY_SECONDS = 5.0
NEIGHBOUR_QUEUE_BYTES = 4180
"""Two packets. Dead peers filled the default queue, and adverts to the living ones were lost (measured)."""

_BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_STABLE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class NotApplied(Exception):
    """The document is not in force as a whole; the message says why."""


class Applier:
    """`document_error` = why the newest document was not understood, `error` = why the last good one is not in force.

    `generation` is that of the last document that was applied.
    """

    def __init__(
        self,
        program: str,
        paths: Paths,
        *,
        children: Children,
        environment: Mapping[str, str],
        holding: Holding,
        advert_filter: AdvertFilter,
        netlink: Netlink,
        changed: Callable[[], None],
    ) -> None:
        self._program = program
        self._paths = paths
        self._children = children
        self._environment = environment
        self._holding = holding
        self._filter = advert_filter
        self._netlink = netlink
        self._changed = changed
        self._wanted: tuple[Election, tuple[LeftOut, ...]] | None = None
        self._work = asyncio.Event()
        self._restart_at = 0.0
        self._deaths = 0
        self._started_at = 0.0
        self._pending = ""
        self.daemon = Daemon(program, paths, children=children, environment=environment, died=self._died)
        self.generation = 0
        self.error = ""
        self.document_error = ""
        self.left_out: tuple[LeftOut, ...] = ()

    def want(self, read: Read) -> None:
        """A new document. One that was not understood changes nothing but what is said of it."""
        self.document_error = read.error
        if read.election is None:
            _log.error("%s", read.error)
            self._changed()
            return
        self._wanted = (read.election, read.left_out)
        self._work.set()

    def _died(self) -> None:
        now = time.monotonic()
        active = any(vip.master and vip.instance.peers for vip in self._holding.vips.values())
        self._holding.keepalived_died()
        self._deaths = 0 if now - self._started_at > _STABLE_SECONDS else self._deaths + 1
        delay = _BACKOFF[min(self._deaths, len(_BACKOFF) - 1)]
        if active:
            # A peer serves before we are back: else this node, better by its base, would take over once more.
            delay = max(delay, 2 * self._holding.detection_seconds())
        self._restart_at = now + delay
        self._changed()
        self._work.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            if not self.daemon.running:
                await asyncio.sleep(max(0.0, self._restart_at - time.monotonic()))
            try:
                await self._apply()
            except (NotApplied, OSError) as problem:
                self.error = str(problem)[:1000]
                _log.error("not applied: %s", problem)
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._work.set)
            self._changed()

    async def _apply(self) -> None:
        if self._wanted is None:
            return
        election, refused = self._wanted
        self._prepare(election)
        selection = select(election, refused, (vip.rendered for vip in self._holding.vips.values()))
        rejected: tuple[LeftOut, ...] = ()
        leaving = {item.name for item in selection.leaving}
        for name, vip in self._holding.vips.items():
            vip.leaving = name in leaving
        if leaving:
            self._holding.look_at(self._holding.vips.values())
            rejected = await self._put(selection.at_first, election)
            await self._handed_over(leaving)
        rejected = await self._put(selection.target, election) or rejected
        self.left_out = (*selection.left_out, *rejected)
        if self._wanted[0] is election:
            self.generation = election.generation
            self.error = ""

    def _prepare(self, election: Election) -> None:
        try:
            index = socket.if_nametoindex(election.interface)
        except OSError:
            raise NotApplied(f"interface {election.interface} is not on this node") from None
        self._holding.class_name = election.class_name
        self._holding.use_interface(election.interface, index)
        try:
            self._netlink.shorten_neighbour_queue(index, NEIGHBOUR_QUEUE_BYTES)
        except NetlinkError as error:
            _log.warning("the neighbour queue of %s stays as it is: %s", election.interface, error)

    async def _handed_over(self, names: Iterable[str]) -> None:
        """Waits until none of them is active here, or has waited long enough for a peer."""
        leaving = [vip for name in names if (vip := self._holding.vips.get(name)) is not None]
        while any(map(self._pending_handover, leaving)):  # noqa: ASYNC110  # its end may be a moment, not an event
            await asyncio.sleep(0.01)

    def _pending_handover(self, vip: Vip) -> bool:
        now = time.monotonic()
        limit = vip.limit_seconds(self._holding.handover_seconds)
        return handover.pending(vip.wish(stopping=self._holding.stopping, now=now), limit, now)

    async def hand_over_everything(self, grace_seconds: float) -> None:
        """SIGTERM: every VIP goes to a peer while it still answers here. An overlap ends within the grace period."""
        self._holding.stop_within(grace_seconds)
        await self._handed_over(tuple(self._holding.vips))
        await self._holding.drained()

    async def _put(self, items: tuple[Rendered, ...], election: Election) -> tuple[LeftOut, ...]:
        """Makes keepalived run these. Returns what it refuses of them; raises `NotApplied`."""
        accepted, rejected = await self._checked(items)
        text = render(accepted, self._paths)
        before = set(self._holding.vips)
        vips = {item.name: self._vip(item) for item in accepted}
        self._filter.install(election.class_name, tuple(Watched.of(item.instance) for item in accepted))
        unchanged = self.daemon.running and self._pending == "" and self._same_file(text)
        # Track files exist before keepalived reads the file that names them, and never carry an old bonus.
        # An instance that goes is removed from the file first, from our books afterwards.
        self._holding.put({**{name: self._holding.vips[name] for name in before}, **vips})
        self._holding.look_at(self._holding.vips.values())
        if not unchanged:
            self._pending = "keepalived did not confirm the file"
            self._swap(text)
            await self._confirmed({item.name: item.instance.priority for item in accepted})
            self._pending = ""
        self._holding.put(vips)
        self._holding.look_at(vips.values())
        return rejected

    def _vip(self, item: Rendered) -> Vip:
        """The VIP that runs under this name, told its new version, or a new one."""
        vip = self._holding.vips.get(item.name)
        if vip is None:
            return Vip(item)
        old = vip.instance
        vip.rendered = item
        if vip.master and is_switch(old, item.instance):
            vip.switch_until = time.monotonic() + SWITCH_SECONDS
        if item.instance.announce > old.announce:
            self._holding.announce(vip)
        return vip

    def _same_file(self, text: str) -> bool:
        try:
            return Path(self._paths.config).read_text("ascii") == text
        except OSError:
            return False

    def _swap(self, text: str) -> None:
        temporary = Path(self._paths.temporary) / "keepalived.conf"
        temporary.write_text(text, "ascii")
        temporary.replace(Path(self._paths.config))

    async def _checked(self, items: tuple[Rendered, ...]) -> tuple[tuple[Rendered, ...], tuple[LeftOut, ...]]:
        """What of them keepalived takes together. An instance it refuses keeps its old version, if it runs."""
        try:
            await self._check(items)
        except check.Rejected as whole:
            running = {vip.name: vip.rendered for vip in self._holding.vips.values()}
            good: list[Rendered] = []
            rejected: list[LeftOut] = []
            for item in items:
                problem = None if running.get(item.name) == item else await self._problem(item)
                if problem is None:
                    good.append(item)
                    continue
                rejected.append(LeftOut(str(item.instance.havip), "Rejected", "", problem[:1000]))
                if item.name in running:
                    good.append(running[item.name])
            if not rejected:
                raise NotApplied(f"keepalived refuses the file: {whole}") from whole
            accepted = in_order(good)
            if set(accepted) != set(running.values()):  # what runs needs no leave to go on
                try:
                    await self._check(accepted)
                except check.Rejected as rest:
                    raise NotApplied(f"keepalived refuses the file: {rest}") from rest
            return accepted, tuple(rejected)
        return items, ()

    async def _problem(self, item: Rendered) -> str | None:
        try:
            await self._check((item,))
        except check.Rejected as rejected:
            return str(rejected)
        return None

    async def _check(self, items: tuple[Rendered, ...]) -> None:
        candidate = Path(self._paths.temporary) / "candidate.conf"
        candidate.write_text(render(items, self._paths), "ascii")
        await check.check(self._program, candidate, children=self._children, environment=self._environment)

    async def _confirmed(self, priorities: Mapping[str, int]) -> None:
        """Starts or reloads keepalived and waits until it says that it runs these. Raises `NotApplied`."""
        deadline = time.monotonic() + CONFIRM_SECONDS
        fresh = not self.daemon.running
        if fresh:
            self._start()
        asked = fresh
        while time.monotonic() < deadline:
            if not self.daemon.running:
                raise NotApplied("keepalived ended")
            asked = asked or self.daemon.reload()
            moment = time.monotonic()
            running = await self.daemon.dump(0.5) if asked else None
            if running is None and asked and not priorities:
                running = {}  # 2.2.7 writes no dump when it runs no instance
            if running is not None and {name: item.base_priority for name, item in running.items()} == priorities:
                self._holding.started(priorities)
                self._holding.hear_dump(running, moment)
                return
            await asyncio.sleep(0.02)
        raise NotApplied("keepalived does not confirm the file")

    def _start(self) -> None:
        self._started_at = time.monotonic()
        with contextlib.suppress(FileNotFoundError):
            self.daemon.start()
            return
        self._restart_at = time.monotonic() + _BACKOFF[-1]
        raise NotApplied(f"{self._program} is not there")
