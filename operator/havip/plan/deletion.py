"""Giving up: what a HAVip had is taken off the nodes, and it is let go when nobody can hold its address any more.

First every record is turned into a *quarantined* one: not eligible, without peers. A node that confirms this holds
nothing. A node that cannot be asked (NotReady for `CUT_OFF_AFTER`) does not hang the deletion, but it may be alive
and only cut off: its record stays in its HAVipNode, and while it stays, neither the address nor the virtual router
id is given to anybody. It goes when the node has confirmed, when its Node is gone, or with the annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from havip.model.keys import GROUP, Key
from havip.model.node import Assignment
from havip.plan.observed import Member, Standing, quarantined
from havip.plan.snapshot import Metadata, SeenHAVip

RELEASE_ANYWAY = f"{GROUP}/release-anyway"
WAY_OUT = f"; annotate it with {RELEASE_ANYWAY}=true to leave the cloud as it is"
"""On a HAVip that is being deleted: "true" = do not wait for any node, and keep nothing back."""


@dataclass(frozen=True, slots=True)
class Release:
    """How far a HAVip is given up. `records`: what stays, by HAVipNode. `waiting`: nodes that are still asked.

    `cut_off`: nodes that cannot be asked. `done`: the HAVip may go.
    """

    records: dict[str, Assignment]
    waiting: tuple[str, ...] = ()
    cut_off: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return not self.waiting


def goes_anyway(metadata: Metadata) -> bool:
    """Whether a person has said that a deletion is to wait for nothing."""
    return metadata.annotations.get(RELEASE_ANYWAY) == "true"


def release(havip: Key, members: Sequence[Member], *, seen: SeenHAVip | None) -> Release:
    """The records of one HAVip on `members`, one step nearer to nothing. `seen` None = the HAVip is gone already."""
    if seen is not None and goes_anyway(seen.metadata):
        return Release({})
    left = [member for member in members if member.standing is not Standing.GONE]
    unreachable = [member for member in left if member.standing is Standing.CUT_OFF]
    given_up = [member for member in left if _given_up(member, havip)]
    waiting = [member for member in left if member not in unreachable and member not in given_up]
    staying = left if waiting else unreachable  # all at once, so that an id is free on all nodes or on none
    return Release(
        records={member.name: _quarantine(member.assignments[havip]) for member in staying},
        waiting=tuple(sorted(member.node for member in waiting)),
        cut_off=tuple(sorted(member.node for member in unreachable)),
    )


def _given_up(member: Member, havip: Key) -> bool:
    return quarantined(member.assignments[havip]) and member.confirmed and not member.answers(havip)


def _quarantine(record: Assignment) -> Assignment:
    if quarantined(record) and not record.frontends:
        return record
    return Assignment(replace(record.instance, eligible=False, peers=(), tracked=False), ())
