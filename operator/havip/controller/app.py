"""Puts the operator's parts together and holds their lifetimes: wait for the lead, then watch, plan and write.

A standby runs nothing but its election and its health endpoints. Losing the lead ends the process: whatever was
still in flight must not be trusted. SIGTERM finishes the write in flight and hands the Lease over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from havip.controller import logs
from havip.controller.applying import Applier
from havip.controller.cache import Cache
from havip.controller.clouds import Clouds
from havip.controller.events import EventWriter, Series
from havip.controller.handlers import Watches
from havip.controller.health import STUCK, serving
from havip.controller.kube import ApiFailed, Body, Kube, configuration
from havip.controller.leading import Leading
from havip.controller.metrics import Metrics
from havip.controller.queue import Backoff, Queue
from havip.controller.reconciling import Reconciler
from havip.controller.repairing import Repair
from havip.controller.resources import CLASSES, Reference, Resource
from havip.controller.secrets import secret_of
from havip.controller.settings import Settings
from havip.controller.settling import Settling
from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.plan.cloud_report import CloudReport

_LOG = logging.getLogger(__name__)
_CHANCE = random.SystemRandom().random
_LAST_WRITE = 2.0
"""Seconds that the write in flight may take after SIGTERM."""


class Operator:
    """One process. `run()` returns its exit code."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._reconciler: Reconciler | None = None
        self._synced = False
        self._leads = False

    def stop(self) -> None:
        """Finish the write in flight, hand the lead over, end."""
        self._stop.set()

    async def run(self) -> int:
        """0 = told to stop; 1 = the lead was lost or something broke: the process is to be started again."""
        config = await configuration(self._settings)
        kube = Kube(config, request_seconds=self._settings.request_seconds, on_write=self._metrics.wrote)
        leading = self._leading(kube)
        try:
            async with serving(
                self._settings.port, healthy=self._unhealthy, ready=self._unready, metrics=self._metrics.text
            ):
                if not await self._or_stop(leading.acquire()):
                    return 0
                _LOG.info("this replica leads", extra={"object": f"Lease {self._settings.lease_name}"})
                self._metrics.leading.set(1)
                self._leads = True
                return await self._lead(kube, leading)
        finally:
            await leading.release()
            await kube.close()

    def _leading(self, kube: Kube) -> Leading:
        settings = self._settings
        return Leading(
            kube,
            Key(settings.namespace, settings.lease_name),
            identity=settings.identity,
            lease_seconds=settings.lease_seconds,
            renew_deadline=settings.renew_deadline,
            retry_seconds=settings.retry_seconds,
            clock=time.monotonic,
            chance=_CHANCE,
        )

    async def _or_stop(self, work: Coroutine[Any, Any, None]) -> bool:
        """True = the work is done, False = stopped before."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await _end(stop)
            task.result()
            return True
        await _end(task)
        return False

    async def _lead(self, kube: Kube, leading: Leading) -> int:
        """Until stopped, the lead is lost, or a part breaks."""
        keep = asyncio.create_task(leading.keep())
        work = asyncio.create_task(self._work(kube, leading))
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({keep, work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if keep.done():
            _LOG.error("the lead is lost; this process ends", extra={"object": f"Lease {self._settings.lease_name}"})
            await _end(work, stop)
            return 1
        # The lead is kept up until the last write is through.
        await _end(work)
        await _end(keep, stop)
        return 0 if self._stop.is_set() else 1

    async def _work(self, kube: Kube, leading: Leading) -> None:
        settings = self._settings
        cache = Cache(credential_secrets=settings.credential_secrets)

        def seen(about: Reference) -> None:
            reconciler.seen(about)

        def happened(resource: Resource, gone: bool, body: Body) -> None:
            metadata = body["metadata"]
            about = Reference(resource, Key(metadata.get("namespace", ""), metadata["name"]))
            changed = cache.forget(resource, about.key, uid=metadata["uid"]) if gone else cache.observe(resource, body)
            if changed:
                seen(about)

        def reported(class_name: str, report: CloudReport | None) -> None:
            cache.cloud(class_name, report)
            seen(Reference(CLASSES, Key("", class_name)))

        repair = Repair(kube, cache, namespace=settings.namespace, on_seen=seen)
        clouds = self._clouds(kube, may_write=leading.holds, reported=reported)
        applier = self._applier(kube, cache, leading=leading, seen=seen)
        self._reconciler = reconciler = self._reconciling(cache, applier, repair=repair, clouds=clouds)
        await self._load(repair)
        self._metrics.watch(cache)
        self._synced = True
        watches = Watches(kube.config, namespace=settings.namespace, sink=happened, known=cache.has)
        watches.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._passes(reconciler))
                group.create_task(self._resync(repair, reconciler))
                group.create_task(_until(watches.ended))
        finally:
            await clouds.close()
            await watches.stop()

    def _clouds(
        self, kube: Kube, *, may_write: Callable[[], bool], reported: Callable[[str, CloudReport | None], None]
    ) -> Clouds:
        settings = self._settings
        return Clouds(
            secrets=partial(secret_of, kube, settings.namespace),
            may_write=may_write,
            on_report=reported,
            backoff=Backoff(first=1.0, longest=settings.backoff_longest),
            chance=_CHANCE,
            resync_seconds=settings.resync_seconds,
        )

    def _applier(self, kube: Kube, cache: Cache, *, leading: Leading, seen: Callable[[Reference], None]) -> Applier:
        settings = self._settings
        series = Series(clock=time.monotonic)
        events = EventWriter(kube, series, identity=settings.identity, on_dropped=self._metrics.dropped)
        return Applier(kube, cache, events, namespace=settings.namespace, may_write=leading.holds, on_seen=seen)

    def _reconciling(self, cache: Cache, applier: Applier, *, repair: Repair, clouds: Clouds) -> Reconciler:
        settings = self._settings
        queue: Queue[Reference] = Queue(
            clock=time.monotonic,
            chance=_CHANCE,
            coalesce=settings.coalesce_seconds,
            backoff=Backoff(first=settings.backoff_first, longest=settings.backoff_longest),
        )
        settling: Settling[Reference] = Settling(
            clock=time.monotonic, quiet=settings.status_quiet, longest=settings.status_longest
        )
        return Reconciler(
            cache,
            queue,
            applier,
            repair,
            self._metrics,
            writers=settings.writers,
            settling=settling,
            clouds=clouds.want,
        )

    async def _load(self, repair: Repair) -> None:
        pause = self._settings.retry_seconds
        while True:
            try:
                await repair.load()
            except ApiFailed as failed:
                _LOG.warning("the cluster could not be read, next try in %g s: %s", pause, failed)
                await asyncio.sleep(pause)
            else:
                return

    async def _passes(self, reconciler: Reconciler) -> None:
        """Passes until cancelled; the write in flight then is finished, if it does not take too long."""
        reconciler.look_at_everything()
        running = asyncio.create_task(reconciler.run())
        try:
            await asyncio.shield(running)
        finally:
            reconciler.stop()
            await asyncio.wait({running}, timeout=_LAST_WRITE)
            await _end(running)

    async def _resync(self, repair: Repair, reconciler: Reconciler) -> None:
        # The first time soon: what was deleted between our list and the watch's own.
        await asyncio.sleep(min(5.0, self._settings.resync_seconds))
        while True:
            try:
                await repair.compare()
            except ApiFailed as failed:
                _LOG.warning("the comparison with the API server failed: %s", failed)
            await asyncio.sleep(self._settings.resync_seconds * (0.9 + 0.2 * _CHANCE()))
            reconciler.look_at_everything()

    def _unhealthy(self) -> str:
        busy = self._reconciler.busy_seconds() if self._reconciler else 0.0
        return f"a pass has been running for {busy:.0f} s" if busy > STUCK else ""

    def _unready(self) -> str:
        return "the cluster has not been read yet" if self._leads and not self._synced else ""


async def _until(ended: asyncio.Future[None]) -> None:
    await ended
    raise RuntimeError("watching ended")


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and wait; what a task died of is logged, unless it was this."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            _LOG.error("%s", result, exc_info=result)


async def _main(settings: Settings) -> int:
    operator = Operator(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, operator.stop)
    return await operator.run()


def main() -> int:
    """Entry point of `havip run operator`. Exit code 2 = a setting is wrong."""
    try:
        settings = Settings.from_env(os.environ)
    except Refused as refused:
        sys.stderr.write(f"havip operator: {refused}\n")
        return 2
    logs.configure(settings.log_level)
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_main(settings))
    return 0
