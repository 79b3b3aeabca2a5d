"""From the node's orders to the election document for the keeper. Pure.

The agent adds what only this node knows: the interface, and that a VIP with front ends depends on the local haproxy.
"""

from __future__ import annotations

import json
from dataclasses import replace

from havip.agent.desired import Desired
from havip.agent.interface import Resolved
from havip.model.election import Election, Instance
from havip.model.node import Assignment
from havip.model.refusal import LeftOut


def elect(desired: Desired, resolved: Resolved) -> tuple[Election | None, tuple[LeftOut, ...]]:
    """The document, None as long as there is no interface: the keeper's last one then stays in force."""
    if resolved.report is None:
        return None, ()
    instances: list[Instance] = []
    left_out: list[LeftOut] = []
    for item in desired.spec.assignments:
        clash = sorted(map(str, resolved.clashes.intersection(item.instance.addresses)))
        if clash:
            message = f"must not be an address of the node itself; {clash[0]} is one on {desired.spec.node}"
            left_out.append(LeftOut(str(item.instance.havip), "AddressIsNodes", "addresses", message))
        else:
            instances.append(_instance(item))
    election = Election(
        class_name=desired.spec.class_name,
        node=desired.spec.node,
        generation=desired.generation,
        interface=resolved.report.name,
        timing=desired.spec.timing,
        redundant=desired.spec.redundant,
        instances=tuple(instances),
    )
    return election, tuple(left_out)


def document(election: Election) -> bytes:
    """The bytes of the election document: equal orders give equal bytes."""
    return json.dumps(election.to_json(), indent=1, sort_keys=True).encode() + b"\n"


def _instance(item: Assignment) -> Instance:
    return replace(item.instance, tracked=bool(item.frontends))
