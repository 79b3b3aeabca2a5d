"""BackendPools as the nodes get them: real servers found, sorted, without duplicates, bounded.

One document per pool, the same for every node, and only for pools that a node was told to use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from havip.api.v1alpha1 import BackendPool, ServiceMembers, StaticMember
from havip.model.keys import Key
from havip.model.pool import SERVERS, HealthCheck, Pool, RealServer, parse_http_path
from havip.model.refusal import Refused, shown
from havip.plan.admission import virtual_address
from havip.plan.classes import Problem
from havip.plan.observed import Observed
from havip.plan.reasons import Reason
from havip.plan.snapshot import Endpoint, SeenPool


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """A pool and what is wrong with it; `problems` never keep the servers that were found from being used."""

    key: Key
    seen: SeenPool
    pool: Pool
    problems: tuple[Problem, ...] = ()


@lru_cache(maxsize=4096)  # most pools are the same in every pass
def document(pool: Pool) -> str:
    """`pool.json`: equal pools give equal text, on every replica and in every release."""
    return json.dumps(pool.to_json(), sort_keys=True, separators=(",", ":"))


def plan_pool(key: Key, seen: SeenPool, observed: Observed) -> PoolPlan:
    spec = seen.object.spec
    problems: list[Problem] = []
    if spec.members.service is not None:
        found = _of_service(key, spec.members.service, observed, problems)
    else:
        found = _of_list(spec.members.static or (), problems)
    check = _health_check(seen.object, problems)
    return PoolPlan(
        key,
        seen,
        Pool(key, spec.engine, spec.algorithm, check, _bounded(found, problems)),
        tuple(problems),
    )


def _health_check(pool: BackendPool, problems: list[Problem]) -> HealthCheck:
    check = pool.spec.health_check
    path = None
    if check.http is not None:
        try:
            path = parse_http_path(check.http.path)
        except Refused as refused:
            problems.append(Problem(Reason.MEMBER_INVALID, f"spec.healthCheck.http.path: {refused.message}"))
    return HealthCheck(
        interval_ms=check.interval_milliseconds,
        timeout_ms=check.timeout_milliseconds or check.interval_milliseconds,
        rise=check.rise,
        fall=check.fall,
        http_path=path,
    )


def _of_list(members: Sequence[StaticMember], problems: list[Problem]) -> list[RealServer]:
    out = []
    for index, member in enumerate(members):
        try:
            out.append(RealServer(virtual_address(member.address), member.port, member.weight))
        except Refused as refused:
            field = f"spec.members.static[{index}].address"
            problems.append(Problem(Reason.MEMBER_INVALID, f"{field}: {refused.message}"))
    return out


def _of_service(key: Key, wanted: ServiceMembers, observed: Observed, problems: list[Problem]) -> list[RealServer]:
    name = Key(key.namespace, wanted.name)
    service = observed.snapshot.services.get(name)
    if service is None:
        problems.append(
            Problem(
                Reason.SERVICE_MISSING,
                f"spec.members.service.name: there is no Service {shown(wanted.name)} in namespace {key.namespace};"
                " the name of one that exists would be accepted",
            )
        )
        return []
    ports = [port_name for port_name, port in service.ports if port == wanted.port]
    if not ports:
        known = ", ".join(str(port) for _, port in service.ports) or "none"
        problems.append(
            Problem(
                Reason.PORT_MISSING,
                f"spec.members.service.port: Service {wanted.name} has no port {wanted.port}; accepted would be:"
                f" {known}",
            )
        )
        return []
    return _servers(one for one in observed.snapshot.endpoints.get(name, ()) if one.port_name in ports)


def _servers(endpoints: Iterable[Endpoint]) -> list[RealServer]:
    """Ready ones serve; ones that end get no new connections, unless nothing else is left."""
    found = list(endpoints)
    any_ready = any(one.ready for one in found)
    return [RealServer(one.address, one.port, weight=int(one.ready or not any_ready)) for one in found]


def _bounded(found: Iterable[RealServer], problems: list[Problem]) -> tuple[RealServer, ...]:
    """Sorted; of one address and port the greatest weight counts; the first `SERVERS` when there are more."""
    unique: dict[tuple[int, int, int], RealServer] = {}
    for server in found:
        place = (server.address.version, int(server.address), server.port)
        if place not in unique or unique[place].weight < server.weight:
            unique[place] = server
    ordered = tuple(unique[place] for place in sorted(unique))
    if len(ordered) > SERVERS:
        problems.append(
            Problem(
                Reason.TOO_MANY_SERVERS,
                f"spec.members: {len(ordered)} servers were found and the first {SERVERS} are used; at most {SERVERS}"
                " would be accepted",
            )
        )
    return ordered[:SERVERS]


def users(observed: Observed) -> Mapping[Key, tuple[Key, ...]]:
    """Pool -> HAVips that name it and are not being deleted, in order."""
    out: dict[Key, set[Key]] = {}
    for key, seen in observed.snapshot.havips.items():
        if seen.metadata.deleting is None:
            for frontend in seen.object.spec.frontends:
                out.setdefault(Key(key.namespace, frontend.pool_ref.name), set()).add(key)
    return {pool: tuple(sorted(found)) for pool, found in out.items()}
