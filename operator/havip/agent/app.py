"""The agent's process: one task per matter, all of them tied together by facts. No decision is made here."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Coroutine

import havip
from havip.agent import addresses, metrics, writing
from havip.agent.desired import Desired, refusal, understand
from havip.agent.electing import Effective, document, effective
from havip.agent.facts import Fact, wake_on, woken
from havip.agent.haproxy.balancing import Balancer, BalancerState
from havip.agent.haproxy.files import prepare
from havip.agent.interface import Resolved, Surroundings, resolve
from havip.agent.keeping import KeeperLine
from havip.agent.reporting import Known, Reporter, compose
from havip.agent.settings import Settings
from havip.agent.source.api import ApiSource
from havip.agent.source.base import Observed, Source
from havip.agent.source.folder import FolderSource
from havip.model.report import KeeperReport

GATHER_SECONDS = 0.02
INTERFACE_SECONDS = 2.0
BALANCER_SECONDS = 1.0
BALANCER_IDLE_SECONDS = 5.0
SERVERS_PER_SECOND = 500
"""Servers whose state is read in one second at the most, so that a large pool does not cost a core."""
RELOAD_GAP_SECONDS = 0.5
"""Each reload leaves a worker behind until its connections end; fifty HAVips in one apply are not fifty workers."""
_log = logging.getLogger(__name__)


class Agent:
    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self.observed: Fact[Observed] = Fact(Observed())
        self.desired: Fact[Desired | None] = Fact(None)
        self.effective: Fact[Effective | None] = Fact(None)
        self.keeper: Fact[KeeperReport | None] = Fact(None)
        self.balancer: Fact[BalancerState] = Fact(BalancerState())
        self.known: Fact[Known | None] = Fact(None)
        self.balancing = Balancer(settings.folders, binary=settings.haproxy)
        self.reporter = Reporter(source, self.observed)

    async def run(self) -> None:
        """Until cancelled. An error that nobody expected ends the process; its container starts again."""
        prepare(self._settings.folders)
        keeper_line = KeeperLine(self._settings.folders, self.keeper.set)
        tasks: list[tuple[str, Coroutine[None, None, None]]] = []
        if self._settings.metrics is not None:
            tasks.append(("metrics", metrics.serve(self._settings.metrics, self._figures)))
        async with asyncio.TaskGroup() as group:
            for name, task in (
                *tasks,
                ("source", self._source.run(self.observed.set)),
                ("understanding", self._understand()),
                ("interface", self._resolve()),
                ("electing", self._elect()),
                ("haproxy", self._balance()),
                ("keeping", keeper_line.run()),
                ("gathering", self._gather()),
                ("reporting", self.reporter.run(self.known, agent_version=havip.__version__)),
            ):
                group.create_task(task, name=name)

    def _figures(self) -> metrics.Figures:
        known, desired = self.known.value, self.desired.value
        return metrics.Figures(
            status=None if known is None else compose(known, agent_version=havip.__version__),
            generation=0 if desired is None else desired.generation,
            status_writes=self.reporter.writes,
            reloads=self.balancing.reloads,
        )

    async def _understand(self) -> None:
        wake = wake_on(self.observed)
        settings = self._settings
        understood: Observed | None = None
        while True:
            await wake.wait()
            # Orders and their pools come on two watches: taken together they are one reload instead of two.
            await asyncio.sleep(GATHER_SECONDS)
            wake.clear()
            observed = self.observed.value.without_status()
            if observed == understood:
                continue  # only the status changed, and most often it was us who changed it
            understood = observed
            self.desired.set(
                understand(observed, self.desired.value, class_name=settings.class_name, node=settings.node)
            )

    async def _resolve(self) -> None:
        """Orders and surroundings together, never one without the other: a document that was made before the node's
        own addresses were looked at could make the keeper take one of them away."""
        wake = wake_on(self.desired)
        judged: tuple[Desired, Resolved] | None = None
        while True:
            await woken(wake, within=INTERFACE_SECONDS)
            desired = self.desired.value
            if desired is None:
                continue
            try:
                around = surroundings()
            except OSError as error:
                _log.warning("addresses cannot be read: %s", error)
                continue
            report = self.effective.value.resolved.report if self.effective.value else None
            resolved = resolve(desired.spec, around, last=report.name if report else "")
            if (desired, resolved) != judged:
                judged = (desired, resolved)
                self.effective.set(effective(desired, resolved))

    async def _elect(self) -> None:
        wake = wake_on(self.effective)
        path = self._settings.folders.election_document
        while True:
            await wake.wait()
            wake.clear()
            election = self.effective.value.election if self.effective.value else None
            if election is not None and writing.replace(path, document(election)):
                _log.info("election document of generation %d: %d VIPs", election.generation, len(election.instances))

    async def _balance(self) -> None:
        wake = wake_on(self.effective)
        pause = BALANCER_IDLE_SECONDS
        while True:
            await woken(wake, within=pause)
            if self.effective.value is None:
                continue
            reloads = self.balancing.reloads
            state = await self.balancing.round(self.effective.value.desired)
            self._log_left_out(state)
            self.balancer.set(state)
            pause = _pause(state)
            if self.balancing.reloads != reloads:
                await asyncio.sleep(RELOAD_GAP_SECONDS)

    def _log_left_out(self, state: BalancerState) -> None:
        before = self.balancer.value
        for item in state.left_out:
            if item not in before.left_out:
                _log.warning("%s %s: %s (%s)", item.havip, item.field, item.message, item.reason)
        if state.error != before.error:
            _log.warning("haproxy: %s", state.error or "works again")

    async def _gather(self) -> None:
        wake = wake_on(self.observed, self.desired, self.effective, self.keeper, self.balancer)
        while True:
            await wake.wait()
            wake.clear()
            settings, desired = self._settings, self.desired.value
            if self.observed.value.node is None:
                continue
            refused = ""
            if desired is None:
                refused = refusal(self.observed.value, class_name=settings.class_name, node=settings.node)
            self.known.set(
                Known(
                    desired=desired,
                    refusal=refused,
                    effective=self.effective.value,
                    keeper=self.keeper.value,
                    balancer=self.balancer.value,
                )
            )


def surroundings() -> Surroundings:
    """The kernel's view now. Raises `OSError`."""
    return Surroundings(
        interfaces=frozenset(name for _, name in socket.if_nameindex()),
        held=addresses.addresses(),
        default_route=addresses.default_route_interface(),
    )


def _pause(state: BalancerState) -> float:
    if state.error or state.left_out:
        return BALANCER_SECONDS
    if not state.pools:
        return BALANCER_IDLE_SECONDS
    return max(BALANCER_SECONDS, state.servers / SERVERS_PER_SECOND)


def source_of(settings: Settings) -> Source:
    if settings.folder is not None:
        return FolderSource(settings.folder)
    assert settings.api is not None  # noqa: S101  # read_settings gives one of the two
    return ApiSource(settings.api, namespace=settings.namespace, class_name=settings.class_name, node=settings.node)


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. The status stays as it was: the VIPs go on without us."""
    agent = asyncio.create_task(Agent(settings, source_of(settings)).run(), name="agent")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.cancel)
    try:
        await agent
    except asyncio.CancelledError:
        _log.info("ended by signal")
