"""From the node's orders to what of them is carried out: the election document, and the orders without the rest. Pure.

The agent adds what only this node knows: the interface, its own addresses, and that a VIP with front ends depends on
the local haproxy. What must not be elected here must not be served here either: haproxy gets the same reduced orders.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from havip.agent.desired import Desired
from havip.agent.interface import Resolved
from havip.model.election import Election, Instance, read_election
from havip.model.node import Assignment
from havip.model.refusal import LeftOut


@dataclass(frozen=True, slots=True)
class Effective:
    """`desired` holds only what is carried out, `left_out` names the rest as far as the keeper will not name it itself.

    `election` is None as long as there is no interface: the keeper's last document then stays in force.
    """

    desired: Desired
    resolved: Resolved
    election: Election | None = None
    left_out: tuple[LeftOut, ...] = ()


def effective(desired: Desired, resolved: Resolved) -> Effective:
    kept, left_out = _without_clashes(desired, resolved)
    if resolved.report is None:
        return Effective(_only(desired, kept), resolved, None, left_out)
    election = Election(
        class_name=desired.spec.class_name,
        node=desired.spec.node,
        generation=desired.generation,
        interface=resolved.report.name,
        timing=desired.spec.timing,
        redundant=desired.spec.redundant,
        instances=tuple(_instance(item) for item in kept),
    )
    # Read as the keeper will: two HAVips with one address are one to it, and must not be two to haproxy.
    taken = {instance.havip for instance in read_election(election.to_json())[0].instances}
    kept = tuple(item for item in kept if item.instance.havip in taken)
    return Effective(_only(desired, kept), resolved, election, left_out)


def document(election: Election) -> bytes:
    """The bytes of the election document: equal orders give equal bytes."""
    return json.dumps(election.to_json(), indent=1, sort_keys=True).encode() + b"\n"


def _without_clashes(desired: Desired, resolved: Resolved) -> tuple[tuple[Assignment, ...], tuple[LeftOut, ...]]:
    kept: list[Assignment] = []
    left_out: list[LeftOut] = []
    for item in desired.spec.assignments:
        clash = sorted(map(str, resolved.clashes.intersection(item.instance.addresses)))
        if clash:
            message = f"must not be an address of the node itself; {clash[0]} is one on {desired.spec.node}"
            left_out.append(LeftOut(str(item.instance.havip), "AddressIsNodes", "addresses", message))
        else:
            kept.append(item)
    return tuple(kept), tuple(left_out)


def _only(desired: Desired, kept: tuple[Assignment, ...]) -> Desired:
    if kept == desired.spec.assignments:
        return desired
    return replace(desired, spec=replace(desired.spec, assignments=kept))


def _instance(item: Assignment) -> Instance:
    return replace(item.instance, tracked=bool(item.frontends))
