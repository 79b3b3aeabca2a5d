"""From what is to what should be: the changes, in an order in which one may stop after any of them.

Finalizers come before anything they protect. Pool documents come before the front ends that name them, and go after
them. HAVipNodes are told before statuses speak of it. An Event follows the status it was derived from: stopped between
the two it is lost, which is what Events may be; the other way round, a pass that always stops there would never get to
the status. Objects are let go last.
"""

from __future__ import annotations

from collections.abc import Iterable

from havip.model.keys import FINALIZER, Key
from havip.plan.change import (
    ApplyNode,
    ApplyPool,
    Change,
    DeleteDaemonSet,
    DeleteNode,
    DeletePool,
    DropFinalizer,
    HoldFinalizer,
    Kind,
    WriteStatus,
)
from havip.plan.desired import Desired, ObjectKey
from havip.plan.events import of_havip, of_ready, quarantined
from havip.plan.pools import document
from havip.plan.snapshot import Metadata, Snapshot


def changes(snapshot: Snapshot, desired: Desired) -> tuple[Change, ...]:
    """What is to be done, in order. Empty when everything is as it should be."""
    return tuple(_all(snapshot, desired))


def _all(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    yield from _holds(snapshot, desired)
    yield from _pools(snapshot, desired)
    yield from _nodes(snapshot, desired)
    yield from _daemon_sets(snapshot, desired)
    yield from _statuses(snapshot, desired)
    yield from _deletions(snapshot, desired)
    yield from _releases(snapshot, desired)


def _metadata(snapshot: Snapshot, what: ObjectKey) -> Metadata | None:
    kind, key = what
    found = (
        snapshot.classes.get(key.name)
        if kind is Kind.CLASS
        else snapshot.havips.get(key)
        if kind is Kind.HAVIP
        else snapshot.pools.get(key)
    )
    return found.metadata if found else None


def _holds(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    for what in sorted(desired.hold):
        metadata = _metadata(snapshot, what)
        if metadata is not None and FINALIZER not in metadata.finalizers and metadata.deleting is None:
            yield HoldFinalizer(*what, uid=metadata.uid)


def _pools(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    if snapshot.uninstalling:
        return
    for name, pool in sorted(desired.pools.items()):
        if snapshot.pool_documents.get(name) != document(pool):
            yield ApplyPool(name, pool)


def _nodes(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    for name, spec in sorted(desired.node_specs.items()):
        if snapshot.is_frozen(spec.class_name):
            continue
        seen = snapshot.node_objects.get(name)
        if seen is None:
            yield ApplyNode(name, spec)
        elif seen.spec != spec:
            yield ApplyNode(name, spec, uid=seen.metadata.uid)


def _daemon_sets(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    if snapshot.uninstalling or not snapshot.template_digest:
        return
    for name, daemon_set in sorted(desired.daemon_sets.items()):
        if snapshot.daemon_sets.get(name) != daemon_set.digest:
            yield daemon_set


def _statuses(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    for name, class_status in sorted(desired.class_statuses.items()):
        of, key = snapshot.classes[name], Key("", name)
        if class_status != of.object.status:
            uid = of.metadata.uid
            yield WriteStatus(Kind.CLASS, key, uid, class_status.to_json())
            yield from of_ready(Kind.CLASS, key, uid, old=of.object.status.conditions, new=class_status.conditions)
    for key, pool_status in sorted(desired.pool_statuses.items()):
        pool = snapshot.pools[key]
        if pool_status != pool.object.status:
            uid = pool.metadata.uid
            yield WriteStatus(Kind.POOL, key, uid, pool_status.to_json())
            yield from of_ready(Kind.POOL, key, uid, old=pool.object.status.conditions, new=pool_status.conditions)
    for key, status in sorted(desired.havip_statuses.items()):
        seen = snapshot.havips[key]
        if status != seen.object.status:
            yield WriteStatus(Kind.HAVIP, key, seen.metadata.uid, status.to_json())
            yield from of_havip(key, seen.metadata.uid, seen.object.status, status)


def _deletions(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    for name in sorted(set(snapshot.daemon_sets) - set(desired.daemon_sets)):
        yield DeleteDaemonSet(name)
    for name in desired.unneeded_nodes:
        if not snapshot.is_frozen(snapshot.node_objects[name].spec.class_name):
            yield DeleteNode(name, snapshot.node_objects[name].metadata.uid)
    for name in sorted(set(snapshot.pool_documents) - set(desired.pools) - desired.kept_pools):
        yield DeletePool(name)


def _releases(snapshot: Snapshot, desired: Desired) -> Iterable[Change]:
    for what in sorted(desired.let_go):
        metadata = _metadata(snapshot, what)
        if metadata is None or FINALIZER not in metadata.finalizers:
            continue
        kind, key = what
        yield DropFinalizer(kind, key, metadata.uid)
        if kind is Kind.HAVIP and key in desired.quarantined:
            yield quarantined(key, metadata.uid, desired.quarantined[key])
