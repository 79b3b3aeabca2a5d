"""What is to be done in a cloud, as data: ordered, printable, each step safe to stop after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from havip.model.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One call that writes. Providers add what it takes to make it.

    `stage`: changes of one stage may run side by side, a later stage waits for them. `on`: the cloud object that is
    written, by its id; two changes on one object never run together. `what`: one line for people. `havips`: those
    that are not carried before it is done.
    """

    stage: int
    on: str
    what: str
    havips: tuple[Key, ...] = ()

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found wrong before anything was called.

    `havip`: None = the whole class. `field`: of the HAVip or the class, "" where none is to blame. `blocks`: the VIP's
    cloud objects are left as they are until it is mended; otherwise it is a warning. `permission`: what is missing.
    """

    havip: Key | None
    field: str
    message: str
    blocks: bool = True
    permission: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True)
class Holder:
    """Where the cloud sees a VIP. `node` is "" for an instance that is no node of ours; `since` as the cloud says."""

    node: str
    instance: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` in order; empty = the cloud is as it should be, but for what `findings` block.

    `holders`: what the cloud itself says about who holds a VIP, where it says so.
    """

    changes: Sequence[Change] = ()
    findings: Sequence[Finding] = ()
    holders: Mapping[Key, Holder] = field(default_factory=dict)
