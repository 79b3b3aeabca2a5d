"""Calls the clouds: one worker per class brings its cloud from what it is to what the class wants.

Here, and nowhere else, provider code runs in threads: an SDK call must never hold the loop that renews the Lease, and
never more than a few may be under way. A worker looks when the wish changes, after its own writes, a while after a
switch where the cloud shows who holds a VIP, and every ten minutes; between, it is silent.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from havip.controller.kube import ApiFailed
from havip.controller.queue import Backoff
from havip.controller.switches import Switches
from havip.model.cloud import Wanted, WantedVip
from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.plan.cloud_report import CloudReport, Trouble
from havip.plan.clouds import CloudWish
from havip.provider import (
    Change,
    Cloud,
    CloudFailed,
    Conflict,
    Credentials,
    Failover,
    Forbidden,
    Invalid,
    NoSuchProvider,
    NotFound,
    Plan,
    Provider,
    ProviderBroken,
    Throttled,
    Unavailable,
    find,
)

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
RESYNC_SECONDS = 600.0
HOPELESS_SECONDS = 60.0
"""Until the next try where trying alone does not help: somebody may have mended it (a permission, a quota)."""
SEEN_AFTER_SECONDS = 10.0
"""After a switch, a cloud that shows holders is asked this much later; and again, while it shows another node."""
ENDING_SECONDS = 8.0
"""How long a call under way is waited for at the end; the pod's grace period is 20 s."""
_ROUNDS = 6
"""Looks in a row after own writes; a provider that has still something to do then gets the back-off."""
_CALLS = 8
_REASONS: dict[type[CloudFailed], str] = {
    Throttled: "Throttled",
    Conflict: "Conflict",
    Unavailable: "CloudUnavailable",
    Forbidden: "Forbidden",
    NotFound: "CloudObjectNotFound",
    Invalid: "RefusedByCloud",
}

Secrets = Callable[[str], Awaitable[dict[str, str]]]
"""The values of a Secret of the operator's namespace, by its name. Raises `ApiFailed`."""


class Clouds:
    """Workers by class. `may_write` is asked before each change; `on_report` is called in the loop, with every report
    that is news."""

    def __init__(
        self,
        *,
        secrets: Secrets,
        may_write: Callable[[], bool],
        on_report: Callable[[str, CloudReport | None], None],
        backoff: Backoff,
        chance: Callable[[], float],
        find: Callable[[str], Provider[Any, Any]] = find,
        resync_seconds: float = RESYNC_SECONDS,
        seen_after_seconds: float = SEEN_AFTER_SECONDS,
        ending_seconds: float = ENDING_SECONDS,
    ) -> None:
        self._secrets = secrets
        self.may_write = may_write
        self.on_report = on_report
        self._backoff = backoff
        self._chance = chance
        self.find = find
        self.resync_seconds = resync_seconds
        self.seen_after_seconds = seen_after_seconds
        self.ending_seconds = ending_seconds
        self._workers: dict[str, _Worker] = {}
        self._calls: set[Future[Any]] = set()
        self._threads = ThreadPoolExecutor(max_workers=_CALLS, thread_name_prefix="cloud")
        self._objects: dict[str, asyncio.Lock] = {}

    def want(self, wishes: Mapping[str, CloudWish]) -> None:
        """The wishes of all classes that have a cloud, by class. A class that is not among them any more is left."""
        for name in set(self._workers) - set(wishes):
            self._workers.pop(name).end()
            self.on_report(name, None)
        for name, wish in wishes.items():
            worker = self._workers.get(name)
            if worker is None:
                worker = self._workers[name] = _Worker(self, name, wish)
            worker.want(wish)

    async def close(self) -> None:
        """End all workers, and wait a while for calls that are under way: whoever leads next must not write beside
        them, since not every cloud knows what was written over."""
        ended = [worker.end() for worker in self._workers.values()]
        self._workers.clear()
        await asyncio.gather(*ended, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        under_way = map(asyncio.wrap_future, tuple(self._calls))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.ending_seconds):
                await asyncio.gather(*under_way, return_exceptions=True)

    # -- for the workers --------------------------------------------------------------------------------------

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run a provider's blocking work in a thread."""
        call = self._threads.submit(work, *args)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(call)

    def lock(self, provider: str, name: str) -> asyncio.Lock:
        """One writer per cloud object, whichever class it writes for."""
        return self._objects.setdefault(f"{provider} {name.lower()}", asyncio.Lock())

    async def credentials(self, secret: str) -> Credentials:
        return Credentials(await self._secrets(secret) if secret else None)

    def pause(self, failures: int) -> float:
        return self._backoff.delay(failures, self._chance())


@dataclass(slots=True)
class _Link:
    """A connection and what it was made of."""

    cloud: Cloud[Any, Any]
    wish: CloudWish
    digest: str


@dataclass(slots=True, eq=False)
class _Worker:
    """One class's cloud side."""

    clouds: Clouds
    name: str
    wish: CloudWish
    _awake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _link: _Link | None = None
    _failures: int = 0
    _not_before: float = 0.0
    """The cloud has asked not to be called until then, of the monotonic clock."""
    _carried: dict[Key, WantedVip] = field(default_factory=dict)
    """Each VIP as it was when the cloud had all of it."""
    _last: CloudReport | None = None
    _switches: Switches = field(init=False)
    _announce: dict[Key, int] = field(default_factory=dict)
    """When each VIP was last to be announced again, in seconds since 1970."""

    def __post_init__(self) -> None:
        self._switches = Switches(self.clouds.seen_after_seconds)

    def want(self, wish: CloudWish) -> None:
        before, self.wish = self.wish, wish
        if self._switches.note(wish.active, time.monotonic()) and self._shows_holder():
            self._look_after_a_switch()
        if self._task is not None and wish == before:
            return
        self._failures = 0
        self._awake.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"cloud of {self.name}")

    def end(self) -> asyncio.Task[None]:
        assert self._task is not None  # noqa: S101 - made with the first wish
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        try:
            while True:
                self._awake.clear()
                wait = await self._pass()
                try:
                    async with asyncio.timeout(wait):
                        await self._awake.wait()
                except TimeoutError:
                    continue
                # Another wish is no reason to ask a cloud that said when to come again.
                await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
        finally:
            self._unlink()

    def _shows_holder(self) -> bool:
        try:
            return self.clouds.find(self.wish.provider).capabilities.shows_holder
        except (NoSuchProvider, ProviderBroken):
            return False

    def _look_after_a_switch(self) -> None:
        asyncio.get_running_loop().call_later(self.clouds.seen_after_seconds, self._awake.set)

    async def _pass(self) -> float:
        """Bring the cloud nearer; seconds until the next look if nothing happens."""
        wish = self.wish
        try:
            await self._reach(wish)
        except (CloudFailed, ApiFailed, Refused, NoSuchProvider, ProviderBroken) as failed:
            return self._failed(wish, failed)
        except Exception as error:
            # A provider's defect must not end the others' workers; what it says may hold anything, so it is not shown.
            return self._failed(
                wish, Unavailable(f"the provider stumbled over {type(error).__name__} at {_place(error)}")
            )
        self._failures = 0
        return self.clouds.resync_seconds

    async def _reach(self, wish: CloudWish) -> None:
        provider = self.clouds.find(wish.provider)
        desired = provider.adjust(wish.wanted)
        cloud = await self._linked(provider, wish)
        for _ in range(_ROUNDS):
            observed = await self.clouds.call(cloud.observe, desired)
            plan = provider.plan(desired, observed)
            self._report(self._of_plan(wish.wanted, plan))
            if not plan.changes:
                return
            await self._carry_out(wish.provider, cloud, plan.changes)
            if provider.capabilities.failover is Failover.BY_ANNOUNCEMENT:
                # What was announced before the cloud knew the address was not believed.
                self._announce_again(key for change in plan.changes for key in change.havips)
            if self.wish != wish:
                return  # `want` has set the alarm
        raise Conflict(f"after {_ROUNDS} looks there is still something to do: {plan.changes[0]}")

    async def _linked(self, provider: Provider[Any, Any], wish: CloudWish) -> Cloud[Any, Any]:
        """The connection; a new one after another credential, endpoint or provider."""
        credentials = await self.clouds.credentials(wish.secret)
        link = self._link
        if link is not None and link.digest == credentials.digest and _same_place(link.wish, wish):
            return link.cloud
        self._unlink()
        cloud = await self.clouds.call(provider.connect, wish.wanted, credentials)
        self._link = _Link(cloud, wish, credentials.digest)
        return cloud

    def _unlink(self) -> None:
        if self._link is not None:
            self._link.cloud.close()
            self._link = None

    async def _carry_out(self, provider: str, cloud: Cloud[Any, Any], changes: Sequence[Change]) -> None:
        for _, stage in itertools.groupby(changes, lambda change: change.stage):
            results = await asyncio.gather(
                *(self._one(provider, cloud, change) for change in stage), return_exceptions=True
            )
            _raise_first(results)

    async def _one(self, provider: str, cloud: Cloud[Any, Any], change: Change) -> None:
        async with self.clouds.lock(provider, change.on):
            if not self.clouds.may_write():
                raise Unavailable("this replica does not hold the lead any more, so it writes nothing")
            _LOG.info("%s", change, extra={"object": f"HAVipClass {self.name}"})
            await self.clouds.call(cloud.apply, change)

    def _failed(self, wish: CloudWish, failed: Exception) -> float:
        self._failures += 1
        hopeful = isinstance(failed, ApiFailed) or (isinstance(failed, CloudFailed) and failed.again)
        if isinstance(failed, Forbidden):
            self._unlink()  # a token may have been taken back; the next one is made of what the Secret says then
        last = self._last
        trouble = Trouble(reason_of(failed), getattr(failed, "message", "") or str(failed))
        before = last if last is not None and last.wanted == wish.wanted else CloudReport(wish.wanted, looked=False)
        self._report(replace(before, trouble=trouble, carried=dict(self._carried)))
        asked = (failed.wait or 0.0) if isinstance(failed, CloudFailed) else 0.0
        self._not_before = time.monotonic() + asked
        wait = max(asked, self.clouds.pause(self._failures) if hopeful else HOPELESS_SECONDS)
        _LOG.warning(
            "the cloud: %s; next try in %.1f s", trouble.message, wait, extra={"object": f"HAVipClass {self.name}"}
        )
        return wait

    def _announce_again(self, havips: Iterable[Key]) -> None:
        self._announce |= dict.fromkeys(havips, int(time.time()))

    def _of_plan(self, wanted: Wanted, plan: Plan) -> CloudReport:
        blocked: dict[Key, Trouble] = {}
        for one in plan.findings:
            if one.blocks and one.havip is not None:
                blocked.setdefault(one.havip, Trouble("NotProgrammable", str(one)))
        shown = self._switches.shown(plan.holders, time.monotonic())
        if unheard := self._switches.to_tell(shown):
            self._announce_again(unheard)
            self._look_after_a_switch()
        mine = {vip.havip for vip in wanted.vips}
        report = CloudReport(
            wanted,
            looked=True,
            pending=frozenset(key for change in plan.changes for key in change.havips),
            unnamed=not all(change.havips for change in plan.changes),
            blocked=blocked,
            warnings=tuple(str(one) for one in plan.findings if not one.blocks or one.havip is None),
            shown=shown,
            announce={key: moment for key, moment in self._announce.items() if key in mine},
        )
        known = {key: vip for key, vip in self._carried.items() if key in mine}
        self._carried = known | {vip.havip: vip for vip in wanted.vips if report.carries(vip.havip)}
        return replace(report, carried=dict(self._carried))

    def _report(self, report: CloudReport) -> None:
        if report != self._last:
            self._last = report
            self.clouds.on_report(self.name, report)


def _place(error: Exception) -> str:
    """Where it was raised, by file and line: a traceback would print the message as well."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"


def _same_place(one: CloudWish, other: CloudWish) -> bool:
    return (one.provider, one.wanted.settings, one.wanted.owner) == (
        other.provider,
        other.wanted.settings,
        other.wanted.owner,
    )


def _raise_first(results: Iterable[BaseException | None]) -> None:
    """The failures of one stage: all of it was tried, the first one is told."""
    for result in results:
        if isinstance(result, BaseException):
            raise result


def reason_of(failed: Exception) -> str:
    """One word for programs, as conditions have it."""
    if isinstance(failed, NoSuchProvider | ProviderBroken):
        return "ProviderMissing"
    if isinstance(failed, ApiFailed | Refused):
        return "SecretNotReadable"
    return next((word for kind, word in _REASONS.items() if isinstance(failed, kind)), "CloudFailed")
