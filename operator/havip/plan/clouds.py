"""What each class wants of its cloud, and what is said of a HAVip that a cloud must carry.

A HAVip that is being deleted is wanted no more; one that cannot be read, or gets nothing new, keeps what it has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from havip.api.v1alpha1 import ConditionStatus, Failover, HAVipClass
from havip.api.v1alpha1.havip_class import Provider
from havip.model.cloud import CloudNode, Owner, Wanted, WantedVip
from havip.model.keys import Key
from havip.plan.cloud_report import CloudReport, SeenAt
from havip.plan.conditions import Statement, false, found, true
from havip.plan.deletion import WAY_OUT, goes_anyway
from havip.plan.instances import VipPlan
from havip.plan.observed import Observed
from havip.plan.reasons import Reason, Type
from havip.plan.snapshot import SeenClass, SeenHAVip, Snapshot


@dataclass(frozen=True, slots=True)
class ActiveOn:
    """The active node of a HAVip and how many transitions it had: the same again is no switch."""

    node: str
    transitions: int


@dataclass(frozen=True, slots=True)
class CloudWish:
    """What a class wants, of which provider, with which Secret ("" = the environment's credentials).

    `active` is no part of the wish, since a failover is no reason to write: it is what a cloud's own view of its VIPs
    is compared with.
    """

    provider: str
    wanted: Wanted
    secret: str = ""
    active: Mapping[Key, ActiveOn] = field(default_factory=dict, compare=False)


def is_called(of: HAVipClass) -> bool:
    """Whether the class has a cloud that must be called."""
    return of.spec.provider is not Provider.NONE


def secret_missing(of: HAVipClass, observed: Observed) -> bool:
    """Whether the class names a Secret that the chart does not let the operator read."""
    secret = of.spec.credentials_secret
    return secret is not None and secret not in observed.snapshot.credential_secrets


def wishes(observed: Observed, plans: Mapping[Key, VipPlan]) -> dict[str, CloudWish]:
    """The wish of every class with a cloud, by class."""
    out: dict[str, CloudWish] = {}
    for name, seen in sorted(observed.snapshot.classes.items()):
        if is_called(seen.object) and not secret_missing(seen.object, observed):
            out[name] = _wish(seen, observed, [plan for plan in plans.values() if plan.verdict.class_name == name])
    return out


def programmed(plan: VipPlan, observed: Observed) -> Statement:
    """Whether the network delivers the VIP, as far as a cloud has to be called for that."""
    name = plan.verdict.class_name or ""
    of = observed.snapshot.classes.get(name)
    if of is None or not is_called(of.object):
        return true(Type.PROGRAMMED, Reason.PROGRAMMED, "the network needs nothing but the nodes (provider None)")
    if secret_missing(of.object, observed):
        return false(Type.PROGRAMMED, Reason.CREDENTIALS_NOT_ALLOWED, not_allowed(of))
    report = observed.snapshot.clouds.get(name)
    provider = of.object.spec.provider.value
    before = found(plan.verdict.seen.object.status.conditions, Type.PROGRAMMED)
    told = report is not None and _wanted_vip(plan) in report.wanted.vips
    if report is not None and told and plan.verdict.key in report.blocked:
        trouble = report.blocked[plan.verdict.key]
        return false(Type.PROGRAMMED, trouble.reason, f"{provider}: {trouble.message}")
    shown = _shown(plan, report)
    if shown is not None and plan.verdict.seen.object.status.active_node not in (None, shown.node):
        where = shown.node or shown.instance
        message = f"{provider} still shows the VIP on {where}; it is announced again"
        return false(Type.PROGRAMMED, Reason.SHOWN_ELSEWHERE, message)
    if report is not None and told and report.carries(plan.verdict.key):
        return true(Type.PROGRAMMED, Reason.PROGRAMMED, f"{provider} carries the VIP")
    behind = report is not None and report.trouble is not None and _is_behind(plan, report)
    if before is not None and before.status is ConditionStatus.TRUE and not behind:
        return Statement(Type.PROGRAMMED, before.status, before.reason, before.message)
    if report is not None and report.trouble is not None:
        return false(Type.PROGRAMMED, report.trouble.reason, f"{provider}: {report.trouble.message}")
    return false(Type.PROGRAMMED, Reason.PROGRAMMING, f"{provider} is being told about the VIP")


def _is_behind(plan: VipPlan, report: CloudReport) -> bool:
    """Whether the cloud has an older VIP than the one asked for. Which nodes may hold it is not a user's wish: a cloud
    that is away while a node is replaced still carries the VIP."""
    carried, wanted = report.carried.get(plan.verdict.key), _wanted_vip(plan)
    return carried is not None and replace(wanted, candidates=carried.candidates, leaving=carried.leaving) != carried


def _shown(plan: VipPlan, report: CloudReport | None) -> SeenAt | None:
    """Where the cloud shows the VIP since its last transition; None = it has not said yet."""
    shown = report.shown.get(plan.verdict.key) if report is not None else None
    return shown if shown is not None and shown.transitions == plan.verdict.seen.object.status.transitions else None


def seen_by_cloud(history: tuple[Failover, ...], plan: VipPlan, observed: Observed) -> tuple[Failover, ...]:
    """The history, with what the cloud says of the newest failover beside our own measurement."""
    shown = _shown(plan, observed.snapshot.clouds.get(plan.verdict.class_name or ""))
    if shown is None or not history or history != plan.verdict.seen.object.status.history:
        return history
    last, *before = history
    if shown.node != last.to:
        return history
    told = last.model_copy(update={"cloud_instance": shown.instance, "cloud_since": shown.since or None})
    return (told, *before)


def not_allowed(of: SeenClass) -> str:
    """Why the Secret of a class is not read."""
    return (
        f"spec.credentialsSecret of HAVipClass {of.metadata.name}: the operator may not read the Secret"
        f" {of.object.spec.credentials_secret}; name it in the chart's credentialSecrets"
    )


def has_given_back(seen: SeenHAVip, snapshot: Snapshot) -> bool:
    """Whether the cloud has nothing of a deleted HAVip any more, as far as its class has one."""
    name = seen.object.status.class_name
    of = snapshot.classes.get(name) if name else None
    if of is None or not is_called(of.object) or goes_anyway(seen.metadata):
        return True
    report = snapshot.clouds.get(of.metadata.name)
    return report is not None and report.has_given_back(seen.metadata.key)


def holds_back(seen: SeenHAVip, observed: Observed) -> str:
    """What keeps a deleted HAVip in its cloud, in words; "" = nothing of it is there."""
    of = observed.snapshot.classes.get(seen.object.status.class_name or "")
    if of is None or has_given_back(seen, observed.snapshot):
        return ""
    report = observed.snapshot.clouds.get(of.metadata.name)
    trouble = report.trouble.message if report is not None and report.trouble is not None else ""
    if secret_missing(of.object, observed):
        trouble = not_allowed(of)
    but = f", but: {trouble}{WAY_OUT}" if trouble else ""
    return f"waiting until {of.object.spec.provider.value} has nothing of it any more{but}"


def gives_back(of: SeenClass, snapshot: Snapshot) -> bool:
    """Whether a class without HAVips has nothing left in its cloud, or is to be let go all the same."""
    if not is_called(of.object) or goes_anyway(of.metadata):
        return True
    report = snapshot.clouds.get(of.metadata.name)
    return report is not None and report.empty


def _wish(seen: SeenClass, observed: Observed, plans: list[VipPlan]) -> CloudWish:
    spec = seen.object.spec
    name = seen.metadata.name
    frozen = observed.snapshot.is_frozen(name)
    carried = [plan for plan in plans if plan.assignments and plan.verdict.admitted and not frozen]
    kept = {plan.verdict.key for plan in plans if frozen or _keeps(plan)}
    unreadable = {
        key
        for key in observed.snapshot.unreadable
        if any(member.class_name == name for member in observed.allocated.get(key, ()))
    }
    members = {member.node: member for member in observed.of_class.get(name, ())}
    vips = tuple(_wanted_vip(plan) for plan in sorted(carried, key=lambda plan: plan.verdict.key))
    nodes = sorted({node for vip in vips for node in vip.candidates})
    wanted = Wanted(
        owner=Owner(observed.snapshot.cluster, name),
        settings=spec.azure or spec.huawei or spec.tencent,
        vips=vips,
        nodes=tuple(
            CloudNode(node, tuple(one.ip for one in members[node].own))
            for node in nodes
            if node in members and members[node].own
        ),
        kept=frozenset(kept | unreadable),
    )
    statuses = {plan.verdict.key: plan.verdict.seen.object.status for plan in carried}
    active = {
        key: ActiveOn(status.active_node, status.transitions or 0)
        for key, status in statuses.items()
        if status.active_node is not None
    }
    return CloudWish(spec.provider.value, wanted, spec.credentials_secret or "", active)


def _keeps(plan: VipPlan) -> bool:
    """Whether what the cloud has of it stays as it is: it gets nothing new, or has no node just now. A class whose
    nodes are all away for a night must not lose its addresses to others."""
    return not plan.assignments if plan.verdict.admitted else plan.verdict.holds


def _wanted_vip(plan: VipPlan) -> WantedVip:
    """Its candidates are the nodes that may hold it now or after this step."""
    verdict = plan.verdict
    instances = [one.instance for one in plan.assignments.values()]
    return WantedVip(
        havip=verdict.key,
        addresses=verdict.addresses,
        candidates=tuple(sorted({*plan.target, *plan.step.roles})),
        ports=tuple(sorted((one.protocol.value, one.port) for one in verdict.frontends)),
        probe_port=next((one.probe.port for one in instances if one.probe is not None), None),
        public_ip=verdict.seen.object.spec.public_ip,
        leaving=tuple(sorted({*plan.step.roles} - {*plan.target})),
    )
