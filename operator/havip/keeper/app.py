"""The keeper's process: one thread, one loop; wires the parts and owns their lives.

Environment: HAVIP_RUN (root of the pod's folders), HAVIP_NODE (for logs), HAVIP_HANDOVER_SECONDS (1),
HAVIP_GRACE_SECONDS (24: how much of the pod's grace period may go by until the last overlap has ended), KEEPALIVED
(program). SIGTERM hands every VIP over, stops keepalived, removes our tables and ends with 0.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

from havip.keeper import lifetime
from havip.keeper.applying import Applier
from havip.keeper.children import Children
from havip.keeper.document import DocumentFile, FolderWatch
from havip.keeper.filter import AdvertFilter
from havip.keeper.holding import Holding
from havip.keeper.keepalived.notify import NotifyFifo
from havip.keeper.keepalived.render import Paths
from havip.keeper.netlink import Events, Netlink
from havip.keeper.nftables.library import Nftables, NftablesError
from havip.keeper.nftables.reading import Reading
from havip.keeper.probing import Probing
from havip.keeper.reporting import Reporter
from havip.keeper.track import Track
from havip.model.election import INSTANCES
from havip.model.paths import DEFAULT_ROOT, Folders
from havip.model.refusal import Refused
from havip.model.report import KeeperReport

FROZEN_SECONDS = 2.0
"""A keepalived with a stopped process is ended after this long, and much sooner when its adverts stop leaving."""
_RESYNC_SECONDS = 60.0
"""keepalived logs a line for every dump."""
_CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13}

_log = logging.getLogger("havip.keeper")


class Keeper:
    """All parts of one keeper."""

    def __init__(self, folders: Folders, program: str, handover_seconds: float, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        paths = Paths(folders.keeper)
        _make_folders(folders, paths)
        environment = {"PATH": os.environ.get("PATH", ""), "TMPDIR": str(paths.temporary), "LC_ALL": "C"}
        self._version = keepalived_version(program)
        self._children = Children()
        self._netlink = Netlink()
        self._events = Events()
        nftables = Nftables()
        self._filter = AdvertFilter(nftables, Reading())
        self._probing = Probing(nftables, Reading(), self._netlink)
        self._fifo = NotifyFifo(Path(paths.fifo))
        self._document = DocumentFile(Path(folders.election_document))
        self._folder = FolderWatch(Path(folders.election))
        self._reporter = Reporter(Path(folders.state_file), Path(folders.state_socket))
        self._track = Track(Path(folders.haproxy_health_socket), self._track_changed)
        self._holding = Holding(
            paths,
            netlink=self._netlink,
            advert_filter=self._filter,
            probing=self._probing,
            handover_seconds=handover_seconds,
            track=lambda needed, serving: self._track.wanted(needed, serving=serving),
            changed=self._changed,
        )
        self._applier = Applier(
            program,
            paths,
            children=self._children,
            environment=environment,
            holding=self._holding,
            advert_filter=self._filter,
            netlink=self._netlink,
            changed=self._changed,
        )
        self._publishing = False
        self._frozen_since: float | None = None
        self._ticks = 0
        self._dumped = 0.0
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        self._children.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self._reporter.start()
        loop.add_reader(self._events.fileno(), self._hear_kernel)
        loop.add_reader(self._fifo.fileno(), self._hear_keepalived)
        loop.add_reader(self._folder.fileno(), self._look_at_folder)
        self._look_at_document()
        self._changed()
        tasks = [asyncio.create_task(self._applier.run()), asyncio.create_task(self._tick_forever())]
        stopped = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in done if task is not stopped]
        try:
            await self._end(tasks)
        finally:
            for task in failed:
                task.result()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        applying, ticking = tasks
        applying.cancel()
        _log.info("handing over")
        await self._applier.hand_over_everything(self._grace_seconds)
        await self._applier.daemon.stop()
        ticking.cancel()
        self._holding.keepalived_died()
        self._filter.remove()
        self._probing.remove()
        self._publish()
        await self._reporter.close()

    # What is heard

    def _hear_kernel(self) -> None:
        self._holding.hear_kernel(self._events.read())

    def _hear_keepalived(self) -> None:
        # Read before the kernel's events and acted upon after them: an address comes before keepalived says MASTER,
        # and one that has gone again by now must not be renewed, which would make it anew.
        notifications = tuple(self._fifo.read())
        self._hear_kernel()
        self._holding.hear_keepalived(notifications)

    def _look_at_folder(self) -> None:
        self._folder.drain()
        self._look_at_document()

    def _look_at_document(self) -> None:
        read = self._document.changed()
        if read is not None:
            self._applier.want(read)

    def _track_changed(self) -> None:
        self._holding.track_healthy = self._track.healthy
        _log.info("the local haproxy is %s", "well" if self._track.healthy else "ill")
        self._holding.look_at(self._holding.vips.values())

    # What time brings

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(lifetime.SAMPLE_SECONDS)
            self._hear_keepalived()  # before renewing: a renewal would make a removed address anew
            frozen = self._applier.daemon.frozen
            self._holding.tick(frozen=frozen)
            self._judge_frozen(frozen=frozen)
            self._ticks += 1
            if self._ticks % 4 == 0:
                self._look_at_document()
                if self._probing.watch():
                    self._changed()
            await self._resync()

    def _judge_frozen(self, *, frozen: bool) -> None:
        """A keepalived that was stopped takes the VIP back when it goes on, nopreempt or not: it is ended."""
        now = time.monotonic()
        if not frozen:
            self._frozen_since = None
            return
        self._frozen_since = self._frozen_since or now
        lasted = now - self._frozen_since
        if lasted >= FROZEN_SECONDS or (lasted > 0 and self._holding.silent()):
            _log.warning("keepalived is stopped: ending it")
            self._frozen_since = None
            self._applier.daemon.kill()

    async def _resync(self) -> None:
        now = time.monotonic()
        vips = self._holding.vips.values()
        doubt = any(vip.disagreeing_since is not None or vip.misread(now) for vip in vips)
        if self._frozen_since is not None or not self._applier.daemon.running:
            return
        if now - self._dumped < (lifetime.SAMPLE_SECONDS if doubt else _RESYNC_SECONDS):
            return
        self._dumped = now
        running = await self._applier.daemon.dump(seconds=0.2)
        if running is not None:
            self._holding.resync_addresses()
            self._holding.hear_dump(running, now)

    # What is said

    def _changed(self) -> None:
        """Many changes of one moment are one report."""
        if not self._publishing:
            self._publishing = True
            asyncio.get_running_loop().call_soon(self._publish)

    def _publish(self) -> None:
        self._publishing = False
        report = KeeperReport(
            applied_generation=self._applier.generation,
            error=self._applier.document_error
            or self._applier.error
            or self._filter.trouble
            or self._probing.trouble[:1000],
            keepalived_version=self._version,
            keepalived_running=self._applier.daemon.running,
            track_healthy=self._track.healthy,
            instances=self._holding.reports()[:INSTANCES],
            left_out=(*self._applier.left_out, *self._probing.left_out)[:INSTANCES],
        )
        self._reporter.publish(report)


def _make_folders(folders: Folders, paths: Paths) -> None:
    for folder, mode in ((paths.folder, 0o700), (paths.tracks, 0o700), (paths.temporary, 0o700)):
        Path(folder).mkdir(mode=mode, parents=True, exist_ok=True)
    for folder in (folders.state, folders.election):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for stale in Path(paths.tracks).iterdir():
        stale.unlink()


def keepalived_version(program: str) -> str:
    """As it says itself, `2.2.7`; empty = it does not say. Called before the loop starts: it blocks."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = (done.stderr or done.stdout).decode("utf-8", "replace").split()
    return words[1].removeprefix("v")[:64] if len(words) > 1 else ""


def missing_capabilities() -> list[str]:
    """What the election needs and this process does not have: without NET_ADMIN it would win and hold nothing."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    return []


async def _run(folders: Folders, program: str, handover_seconds: float, grace_seconds: float) -> None:
    await Keeper(folders, program, handover_seconds, grace_seconds).run()


def main() -> int:
    """The exit code: 0 after SIGTERM, 1 when it cannot work here, with one line that says why."""
    node = os.environ.get("HAVIP_NODE", "")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s keeper {node} %(levelname)s %(message)s"
    )
    missing = missing_capabilities()
    if missing:
        _log.error("capabilities missing: %s", ", ".join(missing))
        return 1
    folders = Folders(PurePosixPath(os.environ.get("HAVIP_RUN", str(DEFAULT_ROOT))))
    try:
        seconds = float(os.environ.get("HAVIP_HANDOVER_SECONDS", "1"))
        grace = float(os.environ.get("HAVIP_GRACE_SECONDS", "24"))
        asyncio.run(_run(folders, os.environ.get("KEEPALIVED", "keepalived"), seconds, grace))
    except (Refused, NftablesError, ValueError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0
