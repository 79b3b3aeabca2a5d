"""What a source delivered, understood: the typed orders of this node. Pure; what is not understood keeps its last form.

A spec that is refused as a whole leaves the one before in force, a pool that is refused keeps its last good servers,
and both are named in the status. Orders for another node or class are refused, whoever wrote them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from havip.agent.source.base import Observed
from havip.model.keys import Key, pool_object_name
from havip.model.node import NodeSpec
from havip.model.pool import Pool
from havip.model.refusal import LeftOut, Refused


@dataclass(frozen=True, slots=True)
class PoolOrder:
    """A pool in force. `digest`: SHA-256 in hex of the text of its `pool.json`."""

    pool: Pool
    digest: str


@dataclass(frozen=True, slots=True)
class Desired:
    """`generation` is of `spec`; `error` says why a newer spec is not in force; `pool_errors` the same per pool."""

    generation: int
    spec: NodeSpec
    left_out: tuple[LeftOut, ...] = ()
    pools: Mapping[Key, PoolOrder] = field(default_factory=dict)
    pool_errors: Mapping[Key, str] = field(default_factory=dict)
    error: str = ""


def understand(observed: Observed, previous: Desired | None, *, class_name: str, node: str) -> Desired | None:
    """The orders in force after `observed`; None as long as there never were any that could be read."""
    if observed.node is None:
        return None
    try:
        spec, left_out = NodeSpec.from_json(observed.node.spec)
        _is_for(spec, class_name=class_name, node=node)
    except Refused as refused:
        error = str(refused.under("spec"))
        return None if previous is None else replace(_pools(observed, previous), error=error)
    fresh = Desired(observed.node.generation, spec, left_out, {} if previous is None else previous.pools)
    return _pools(observed, fresh)


def refusal(observed: Observed, *, class_name: str, node: str) -> str:
    """Why there are no orders in force yet, for the status of a node that never had any."""
    if observed.node is None:
        return ""
    try:
        _is_for(NodeSpec.from_json(observed.node.spec)[0], class_name=class_name, node=node)
    except Refused as refused:
        return str(refused.under("spec"))
    return ""


def _is_for(spec: NodeSpec, *, class_name: str, node: str) -> None:
    if spec.class_name != class_name:
        raise Refused("className", f"must be {class_name}, the class of this agent, not {spec.class_name}")
    if spec.node != node:
        raise Refused("nodeName", f"must be {node}, the node of this agent, not {spec.node}")


def _pools(observed: Observed, desired: Desired) -> Desired:
    """The same orders with the pools they need; what others need stays text and costs nothing."""
    keys = sorted({front.pool for item in desired.spec.assignments for front in item.frontends})
    pools: dict[Key, PoolOrder] = {}
    errors: dict[Key, str] = {}
    for key in keys:
        text = observed.pools.get(pool_object_name(key))
        if text is None:
            continue
        last = desired.pools.get(key)
        try:
            pools[key] = _order(key, text, last)
        except Refused as refused:
            errors[key] = str(refused)
            if last is not None:
                pools[key] = last
    return replace(desired, pools=pools, pool_errors=errors)


def _order(key: Key, text: str, last: PoolOrder | None) -> PoolOrder:
    digest = hashlib.sha256(text.encode()).hexdigest()
    if last is not None and last.digest == digest:
        return last
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused("pool.json", "must be JSON") from None
    pool = Pool.from_json(body)
    if pool.key != key:
        raise Refused("pool", f"must be {key}, as the object is named, not {pool.key}")
    return PoolOrder(pool, digest)
