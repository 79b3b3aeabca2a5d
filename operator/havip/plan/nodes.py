"""The HAVipNodes of every class: which there should be and what each is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from havip.model.keys import node_object_name
from havip.model.node import Assignment, NodeSpec
from havip.plan.observed import Member, Observed
from havip.plan.settings import interface_of, timing_of
from havip.plan.snapshot import SeenClass


@dataclass(frozen=True, slots=True)
class NodeObjects:
    """`specs`: HAVipNodes that are to be, by name. `unneeded`: those that may be deleted now."""

    specs: Mapping[str, NodeSpec]
    unneeded: tuple[str, ...]


def node_objects(
    observed: Observed,
    assigned: Mapping[str, list[Assignment]],
    *,
    solo: Set[str],
    closing: Set[str],
) -> NodeObjects:
    """`assigned`: what each HAVipNode is to do. `solo`: those with a VIP that is meant to be there alone.

    `closing`: classes that make no new HAVipNodes because they are on their way out.
    """
    specs: dict[str, NodeSpec] = {}
    for name, seen in sorted(observed.snapshot.classes.items()):
        redundant = _candidates_to_be(observed, seen) >= 2
        for node in [] if name in closing else [one.name for one in observed.wanted_nodes(seen)]:
            own = node_object_name(name, node)
            specs[own] = _spec(seen, node, assigned.get(own, ()), redundant=redundant and own not in solo)
        for member in observed.of_class[name]:
            if member.name not in specs and (member.name in assigned or not _deletable(member)):
                specs[member.name] = _spec(
                    seen, member.node, assigned.get(member.name, ()), redundant=redundant and member.name not in solo
                )
    for member in observed.members.values():
        if member.class_name not in observed.snapshot.classes and (member.name in assigned or not _deletable(member)):
            specs[member.name] = replace(member.seen.spec, assignments=_sorted(assigned.get(member.name, ())))
    # A Node that is gone takes its HAVipNode along, whatever is on it: there is nobody left to ask.
    gone = {member.name for member in observed.members.values() if member.kube is None}
    specs = {name: spec for name, spec in specs.items() if name not in gone}
    return NodeObjects(specs, tuple(name for name in observed.members if name not in specs))


def _deletable(member: Member) -> bool:
    """Whether a HAVipNode that nobody needs may go: it is empty (and a record is only removed when it is given up)."""
    return not member.assignments


def _candidates_to_be(observed: Observed, seen: SeenClass) -> int:
    """Nodes that have told their interface, or may still do: with two or more, nobody is to elect himself alone."""
    there = {member.node: member for member in observed.of_class[seen.metadata.name]}
    wanted = [node.name for node in observed.wanted_nodes(seen)]
    return sum(1 for node in wanted if node not in there or there[node].own or there[node].young)


def _spec(seen: SeenClass, node: str, assignments: Iterable[Assignment], *, redundant: bool) -> NodeSpec:
    return NodeSpec(
        class_name=seen.metadata.name,
        node=node,
        interface=interface_of(seen.object),
        timing=timing_of(seen.object),
        redundant=redundant,
        assignments=_sorted(assignments),
    )


def _sorted(assignments: Iterable[Assignment]) -> tuple[Assignment, ...]:
    return tuple(sorted(assignments, key=lambda one: one.instance.havip))


def by_node(plans: Iterable[Mapping[str, Assignment]]) -> dict[str, list[Assignment]]:
    """Per-VIP assignments turned around."""
    out: dict[str, list[Assignment]] = {}
    for plan in plans:
        for name, assignment in plan.items():
            out.setdefault(name, []).append(assignment)
    return out
