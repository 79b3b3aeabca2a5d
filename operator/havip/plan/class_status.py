"""HAVipClass.status: its nodes, its users, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from havip.api.v1alpha1 import HAVipClassStatus
from havip.api.v1alpha1.havip_class import IN_USE_BY
from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.plan.admission import network
from havip.plan.classes import is_default
from havip.plan.clouds import not_allowed, secret_missing
from havip.plan.conditions import Statement, false, stamped, true
from havip.plan.deletion import WAY_OUT
from havip.plan.observed import Observed
from havip.plan.reasons import Reason, Type
from havip.plan.snapshot import SeenClass

NAMED = 5


def class_status(
    seen: SeenClass, observed: Observed, *, users: Sequence[Key], defaults: Sequence[str]
) -> HAVipClassStatus:
    """`users`: HAVips of the class, in order, those included that are still being given up."""
    statements = [_ready(seen, observed), *_default(seen, defaults)]
    if seen.metadata.deleting:
        statements.append(_in_use(users))
    return HAVipClassStatus(
        conditions=stamped(
            statements, seen.object.status.conditions, now=observed.snapshot.now, generation=seen.metadata.generation
        ),
        observed_generation=seen.metadata.generation,
        nodes=sum(1 for _ in observed.wanted_nodes(seen)),
        vips=len(users),
        in_use_by=tuple(str(key) for key in users[:IN_USE_BY]),
    )


def _ready(seen: SeenClass, observed: Observed) -> Statement:
    for index, text in enumerate(seen.object.spec.address_ranges):
        try:
            network(text)
        except Refused as refused:
            return false(Type.READY, Reason.RANGE_INVALID, f"spec.addressRanges[{index}]: {refused.message}")
    if not observed.snapshot.template_digest:
        return false(
            Type.READY, Reason.NO_TEMPLATE, "the chart's ConfigMap havip-node-template is missing; run helm upgrade"
        )
    report = observed.snapshot.clouds.get(seen.metadata.name)
    way_out = WAY_OUT if seen.metadata.deleting else ""
    if secret_missing(seen.object, observed):
        return false(Type.READY, Reason.CREDENTIALS_NOT_ALLOWED, not_allowed(seen) + way_out)
    if report is not None and report.trouble is not None:
        message = f"{seen.object.spec.provider.value}: {report.trouble.message}{way_out}"
        return false(Type.READY, report.trouble.reason, message)
    wanted = [node.name for node in observed.wanted_nodes(seen)]
    if not wanted:
        return false(
            Type.READY, Reason.NO_NODES, "spec.nodes: no Node matches selector and tolerations; label the nodes to use"
        )
    telling = {member.node for member in observed.of_class[seen.metadata.name] if member.own}
    silent = [node for node in wanted if node not in telling]
    if silent:
        return false(
            Type.READY,
            Reason.NODES_NOT_REPORTING,
            f"{len(silent)} of {len(wanted)} nodes have not reported an interface: {_named(silent)}"
            + _said_by(seen, silent, observed),
        )
    said = [_reporting(wanted, seen, observed), *(report.warnings if report else ())]
    return true(Type.READY, Reason.NODES_REPORTING, "; ".join(said))


def _reporting(wanted: Sequence[str], seen: SeenClass, observed: Observed) -> str:
    """What its nodes said last is known; of those that are NotReady it may be old."""
    away = [
        member.node for member in observed.of_class[seen.metadata.name] if member.node in wanted and not member.ready
    ]
    if not away:
        return f"all {len(wanted)} nodes report"
    return f"{len(wanted) - len(away)} of {len(wanted)} nodes report; NotReady: {_named(sorted(away))}"


def _named(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return ", ".join(nodes[:NAMED]) + more


def _said_by(seen: SeenClass, silent: Sequence[str], observed: Observed) -> str:
    """What one of the silent nodes says of its own."""
    for node in silent:
        member = observed.member(seen.metadata.name, node)
        if member is not None and member.seen.status is not None and member.seen.status.error:
            return f"; {node}: {member.seen.status.error}"
    return ""


def _default(seen: SeenClass, defaults: Sequence[str]) -> Iterable[Statement]:
    if not is_default(seen) or seen.metadata.deleting:
        return
    others = [name for name in defaults if name != seen.metadata.name]
    if others:
        yield false(
            Type.DEFAULT,
            Reason.TWO_DEFAULT_CLASSES,
            f"{', '.join(others)} says so too, so neither is used; take the annotation off all but one",
        )
    else:
        yield true(Type.DEFAULT, Reason.IS_DEFAULT, "HAVips without className use this class")


def _in_use(users: Sequence[Key]) -> Statement:
    if not users:
        return false(Type.IN_USE, Reason.NOT_USED, "no HAVip uses this class")
    names = ", ".join(str(key) for key in users[:IN_USE_BY])
    return true(
        Type.IN_USE, Reason.IN_USE, f"the class is deleted and stays until no HAVip uses it; it is used by {names}"
    )
