"""From what this node does to HAVipNode.status: composed purely, written once per change.

Changes are gathered for 50 ms; nothing is written while nothing changes. When the API server is away only the latest
status is kept, and what it missed in between is not told.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from havip.agent.desired import Desired
from havip.agent.electing import Effective
from havip.agent.facts import Fact, wake_on, woken
from havip.agent.haproxy.balancing import BalancerState
from havip.agent.retrying import pause
from havip.agent.source.base import Observed, Source, SourceAway
from havip.model.election import INSTANCES
from havip.model.node import NodeStatus
from havip.model.refusal import Refused
from havip.model.report import KeeperReport

GATHER_SECONDS = 0.05
FIRST_SECONDS = 3.0
"""How long the first status waits for the keeper: less would tell of a node without VIPs at every start."""
FOREIGN_SECONDS = 1.0
"""How long a status that is not ours may stand before ours is written again; an event on its way needs less."""
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """All the tasks of the agent know at one moment. `refusal`: why there are no orders in force at all."""

    desired: Desired | None
    refusal: str
    effective: Effective | None
    keeper: KeeperReport | None
    balancer: BalancerState


def compose(known: Known, *, agent_version: str) -> NodeStatus:
    """The status. `applied_generation` counts when the keeper has confirmed and haproxy was dealt with."""
    keeper, desired = known.keeper, known.desired
    versions = {
        "agent": agent_version,
        "keepalived": "" if keeper is None else keeper.keepalived_version,
        "haproxy": known.balancer.version,
    }
    errors = (
        known.refusal if desired is None else desired.error,
        "" if known.effective is None else known.effective.resolved.error,
        "the keeper has not reported yet" if keeper is None else keeper.error,
        known.balancer.error,
    )
    left_out = (
        () if desired is None else desired.left_out,
        () if known.effective is None else known.effective.left_out,
        () if keeper is None else keeper.left_out,
        known.balancer.left_out,
    )
    return NodeStatus(
        applied_generation=_applied(known),
        error="; ".join(error for error in errors if error)[:1024],
        versions={name: version[:64] for name, version in versions.items() if version},
        interface=None if known.effective is None else known.effective.resolved.report,
        vips=() if keeper is None else keeper.instances,
        pools=known.balancer.pools,
        left_out=tuple(dict.fromkeys(item for part in left_out for item in part))[:INSTANCES],
    )


def _applied(known: Known) -> int:
    keeper = 0 if known.keeper is None else known.keeper.applied_generation
    # The keeper's number alone would go with front ends that are still those of the generation before.
    return min(keeper, known.balancer.generation)


class Reporter:
    """Writes the status; the only task that writes to the source."""

    def __init__(self, source: Source, observed: Fact[Observed]) -> None:
        self._source = source
        self._observed = observed
        self._written: NodeStatus | None = None
        self.writes = 0

    async def run(self, known: Fact[Known | None], *, agent_version: str) -> None:
        wake = wake_on(known, self._observed)
        await self._first_keeper(known)
        failures = 0
        while True:
            await woken(wake, within=3600)
            await asyncio.sleep(GATHER_SECONDS)
            wake.clear()
            if known.value is None:
                continue
            status = compose(known.value, agent_version=agent_version)
            if await self._stands(status):
                continue
            try:
                await self._source.write_status(status)
            except SourceAway as away:
                _log.log(logging.WARNING if failures == 0 else logging.DEBUG, "status not written: %s", away)
                failures += 1
                await asyncio.sleep(pause(BACK_OFF_SECONDS, failures))
                wake.set()
            else:
                failures = 0
                self._written = status
                self.writes += 1

    async def _first_keeper(self, known: Fact[Known | None]) -> None:
        wake = wake_on(known)
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                while known.value is None or known.value.keeper is None:
                    await wake.wait()
                    wake.clear()
        except TimeoutError:
            return

    async def _stands(self, status: NodeStatus) -> bool:
        """Whether `status` is already what the source has."""
        if self._written is None:
            if self._there() == status:
                self._written = status  # an agent that was restarted finds its own words
            return self._written is not None
        if status != self._written:
            return False
        if self._there() in (None, status):
            return True
        await asyncio.sleep(FOREIGN_SECONDS)
        return self._there() in (None, status)

    def _there(self) -> NodeStatus | None:
        """The status as the source shows it; None when it shows none or one that is not understood."""
        node = self._observed.value.node
        if node is None or node.status is None:
            return None
        try:
            return NodeStatus.from_json(node.status)
        except Refused:
            return NodeStatus(error="not understood")
