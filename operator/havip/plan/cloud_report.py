"""What is known of the cloud side of a class: a value that whoever calls clouds writes and the plan reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from havip.model.cloud import Wanted, WantedVip
from havip.model.keys import Key


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the cloud does not do it: a reason in one CamelCase word, and a message for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SeenAt:
    """Where the cloud itself shows a VIP, some time after a switch, for a cloud that says so.

    `node`: "" = an instance that is no node of ours. `since` as the cloud writes it. `transitions`: the HAVip's count
    of them when the cloud was asked; later ones it says nothing about.
    """

    node: str
    instance: str
    since: str
    transitions: int


@dataclass(frozen=True, slots=True)
class CloudReport:
    """Of the wish `wanted`, as seen when the cloud was looked at last.

    `pending`: HAVips that something is left to do for, those included that are being given back. `unnamed`: whether
    something is left to do that is for no HAVip by name, such as a network interface leaving a pool. `blocked`: HAVips
    whose cloud objects are left as they are, and why. `trouble`: what keeps the whole class from being looked at.
    `shown`: where the cloud shows VIPs. `announce`: HAVips whose active node is to announce them again, and the moment
    of that, in seconds since 1970: a network that learns by announcements believed none before.
    """

    wanted: Wanted
    looked: bool
    """Whether the cloud has been looked at since this wish; otherwise the rest says nothing yet."""
    pending: frozenset[Key] = frozenset()
    unnamed: bool = False
    blocked: Mapping[Key, Trouble] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    shown: Mapping[Key, SeenAt] = field(default_factory=dict)
    announce: Mapping[Key, int] = field(default_factory=dict)
    carried: Mapping[Key, WantedVip] = field(default_factory=dict)
    """Each VIP as it was when the cloud had all of it, as far as this process has seen that."""
    trouble: Trouble | None = None

    def carries(self, havip: Key) -> bool:
        """Whether the cloud is exactly as wanted for this HAVip."""
        return self.looked and havip not in self.pending and havip not in self.blocked

    def has_given_back(self, havip: Key) -> bool:
        """Whether nothing of this HAVip is left in the cloud."""
        wanted = havip in self.wanted.kept or any(vip.havip == havip for vip in self.wanted.vips)
        return self.looked and not wanted and havip not in self.pending and not self.unnamed

    @property
    def empty(self) -> bool:
        """Whether nothing of the class is left in the cloud."""
        wanted = self.wanted.vips or self.wanted.kept
        return self.looked and not (wanted or self.pending or self.unnamed or self.trouble)
