"""Brings haproxy to what the node's orders say, as far as it goes, and says what could not be done.

Level-triggered: every round asks haproxy what it runs and does the next thing that is missing, so it does not matter
whether the agent, haproxy or both were restarted in between. A file is put in place only after the binary took it;
what the binary or a reload refuses is left out by itself, and the last file haproxy really ran comes back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from havip.agent.desired import Desired
from havip.agent.haproxy import master, membership, ports, runtime
from havip.agent.haproxy.check import CannotCheck
from havip.agent.haproxy.context import BackendSection, Configuration, FrontendSection, configure, empty_backend
from havip.agent.haproxy.files import Files
from havip.agent.haproxy.narrowing import narrow
from havip.agent.haproxy.refusals import Refusals, Section
from havip.agent.haproxy.sockets import SocketAway
from havip.model.keys import Key
from havip.model.node import PoolReport
from havip.model.paths import Folders
from havip.model.refusal import LeftOut

RETRY_SECONDS = 60.0
"""When what the binary refused is tried again, although nothing of it changed."""
RELOAD_RETRY_SECONDS = 1800.0
"""The same for what a reload refused. A failed one is not free: while it tries to bind, haproxy pauses the listeners of
the old worker, and for 2.3 s no new connection is answered (measured, 2.6 and 3.0)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BalancerState:
    """What the local haproxy does. `generation`: of the orders this is about; `error` is about all of it."""

    generation: int = 0
    version: str = ""
    error: str = ""
    pools: tuple[PoolReport, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def servers(self) -> int:
        return sum(pool.total for pool in self.pools)


class _Refused(Exception):
    """haproxy will not have the configuration as a whole."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One round's end. `served` is what of the orders runs now, or is in the file that haproxy will start with."""

    served: Configuration
    running: runtime.Running | None
    taken: tuple[LeftOut, ...] = ()
    error: str = ""


class Balancer:
    """One per agent; rounds must not overlap. `clock` in seconds, monotonic."""

    def __init__(self, folders: Folders, *, binary: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folders = folders
        self._files = Files(folders, binary=binary)
        self._gate = ports.Gate(clock)
        self._refusals = Refusals(clock)
        self._desired: Desired | None = None
        self._configured: tuple[Configuration, tuple[LeftOut, ...]] = (Configuration(), ())
        self._held: tuple[str, frozenset[str]] = ("", frozenset())
        self._applied: dict[Key, BackendSection] = {}
        self._digests: dict[Key, str] = {}
        self._version = ""
        self._steady: _Steady | None = None
        self.reloads = 0

    async def round(self, desired: Desired) -> BalancerState:
        """One look at haproxy, and whatever has to be done. Never raises for what haproxy or the node does."""
        if desired is not self._desired:
            self._desired, self._configured = desired, configure(desired)
            self._gate.look_again()
        self._refusals.expire()
        running = await self._observe()
        if self._steady is not None and self._steady.still(desired, running):
            return self._steady.state
        configuration, invalid = self._configured
        outcome = await self._attempt(configuration, running)
        state = BalancerState(
            generation=desired.generation,
            version=self._version,
            error=outcome.error or ("" if outcome.running else "haproxy does not answer on its runtime socket"),
            pools=self._report(desired, outcome),
            left_out=(*invalid, *outcome.taken, *self._refusals.left_out(configuration)),
        )
        self._steady = _steady(desired, configuration, outcome, state)
        return state

    async def _observe(self) -> runtime.Running | None:
        """What haproxy runs; None while it is not there, and then it will start with the file we write."""
        try:
            running = await runtime.observe(self._folders.haproxy_runtime_socket)
        except SocketAway as away:
            _log.debug("%s", away)
            return None
        self._version = running.version
        self._files.found_running(running.digest)
        return running

    async def _attempt(self, configuration: Configuration, running: runtime.Running | None) -> _Outcome:
        wanted = configuration
        taken: tuple[LeftOut, ...] = ()
        try:
            wanted, taken = await self._possible(configuration, running)
            past = self._refusals.given_up(wanted)
            if past:
                return _Outcome(configuration, running, taken, past)
            running, served = await self._bring(wanted, running)
        except (CannotCheck, master.ReloadFailed, _Refused) as problem:
            self._refusals.give_up(wanted, str(problem))
            return _Outcome(configuration, running, taken, str(problem))
        except (SocketAway, OSError) as problem:
            return _Outcome(configuration, running, taken, str(problem))
        return _Outcome(served, running, taken)

    async def _possible(
        self, configuration: Configuration, running: runtime.Running | None
    ) -> tuple[Configuration, tuple[LeftOut, ...]]:
        """`configuration` without what was refused before and without ports that somebody else has."""
        wanted = self._refusals.without(configuration, self._applied)
        held = await self._holds(running)
        taken = self._gate.taken(front for front in wanted.frontends if front.name not in held)
        free = {front.name for front in wanted.frontends if front not in taken}
        return wanted.with_frontends(free), tuple(taken.values())

    async def _holds(self, running: runtime.Running | None) -> frozenset[str]:
        """The front ends whose ports are taken by nobody but the haproxy that runs now."""
        if running is None:
            return frozenset()
        if self._held[0] != running.digest:
            self._held = (running.digest, await runtime.frontends(self._folders.haproxy_runtime_socket))
        return self._held[1]

    # --- from wanted to running ---

    async def _bring(
        self, wanted: Configuration, running: runtime.Running | None
    ) -> tuple[runtime.Running | None, Configuration]:
        """What runs now, and which part of `wanted` that is."""
        if running is not None and running.digest == self._files.render(wanted)[1]:
            after = await self._members(wanted, running)
            if after is not None:
                await self._files.put(wanted)
                self._files.runs(wanted)
                return after, wanted
            _log.warning("haproxy did not take the new servers at runtime: it is reloaded")
        wanted = await self._checked(wanted)
        if running is None:
            return None, wanted
        return await self._load(wanted, running)

    async def _members(self, wanted: Configuration, running: runtime.Running) -> runtime.Running | None:
        """Servers by the runtime socket; None when haproxy will not come to it that way."""
        socket = self._folders.haproxy_runtime_socket
        changes = membership.commands(wanted, running.servers)
        if not changes:
            return running
        answers = await runtime.tell(socket, changes)
        after = await runtime.observe(socket)
        if membership.settled(wanted, after.servers):
            return after
        _log.warning("haproxy answered to server changes: %s", answers[:500])
        return None

    async def _checked(self, wanted: Configuration) -> Configuration:
        """Puts the file for as much of `wanted` in place as the binary takes."""
        refusal = await self._files.put(wanted)
        if not refusal:
            return wanted
        base = Configuration((), tuple(empty_backend(backend.pool) for backend in wanted.backends))
        if await self._files.refusal(base):
            raise _Refused(f"haproxy -c refuses every configuration: {refusal}")
        await self._narrow(wanted.backends, base)
        wanted = self._refusals.without(wanted, self._applied)
        await self._narrow(wanted.frontends, wanted.with_frontends(()))
        wanted = self._refusals.without(wanted, self._applied)
        refusal = await self._files.put(wanted)
        if refusal:
            raise _Refused(f"haproxy -c refuses the configuration: {refusal}")
        return wanted

    async def _narrow(self, sections: Sequence[Section], base: Configuration) -> None:
        refused = await narrow(sections, _Trial(base, self._files.refusal).refusal)
        self._refusals.remember(refused.items(), seconds=RETRY_SECONDS)

    async def _load(self, wanted: Configuration, running: runtime.Running) -> tuple[runtime.Running, Configuration]:
        """Reloads; what cannot be bound although its port looked free is found and left out."""
        try:
            return await self._reload(wanted, running), wanted
        except master.ReloadFailed as failed:
            _log.warning("reload failed: %s", failed)
            first = failed
        held = await self._holds(running)
        fresh = [front for front in wanted.frontends if front.name not in held]
        self._gate.look_again()
        if self._gate.taken(fresh):
            raise first  # the next round leaves them out by name
        guilty = {front: str(first) for front in fresh if front.name in first.frontends}
        if not guilty:
            trial = _Trial(wanted.with_frontends(held), self._reload_refusal(running))
            guilty = await narrow(fresh, trial.refusal, known=str(first))
        if not guilty:
            raise first
        self._refusals.remember(guilty.items(), seconds=RELOAD_RETRY_SECONDS)
        wanted = self._refusals.without(wanted, self._applied)
        running = await runtime.observe(self._folders.haproxy_runtime_socket)
        if running.digest == self._files.render(wanted)[1]:
            await self._files.put(wanted)
            return running, wanted
        return await self._reload(wanted, running), wanted

    def _reload_refusal(self, running: runtime.Running) -> Callable[[Configuration], Awaitable[str]]:
        async def refusal(trial: Configuration) -> str:
            try:
                await self._reload(trial, running)
            except master.ReloadFailed as failed:
                return str(failed)
            return ""

        return refusal

    async def _reload(self, wanted: Configuration, running: runtime.Running) -> runtime.Running:
        """Raises `ReloadFailed` after the last good file is back in its place."""
        refusal = await self._files.put(wanted)
        if refusal:
            raise master.ReloadFailed(refusal)
        folders = self._folders
        digest = self._files.render(wanted)[1]
        self._files.hand_over_servers(running.servers_text)
        try:
            after = await master.reload(
                folders.haproxy_master_socket, folders.haproxy_runtime_socket, digest=digest, before=running.pid
            )
        except master.ReloadFailed:
            self._files.bring_back()
            raise
        finally:
            self._files.forget_servers()
        self.reloads += 1
        self._files.runs(wanted)
        self._held = (digest, frozenset(front.name for front in wanted.frontends))
        _log.info("haproxy reloaded: %d front ends, %d pools", len(wanted.frontends), len(wanted.backends))
        settled = await self._members(wanted, after)
        if settled is None:
            raise _Refused("haproxy runs the configuration, and not its servers as they should be")
        return settled

    # --- what is said about it ---

    def _report(self, desired: Desired, outcome: _Outcome) -> tuple[PoolReport, ...]:
        ordered = {backend.pool: backend for backend in self._configured[0].backends}
        running = {} if outcome.running is None else outcome.running.servers
        reports = []
        for backend in outcome.served.backends:
            # Only the form that is in the orders may carry their digest, and only once haproxy runs it.
            if outcome.running and not outcome.error and ordered[backend.pool] == backend:
                order = desired.pools.get(backend.pool)
                self._applied[backend.pool] = backend
                self._digests[backend.pool] = "" if order is None else order.digest
            has = running.get(backend.name, {})
            names = membership.names(backend)
            up = sum(1 for name in names if name in has and has[name].up)
            reports.append(PoolReport(backend.pool, self._digests.get(backend.pool, ""), up, len(names)))
        return tuple(reports)


@dataclass(frozen=True, slots=True)
class _Steady:
    """A round after which nothing was left to do, so that the next one may stop at seeing the same."""

    desired: Desired
    running: runtime.Running
    state: BalancerState

    def still(self, desired: Desired, running: runtime.Running | None) -> bool:
        return (
            running is not None
            and desired is self.desired
            and (running.digest, running.pid) == (self.running.digest, self.running.pid)
            and running.servers == self.running.servers
        )


def _steady(desired: Desired, configuration: Configuration, outcome: _Outcome, state: BalancerState) -> _Steady | None:
    running = outcome.running
    if running is None or outcome.error or outcome.served != configuration:
        return None
    # A server that left and still has connections is to be deleted later on.
    return None if membership.commands(configuration, running.servers) else _Steady(desired, running, state)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A configuration that works, and the question whether it still does with more in it."""

    base: Configuration
    ask: Callable[[Configuration], Awaitable[str]]

    async def refusal(self, sections: Sequence[Section]) -> str:
        backends = {item.pool: item for item in sections if isinstance(item, BackendSection)}
        frontends = [*self.base.frontends, *(item for item in sections if isinstance(item, FrontendSection))]
        return await self.ask(
            Configuration(
                tuple(sorted(frontends, key=lambda front: front.name)),
                tuple(backends.get(backend.pool, backend) for backend in self.base.backends),
            )
        )
