"""Which replica leads: one Lease, elected by hand. Two leaders at once is the one thing that must not happen here.

Own code because `kubernetes.aio`'s LeaseLock (37.0.2) cannot create its Lease, compares wall clocks of two machines
and never releases. Time is the local monotonic clock only: a Lease counts as abandoned when *we* have not seen it
change for its duration. The leader stops writing before that: `renew_deadline` is shorter than `lease_seconds`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from havip.controller.kube import ApiFailed, Body
from havip.controller.resources import LEASES, Resource
from havip.model.keys import Key

_LOG = logging.getLogger(__name__)


class LeaseApi(Protocol):
    """The three calls an election needs; `Kube` has them."""

    async def get(self, resource: Resource, key: Key) -> Body: ...

    async def create(self, resource: Resource, body: Body) -> Body: ...

    async def replace(self, resource: Resource, body: Body) -> Body: ...


class Leading:
    """One candidate. Times in seconds; `clock` is monotonic, `chance` gives 0..1 for jitter."""

    def __init__(
        self,
        api: LeaseApi,
        lease: Key,
        *,
        identity: str,
        lease_seconds: float,
        renew_deadline: float,
        retry_seconds: float,
        clock: Callable[[], float],
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._key = lease
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._renew_deadline = renew_deadline
        self._retry = retry_seconds
        self._clock = clock
        self._chance = chance
        self._sleep = sleep
        self._seen: Body = {}
        self._seen_at = 0.0
        self._until = 0.0

    def holds(self) -> bool:
        """Whether this process may write now: its last renewal was *sent* less than the renew deadline ago."""
        return self._clock() < self._until

    async def acquire(self) -> None:
        """Returns when this process leads."""
        while not await self._try():
            await self._sleep(self._retry * (1 + 0.2 * self._chance()))

    async def keep(self) -> None:
        """Renews; returns when the lead is lost, which the process must not outlive."""
        while self.holds():
            deadline = self._until
            # Half the deadline leaves time for retries before it passes; a failed try comes again sooner.
            pause = self._renew_deadline / 2 if await self._try() else min(self._retry, self._renew_deadline / 4)
            if self._clock() >= deadline:
                # The answer came too late: meanwhile writes were held back, and others may have acted on it.
                self._until = 0.0
                return
            await self._sleep(min(pause, max(0.0, self._until - self._clock())))

    async def release(self) -> None:
        """Let another one lead at once. Failing is no harm: the Lease runs out by itself."""
        if not self.holds():
            return
        self._until = 0.0
        try:
            async with asyncio.timeout(1.0):
                await self._api.replace(LEASES, self._claim(holder="", seconds=1))
        except (ApiFailed, TimeoutError) as error:
            _LOG.warning("the Lease was not released: %s", error, extra={"object": f"Lease {self._key}"})

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease."""
        sent = self._clock()
        try:
            # Never longer than until our own deadline: an answer after it is worth nothing.
            async with asyncio.timeout(max(0.05, self._until - sent) if self.holds() else self._renew_deadline):
                taken = await self._take()
        except (ApiFailed, TimeoutError) as error:
            _LOG.info(
                "the Lease could not be written: %s",
                error or type(error).__name__,
                extra={"object": f"Lease {self._key}"},
            )
            return False
        if taken:
            self._until = sent + self._renew_deadline
        return taken and self.holds()

    async def _take(self) -> bool:
        if self.holds():
            try:
                # What we wrote last is what is there, unless somebody meddled: one call instead of two.
                return self._note(await self._api.replace(LEASES, self._claim(holder=self._identity)))
            except ApiFailed as failed:
                if not (failed.conflict or failed.gone):
                    raise
        try:
            lease = await self._api.get(LEASES, self._key)
        except ApiFailed as failed:
            if not failed.gone:
                raise
            self._seen = {}
            return self._note(await self._api.create(LEASES, self._claim(holder=self._identity)))
        self._look(lease)
        if not self._free():
            self._until = 0.0
            return False
        return self._note(await self._api.replace(LEASES, self._claim(holder=self._identity)))

    def _look(self, lease: Body) -> None:
        if lease["metadata"]["resourceVersion"] != (self._seen.get("metadata") or {}).get("resourceVersion"):
            self._seen, self._seen_at = lease, self._clock()

    def _note(self, lease: Body) -> bool:
        self._seen, self._seen_at = lease, self._clock()
        return True

    def _free(self) -> bool:
        spec = self._seen.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return True
        return self._clock() >= self._seen_at + float(spec.get("leaseDurationSeconds") or self._lease_seconds)

    def _claim(self, *, holder: str, seconds: float | None = None) -> Body:
        before = self._seen.get("spec") or {}
        changed = bool(holder) and before.get("holderIdentity") != holder
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        metadata: Body = {"namespace": self._key.namespace, "name": self._key.name}
        if self._seen:
            metadata["resourceVersion"] = self._seen["metadata"]["resourceVersion"]
        return {
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": max(1, math.ceil(seconds or self._lease_seconds)),
                "acquireTime": now if changed else before.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + int(changed and bool(self._seen)),
            },
        }
