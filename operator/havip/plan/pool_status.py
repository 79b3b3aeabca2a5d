"""BackendPool.status: how many servers, how many of them well, and who uses the pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from havip.api.v1alpha1 import BackendPoolStatus
from havip.api.v1alpha1.backend_pool import USED_BY
from havip.model.keys import Key
from havip.model.node import PoolReport
from havip.plan.conditions import Statement, false, stamped, true
from havip.plan.observed import Observed
from havip.plan.pools import PoolPlan
from havip.plan.reasons import Reason, Type

_HARMLESS = (Reason.TOO_MANY_SERVERS,)


def pool_status(
    plan: PoolPlan, observed: Observed, *, users: Sequence[Key], reports: Sequence[PoolReport]
) -> BackendPoolStatus:
    """`reports`: what nodes that hold a VIP of this pool say of it, or if none does, all that say anything."""
    seen = plan.seen
    healthy = min((report.healthy for report in reports), default=None)
    ready = _ready(plan, users=users, healthy=healthy)
    in_use = [_in_use(users)] if seen.metadata.deleting else []
    return BackendPoolStatus(
        conditions=stamped(
            (ready, *in_use),
            seen.object.status.conditions,
            now=observed.snapshot.now,
            generation=seen.metadata.generation,
        ),
        observed_generation=seen.metadata.generation,
        servers=len(plan.pool.servers),
        healthy=healthy,
        used_by=tuple(key.name for key in users[:USED_BY]),
    )


def _ready(plan: PoolPlan, *, users: Sequence[Key], healthy: int | None) -> Statement:
    broken = [problem for problem in plan.problems if problem.reason not in _HARMLESS]
    if broken:
        return false(Type.READY, broken[0].reason, "; ".join(problem.message for problem in broken))
    if not plan.pool.servers:
        return false(Type.READY, Reason.NO_SERVERS, "spec.members: no server is ready; connections are closed at once")
    if not users:
        return false(Type.READY, Reason.NOT_USED, "no HAVip uses this pool")
    if healthy is None:
        return false(Type.READY, Reason.NOT_YET_REPORTED, "no node that holds a VIP of this pool has reported it yet")
    total = len(plan.pool.servers)
    if healthy == 0:
        return false(Type.READY, Reason.NONE_HEALTHY, f"none of {total} servers passes its health check")
    for problem in plan.problems:
        return true(Type.READY, problem.reason, problem.message)
    return true(Type.READY, Reason.SERVING, "at least one server is healthy")


def _in_use(users: Sequence[Key]) -> Statement:
    if not users:
        return false(Type.IN_USE, Reason.NOT_USED, "no HAVip uses this pool")
    names = ", ".join(key.name for key in users[:USED_BY])
    return true(
        Type.IN_USE, Reason.IN_USE, f"the pool is deleted and stays until no HAVip uses it; it is used by {names}"
    )


def reports_of(observed: Observed, active: Iterable[tuple[str, Key]]) -> dict[Key, list[PoolReport]]:
    """Pool -> reports. `active`: (HAVipNode, pool) for every pool behind a VIP that is held there."""
    every: dict[Key, list[PoolReport]] = {}
    holding: dict[Key, list[PoolReport]] = {}
    pairs = set(active)
    for name, member in observed.members.items():
        for report in member.seen.status.pools if member.seen.status else ():
            every.setdefault(report.pool, []).append(report)
            if (name, report.pool) in pairs:
                holding.setdefault(report.pool, []).append(report)
    return every | holding
