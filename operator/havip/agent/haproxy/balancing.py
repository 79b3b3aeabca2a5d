"""Brings haproxy to what the node's orders say, as far as it goes, and says what could not be done.

Level-triggered: every round asks haproxy what it runs and does the next thing that is missing, so it does not matter
whether the agent, haproxy or both were restarted in between. A file is put in place only after the binary took it;
what the binary or a reload refuses is left out by itself, and the last file haproxy really ran comes back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from havip.agent import writing
from havip.agent.desired import Desired
from havip.agent.haproxy import check, master, membership, ports, runtime
from havip.agent.haproxy.context import BackendSection, Configuration, FrontendSection, configure, empty_backend
from havip.agent.haproxy.narrowing import narrow
from havip.agent.haproxy.render import STATE_FILE, render, structure_digest
from havip.agent.haproxy.sockets import SocketAway
from havip.model.keys import Key
from havip.model.node import PoolReport
from havip.model.paths import Folders
from havip.model.refusal import LeftOut

LISTENING_SECONDS = 3.0
"""How old the list of listening sockets may be: on a node with many connections it is not cheap to read."""
RETRY_SECONDS = 60.0
"""When what the binary refused is tried again, although nothing of it changed."""
RELOAD_RETRY_SECONDS = 1800.0
"""The same for what a reload refused. A failed one is not free: while it tries to bind, haproxy pauses
the listeners of the old worker, and for 2.3 s no new connection is answered (measured, 2.6 and 3.0)."""
GIVEN_UP_SECONDS = 60.0
"""When a configuration that failed as a whole is tried again: each attempt costs processes, or a failed reload."""
NO_STATE = b"1\n"
"""A server state file that says nothing: haproxy warns when it is not there."""

_log = logging.getLogger(__name__)
_Section = FrontendSection | BackendSection


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
    """The binary will not take a file."""


class _StillRefused(Exception):
    """The same as before; nothing was tried."""


def prepare(folders: Folders) -> None:
    """Writes the built-in empty configuration where there is none: haproxy starts before the agent knows anything."""
    if writing.current(folders.haproxy_config / STATE_FILE) is None:
        writing.replace(folders.haproxy_config / STATE_FILE, NO_STATE)
    if writing.current(folders.haproxy_config_file) is None:
        writing.replace(folders.haproxy_config_file, render(Configuration(), folders).encode())


class Balancer:
    """One per agent; rounds must not overlap."""

    def __init__(self, folders: Folders, *, binary: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folders = folders
        self._binary = binary
        self._clock = clock
        self._desired: Desired | None = None
        self._configured: tuple[Configuration, tuple[LeftOut, ...]] = (Configuration(), ())
        self._rendered: tuple[Configuration, bytes, str] | None = None
        self._loaded: tuple[str, frozenset[str]] | None = None
        self._listening = ports.Listening()
        self._listened: float | None = None
        self._refused: dict[_Section, str] = {}
        self._refused_until = 0.0
        self._applied: dict[Key, tuple[BackendSection, str]] = {}
        self._good: bytes | None = None
        self._given_up: _GivenUp | None = None
        self._version = ""
        self._steady: _Steady | None = None
        self.reloads = 0

    async def round(self, desired: Desired) -> BalancerState:
        """One look at haproxy, and whatever has to be done. Never raises for what haproxy or the node does."""
        if desired is not self._desired:
            self._desired, self._configured, self._listened = desired, configure(desired), None
        if self._clock() >= self._refused_until:
            self._refused.clear()
        error = ""
        running = await self._observe()
        if self._steady is not None and self._steady.still(desired, running):
            return self._steady.state
        self._steady = None
        configuration, left_out = self._configured
        asked = configuration
        try:
            wanted, taken = await self._possible(configuration, running)
            asked = wanted
            self._not_given_up(asked)
            running, wanted = await self._bring(wanted, running)
            left_out = (*left_out, *taken, *self._refusals(configuration))
        except (SocketAway, check.CannotCheck, master.ReloadFailed, _Refused, _StillRefused, OSError) as problem:
            error = str(problem)
            self._give_up(asked, problem)
            left_out = (*left_out, *self._refusals(configuration))
            wanted = configuration
        state = BalancerState(
            generation=desired.generation,
            version=self._version,
            error=error or ("" if running else "haproxy does not answer on its runtime socket"),
            pools=self._pools(desired, wanted, running),
            left_out=left_out,
        )
        if running and not error and wanted == configuration and not membership.commands(wanted, running.servers):
            self._steady = _Steady(desired, running, state)
        return state

    async def _observe(self) -> runtime.Running | None:
        """What haproxy runs; None while it is not there, and then it will start with the file we write."""
        try:
            running = await runtime.observe(self._folders.haproxy_runtime_socket)
        except SocketAway as away:
            _log.debug("%s", away)
            return None
        self._version = running.version
        return running

    async def _possible(
        self, configuration: Configuration, running: runtime.Running | None
    ) -> tuple[Configuration, tuple[LeftOut, ...]]:
        """`configuration` without what was refused before and without ports that somebody else has."""
        wanted = self._without_refused(configuration)
        held = await self._held(running)
        missing = [front for front in wanted.frontends if front.name not in held]
        taken = self._taken(missing)
        keep = {front.name for front in wanted.frontends} - {front.name for front, _ in taken}
        return wanted.with_frontends(keep), tuple(left_out for _, left_out in taken)

    async def _held(self, running: runtime.Running | None) -> frozenset[str]:
        """The front ends whose ports are taken by nobody but the haproxy that runs now."""
        if running is None:
            return frozenset()
        if self._loaded is None or self._loaded[0] != running.digest:
            self._loaded = (running.digest, await runtime.frontends(self._folders.haproxy_runtime_socket))
        return self._loaded[1]

    def _taken(self, missing: list[FrontendSection]) -> list[tuple[FrontendSection, LeftOut]]:
        if not missing:
            return []
        now = self._clock()
        if self._listened is None or now - self._listened >= LISTENING_SECONDS:
            self._listening, self._listened = ports.listening(), now
        out = []
        for front in missing:
            other = self._listening.in_the_way(front.address, front.port)
            if other is not None:
                where = f"[{other}]" if other.version == 6 else str(other)
                message = f"port {front.port} is taken on this node: another process listens on {where}:{front.port}"
                out.append((front, front.left_out("PortTaken", message)))
        return out

    # --- what failed as a whole ---

    def _not_given_up(self, wanted: Configuration) -> None:
        """Raises what the last attempt at the very same said, until it is worth another one."""
        past = self._given_up
        if past is not None and past.wanted == wanted and self._clock() < past.until:
            raise _StillRefused(past.message)

    def _give_up(self, wanted: Configuration, problem: Exception) -> None:
        if isinstance(problem, check.CannotCheck | master.ReloadFailed | _Refused):
            self._given_up = _GivenUp(wanted, str(problem), self._clock() + GIVEN_UP_SECONDS)

    # --- from wanted to running ---

    async def _bring(
        self, wanted: Configuration, running: runtime.Running | None
    ) -> tuple[runtime.Running | None, Configuration]:
        """Returns what runs now and which part of `wanted` that is."""
        text, digest = self._render(wanted)
        if running is not None and running.digest == digest:
            self._refine_good(text)
            after = await self._members(wanted, running)
            if after is not None:
                await self._put(text)
                self._good = text
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
        refusal = await self._put(self._render(wanted)[0])
        if not refusal:
            return wanted
        base = Configuration((), tuple(empty_backend(backend.pool) for backend in wanted.backends))
        if await self._refusal(base):
            raise _Refused(f"haproxy -c refuses every configuration: {refusal}")
        await self._narrow(wanted.backends, _Trial(base, self._refusal))
        wanted = self._without_refused(wanted)
        base = wanted.with_frontends(())
        await self._narrow(wanted.frontends, _Trial(base, self._refusal))
        wanted = self._without_refused(wanted)
        refusal = await self._put(self._render(wanted)[0])
        if refusal:
            raise _Refused(f"haproxy -c refuses the configuration: {refusal}")
        return wanted

    async def _load(self, wanted: Configuration, running: runtime.Running) -> tuple[runtime.Running, Configuration]:
        """Reloads; what cannot be bound although its port looked free is found and left out."""
        try:
            return await self._reload(wanted, running), wanted
        except master.ReloadFailed as failed:
            _log.warning("reload failed: %s", failed)
            first = failed
        held = await self._held(running)
        fresh = [front for front in wanted.frontends if front.name not in held]
        self._listened = None
        if self._taken(fresh):
            raise first  # the next round leaves them out by name
        guilty = {front: str(first) for front in fresh if front.name in first.frontends}
        if guilty:
            self._refuse(guilty.items(), seconds=RELOAD_RETRY_SECONDS)
        else:
            trial = _Trial(wanted.with_frontends(held), self._reload_refusal(running))
            self._refuse((await narrow(fresh, trial.refusal, known=str(first))).items(), seconds=RELOAD_RETRY_SECONDS)
        if not any(front in self._refused for front in fresh):
            raise first
        wanted = self._without_refused(wanted)
        running = await runtime.observe(self._folders.haproxy_runtime_socket)
        if running.digest == self._render(wanted)[1]:
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
        text, digest = self._render(wanted)
        refusal = await self._put(text)
        if refusal:
            raise master.ReloadFailed(refusal)
        folders = self._folders
        state = folders.haproxy_config / STATE_FILE
        # The new worker takes over who is up: otherwise it would try the dead servers first, until checks failed.
        writing.replace(state, running.servers_text.encode())
        try:
            after = await master.reload(folders.haproxy_master_socket, folders.haproxy_runtime_socket, digest=digest)
        except master.ReloadFailed:
            if self._good is not None:
                writing.replace(folders.haproxy_config_file, self._good)
            raise
        finally:
            # Not for the next start of the container: by then it would be an old story.
            writing.replace(state, NO_STATE)
        self.reloads += 1
        self._good = text
        self._loaded = (digest, frozenset(front.name for front in wanted.frontends))
        _log.info("haproxy reloaded: %d front ends, %d pools", len(wanted.frontends), len(wanted.backends))
        after_members = await self._members(wanted, after)
        return after_members or after

    # --- files ---

    def _render(self, wanted: Configuration) -> tuple[bytes, str]:
        if self._rendered is None or self._rendered[0] != wanted:
            text = render(wanted, self._folders).encode()
            self._rendered = (wanted, text, structure_digest(wanted, self._folders))
        return self._rendered[1], self._rendered[2]

    async def _put(self, text: bytes) -> str:
        """Puts `text` in place if the binary takes it; else why not."""
        target = self._folders.haproxy_config_file
        if writing.current(target) == text:
            return ""
        trial = self._folders.haproxy_config / "haproxy.cfg.trial"
        writing.replace(trial, text)
        refusal = await check.refusal(self._binary, trial)
        if not refusal:
            writing.replace(target, text)
        return refusal

    async def _refusal(self, configuration: Configuration) -> str:
        trial = self._folders.haproxy_config / "haproxy.cfg.trial"
        writing.replace(trial, render(configuration, self._folders).encode())
        return await check.refusal(self._binary, trial)

    def _refine_good(self, text: bytes) -> None:
        """After a restart of the agent: haproxy runs this structure, so this file is known to be good."""
        if self._good is None:
            self._good = text

    # --- what was refused ---

    async def _narrow(self, sections: Sequence[_Section], trial: _Trial) -> None:
        self._refuse((await narrow(sections, trial.refusal)).items(), seconds=RETRY_SECONDS)

    def _refuse(self, refused: Collection[tuple[_Section, str]], *, seconds: float) -> None:
        if refused:
            self._refused.update(refused)
            self._refused_until = self._clock() + seconds

    def _without_refused(self, configuration: Configuration) -> Configuration:
        if not self._refused:
            return configuration
        return Configuration(
            frontends=tuple(front for front in configuration.frontends if front not in self._refused),
            backends=tuple(self._or_last_good(backend) for backend in configuration.backends),
        )

    def _or_last_good(self, backend: BackendSection) -> BackendSection:
        if backend not in self._refused:
            return backend
        last = self._applied.get(backend.pool)
        return empty_backend(backend.pool) if last is None or last[0] in self._refused else last[0]

    def _refusals(self, configuration: Configuration) -> tuple[LeftOut, ...]:
        pools = {item.pool: why for item, why in self._refused.items() if isinstance(item, BackendSection)}
        out = []
        for front in configuration.frontends:
            if front in self._refused:
                out.append(front.left_out("Refused", f"haproxy refuses this front end: {self._refused[front]}"))
            if front.pool in pools:
                message = f"haproxy refuses pool {front.pool}, its last good form stays: {pools[front.pool]}"
                out.append(replace(front.left_out("Refused", message), field=f"frontends[{front.frontend}].poolRef"))
        return tuple(out)

    # --- what is said about it ---

    def _pools(
        self, desired: Desired, wanted: Configuration, running: runtime.Running | None
    ) -> tuple[PoolReport, ...]:
        out = []
        ordered = {backend.pool: backend for backend in self._configured[0].backends}
        for backend in wanted.backends:
            has = {} if running is None else running.servers.get(backend.name, {})
            # Only the form that is in the orders may carry their digest.
            done = running is not None and membership.settled(Configuration((), (backend,)), running.servers)
            if done and ordered[backend.pool] == backend:
                order = desired.pools.get(backend.pool)
                self._applied[backend.pool] = (backend, "" if order is None else order.digest)
            applied = self._applied.get(backend.pool)
            names = membership.names(backend)
            up = sum(1 for name in names if name in has and has[name].up)
            out.append(PoolReport(backend.pool, "" if applied is None else applied[1], up, len(names)))
        return tuple(out)


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """A configuration that could not be brought about as a whole, why, and until when (monotonic) that is believed."""

    wanted: Configuration
    message: str
    until: float


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


@dataclass(frozen=True, slots=True)
class _Trial:
    """A configuration that works, and the question whether it still does with more in it."""

    base: Configuration
    ask: Callable[[Configuration], Awaitable[str]]

    async def refusal(self, sections: Sequence[_Section]) -> str:
        backends = {item.pool: item for item in sections if isinstance(item, BackendSection)}
        frontends = [*self.base.frontends, *(item for item in sections if isinstance(item, FrontendSection))]
        return await self.ask(
            Configuration(
                tuple(sorted(frontends, key=lambda front: front.name)),
                tuple(backends.get(backend.pool, backend) for backend in self.base.backends),
            )
        )
