"""The usual case, found out quickly: a VIP at rest. Nine passes of ten are about VIPs to which nothing happens.

It must answer "at rest" only where `rolling` and `instances` would leave every instance as it is; a test holds the
two together. When in doubt it says no, and the long way is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from havip.model.keys import Key
from havip.model.node import Assignment
from havip.plan.observed import Member
from havip.plan.rolling import Role, Step

Record = tuple[Member, Assignment]


def at_rest(havip: Key, records: Sequence[Record], *, count: int, preferred: tuple[str, ...]) -> Step | None:
    """The step that changes nothing, if nothing is to change: its roles are in order of rank. None = look closer."""
    if len(records) != count or not all(_quiet(member, record, preferred) for member, record in records):
        return None
    if sum(member.active(havip) for member, _ in records) > 1:
        return None
    sources = {member.node: record.instance.source for member, record in records}
    if not sources.keys() >= set(preferred) or not all(_agrees(one, record, sources) for one, record in records):
        return None
    ranked = sorted(records, key=lambda one: -one[1].instance.priority)
    bases = [record.instance.priority for _, record in ranked]
    nodes = [member.node for member, _ in ranked]
    if any(higher <= lower for higher, lower in pairwise(bases)) or tuple(nodes[: len(preferred)]) != preferred:
        return None
    return Step(dict.fromkeys(nodes, Role.ELIGIBLE), dict(zip(nodes, bases, strict=True)), preferred, settled=True)


def _quiet(member: Member, record: Assignment, preferred: tuple[str, ...]) -> bool:
    instance = record.instance
    return (
        member.confirmed
        and member.belongs
        and member.ready
        and instance.eligible
        and instance.preferred == preferred
        and any(instance.source == own.ip for own in member.own)
    )


def _agrees(member: Member, record: Assignment, sources: Mapping[str, object]) -> bool:
    """Whether its peers are all the others, at the addresses they have."""
    peers = record.instance.peers
    return len(peers) == len(sources) - 1 and all(
        peer.node != member.node and sources.get(peer.node) == peer.address for peer in peers
    )
