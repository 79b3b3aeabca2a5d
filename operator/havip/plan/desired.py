"""The whole plan: a snapshot in, everything as it should be out. Pure; the order of the words below is the order of
the thoughts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from havip.api.v1alpha1 import BackendPoolStatus, HAVipClass, HAVipClassStatus, HAVipStatus
from havip.model.keys import Key, pool_object_name
from havip.model.node import Assignment, NodeSpec
from havip.model.pool import Pool
from havip.plan.admission import judge
from havip.plan.change import ApplyDaemonSet, Kind
from havip.plan.class_status import class_status
from havip.plan.classes import default_classes
from havip.plan.clouds import CloudWish, gives_back, has_given_back, wishes
from havip.plan.deletion import Release, release
from havip.plan.instances import Electorates, VipPlan, is_live
from havip.plan.nodes import by_node, node_objects
from havip.plan.observed import Member, Observed
from havip.plan.pool_status import pool_status, reports_of
from havip.plan.pools import PoolPlan, plan_pool, users
from havip.plan.snapshot import SeenClass, Snapshot
from havip.plan.status import havip_status, releasing_status

ObjectKey = tuple[Kind, Key]


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything as it should be next. One pass is one step: what has to wait for a node comes in a later one.

    `vips`: the decisions about each HAVip that lives. `node_specs`, `pools`, `daemon_sets`: objects that are to be, by
    name (class, for DaemonSets); `unneeded_nodes`: HAVipNodes that may be deleted now. `kept_pools`: pool documents
    that are left as they are. `hold`: objects that are to carry our finalizer; `let_go`: those that are released.
    `clouds`: what each class wants of its cloud, by class.
    `quarantined`: HAVips that go while nodes cannot be asked, and which. `look_again_in`: seconds after which the
    plan would be another one even if nothing happened; None = never.
    """

    vips: Mapping[Key, VipPlan]
    node_specs: Mapping[str, NodeSpec]
    unneeded_nodes: tuple[str, ...]
    pools: Mapping[str, Pool]
    kept_pools: frozenset[str]
    daemon_sets: Mapping[str, ApplyDaemonSet]
    hold: frozenset[ObjectKey]
    let_go: frozenset[ObjectKey]
    clouds: Mapping[str, CloudWish]
    quarantined: Mapping[Key, tuple[str, ...]]
    havip_statuses: Mapping[Key, HAVipStatus]
    pool_statuses: Mapping[Key, BackendPoolStatus]
    class_statuses: Mapping[str, HAVipClassStatus]
    look_again_in: float | None


def desired(snapshot: Snapshot) -> Desired:
    """What should be next. The same snapshot gives the same answer; a settled cluster gives what it has."""
    return _Planning(Observed(snapshot)).outcome()


class _Planning:
    """One pass. Each method adds one part; later ones use earlier ones."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.snapshot = observed.snapshot
        self.verdicts = {} if self.snapshot.uninstalling else judge(observed)
        self.vips = self._vips()
        self.releases = self._releases()
        self.stray = self._stray()
        self.users = users(observed)
        self.class_users = self._class_users()
        self.clouds = wishes(observed, self.vips)
        self.assigned = by_node(
            (
                *(plan.assignments for plan in self.vips.values()),
                *(one.records for one in self.releases.values()),
                *self.stray,
                *self._unreadable(),
            )
        )

    def outcome(self) -> Desired:
        solo = {name for plan in self.vips.values() if plan.solo for name in plan.assignments}
        nodes = node_objects(self.observed, self.assigned, solo=solo, closing=self._closing())
        pool_plans = self._pool_plans()
        used = self._used_pools()
        return Desired(
            vips=self.vips,
            node_specs=nodes.specs,
            unneeded_nodes=nodes.unneeded,
            pools={pool_object_name(key): plan.pool for key, plan in pool_plans.items() if key in used},
            kept_pools=frozenset(pool_object_name(key) for key in used),
            daemon_sets=self._daemon_sets(),
            hold=frozenset(self._hold(used)),
            let_go=frozenset(self._let_go(nodes.specs, used)),
            clouds=self.clouds,
            quarantined={key: one.cut_off for key, one in self.releases.items() if one.done and one.cut_off},
            havip_statuses=self._havip_statuses(),
            pool_statuses=self._pool_statuses(pool_plans),
            class_statuses=self._class_statuses(),
            look_again_in=self.observed.waits.look_again_in,
        )

    # -- VIPs -------------------------------------------------------------------------------------------------

    def _vips(self) -> dict[Key, VipPlan]:
        electorates = Electorates(self.observed, self.verdicts)
        return {key: electorates.plan(verdict) for key, verdict in self.verdicts.items()}

    def _to_release(self) -> set[Key]:
        """HAVips that are being deleted, and those that are gone while nodes still have them on record."""
        known = set(self.snapshot.havips) | set(self.observed.allocated)
        return known - set(self.verdicts) - self.snapshot.unreadable

    def _releases(self) -> dict[Key, Release]:
        found = {
            key: release(key, self.observed.allocated.get(key, ()), seen=self.snapshot.havips.get(key))
            for key in sorted(self._to_release())
        }
        if self.snapshot.uninstalling and all(one.done for one in found.values()):
            # Nothing will be given to anybody any more, so nothing has to be kept back from a node that is cut off.
            return {key: replace(one, records={}) for key, one in found.items()}
        return found

    def _stray(self) -> list[dict[str, Assignment]]:
        """Records under the name of a HAVip that lives, which are of an earlier life or another class."""
        out = []
        for key, plan in self.vips.items():
            members = self.observed.allocated.get(key, ())
            left = [member for member in members if not self._live(member, plan)]
            if left:
                out.append(release(key, left, seen=None).records)
        return out

    def _live(self, member: Member, plan: VipPlan) -> bool:
        name = plan.verdict.class_name
        return name is not None and is_live(member, member.assignments[plan.verdict.key], plan.verdict, name)

    def _unreadable(self) -> list[dict[str, Assignment]]:
        allocated = self.observed.allocated
        return [
            {member.name: member.assignments[key] for member in allocated.get(key, ())}
            for key in sorted(self.snapshot.unreadable)
        ]

    # -- classes ----------------------------------------------------------------------------------------------

    def _class_users(self) -> dict[str, list[Key]]:
        found: dict[str, set[Key]] = {name: set() for name in self.snapshot.classes}
        for key, verdict in self.verdicts.items():
            if verdict.class_name in found:
                found[verdict.class_name].add(key)
        for member in self.observed.members.values():
            if member.class_name in found and member.kube is not None:
                found[member.class_name].update(member.assignments)
        return {name: sorted(keys) for name, keys in found.items()}

    def _closing(self) -> set[str]:
        """Classes that get no new HAVipNodes, and lose those they have once these are empty."""
        if self.snapshot.uninstalling:
            return set(self.snapshot.classes)
        return {
            name
            for name, seen in self.snapshot.classes.items()
            if seen.metadata.deleting and not self.class_users[name]
        }

    def _daemon_sets(self) -> dict[str, ApplyDaemonSet]:
        """Those that are to be. While a HAVipNode has to confirm something, its pod must live."""
        if not self.snapshot.template_digest:
            # Without a template nothing new can be said; what runs goes on.
            return {
                name: _daemon_set(seen, "") for name, seen in self._with_pods() if name in self.snapshot.daemon_sets
            }
        return {name: _daemon_set(seen, self.snapshot.template_digest) for name, seen in self._with_pods()}

    def _with_pods(self) -> Iterable[tuple[str, SeenClass]]:
        closing = self._closing()
        for name, seen in sorted(self.snapshot.classes.items()):
            if name not in closing or (
                name in self.snapshot.daemon_sets and any(one in self.assigned for one in self._names(name))
            ):
                yield name, seen

    def _names(self, class_name: str) -> list[str]:
        return [member.name for member in self.observed.of_class.get(class_name, ())]

    # -- pools ------------------------------------------------------------------------------------------------

    def _pool_plans(self) -> dict[Key, PoolPlan]:
        return {key: plan_pool(key, seen, self.observed) for key, seen in sorted(self.snapshot.pools.items())}

    def _used_pools(self) -> set[Key]:
        """Pools that a node is told to use, or was: a document must not go before the front end that needs it."""
        planned = {
            frontend.pool
            for assignments in self.assigned.values()
            for assignment in assignments
            for frontend in assignment.frontends
        }
        recorded = {
            frontend.pool
            for member in self.observed.members.values()
            if member.kube is not None
            for assignment in member.assignments.values()
            for frontend in assignment.frontends
        }
        return planned | recorded

    # -- finalizers -------------------------------------------------------------------------------------------

    def _hold(self, used: set[Key]) -> Iterable[ObjectKey]:
        if self.snapshot.uninstalling:
            return
        for key, plan in self.vips.items():
            if plan.assignments:
                yield Kind.HAVIP, key
        for key, seen in self.snapshot.pools.items():
            if key in used and seen.metadata.deleting is None:
                yield Kind.POOL, key
        for name, of in self.snapshot.classes.items():
            if of.metadata.deleting is None:
                yield Kind.CLASS, Key("", name)

    def _let_go(self, specs: Mapping[str, NodeSpec], used: set[Key]) -> Iterable[ObjectKey]:
        uninstalling = self.snapshot.uninstalling
        if uninstalling and not all(self._done(key, one) for key, one in self.releases.items()):
            return
        for key, one in self.releases.items():
            if key in self.snapshot.havips and self._done(key, one):
                yield Kind.HAVIP, key
        for key, seen in self.snapshot.pools.items():
            if uninstalling or (seen.metadata.deleting and key not in used and not self.users.get(key)):
                yield Kind.POOL, key
        for name, of in self.snapshot.classes.items():
            if not gives_back(of, self.snapshot):
                continue
            if uninstalling or (of.metadata.deleting and name in self._closing() and not self._left(name, specs)):
                yield Kind.CLASS, Key("", name)

    def _done(self, key: Key, release: Release) -> bool:
        """Whether neither a node nor a cloud has anything of the HAVip left."""
        seen = self.snapshot.havips.get(key)
        return release.done and (seen is None or has_given_back(seen, self.snapshot))

    def _left(self, class_name: str, specs: Mapping[str, NodeSpec]) -> bool:
        return any(name in specs for name in self._names(class_name))

    # -- statuses ---------------------------------------------------------------------------------------------

    def _havip_statuses(self) -> dict[Key, HAVipStatus]:
        out = {key: havip_status(plan, self.observed) for key, plan in self.vips.items()}
        for key, one in self.releases.items():
            seen = self.snapshot.havips.get(key)
            if seen is not None:
                out[key] = releasing_status(seen, one, self.observed, uninstalling=self.snapshot.uninstalling)
        return out

    def _pool_statuses(self, plans: Mapping[Key, PoolPlan]) -> dict[Key, BackendPoolStatus]:
        if self.snapshot.uninstalling:
            return {}
        holding = (
            (member.name, frontend.pool)
            for member in self.observed.members.values()
            for key, assignment in member.assignments.items()
            if member.active(key)
            for frontend in assignment.frontends
        )
        reports = reports_of(self.observed, holding)
        return {
            key: pool_status(plan, self.observed, users=self.users.get(key, ()), reports=reports.get(key, ()))
            for key, plan in plans.items()
        }

    def _class_statuses(self) -> dict[str, HAVipClassStatus]:
        if self.snapshot.uninstalling:
            return {}
        defaults = default_classes(self.observed)
        return {
            name: class_status(seen, self.observed, users=self.class_users[name], defaults=defaults)
            for name, seen in self.snapshot.classes.items()
        }


def _daemon_set(seen: SeenClass, template_digest: str) -> ApplyDaemonSet:
    of: HAVipClass = seen.object
    selector = of.spec.nodes.selector
    labels = tuple(sorted(selector.match_labels.items())) if selector else ()
    tolerations = tuple(
        tuple(sorted((name, str(value)) for name, value in one.to_json().items())) for one in of.spec.nodes.tolerations
    )
    text = json.dumps([template_digest, labels, tolerations])
    return ApplyDaemonSet(
        class_name=seen.metadata.name,
        selector=labels,
        tolerations=tolerations,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
