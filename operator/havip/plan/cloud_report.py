"""What is known of the cloud side of a class: a value that whoever calls clouds writes and the plan reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from havip.model.cloud import Wanted
from havip.model.keys import Key


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the cloud does not do it: a reason in one CamelCase word, and a message for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CloudReport:
    """Of the wish `wanted`, as seen when the cloud was looked at last.

    `pending`: HAVips that something is left to do for, those included that are being given back. `blocked`: HAVips
    whose cloud objects are left as they are, and why. `trouble`: what keeps the whole class from being looked at.
    """

    wanted: Wanted
    looked: bool
    """Whether the cloud has been looked at since this wish; otherwise the rest says nothing yet."""
    pending: frozenset[Key] = frozenset()
    blocked: Mapping[Key, Trouble] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    trouble: Trouble | None = None

    def carries(self, havip: Key) -> bool:
        """Whether the cloud is exactly as wanted for this HAVip."""
        return self.looked and havip not in self.pending and havip not in self.blocked

    def has_given_back(self, havip: Key) -> bool:
        """Whether nothing of this HAVip is left in the cloud."""
        wanted = havip in self.wanted.kept or any(vip.havip == havip for vip in self.wanted.vips)
        return self.looked and not wanted and havip not in self.pending

    @property
    def empty(self) -> bool:
        """Whether nothing of the class is left in the cloud."""
        return self.looked and not self.wanted.vips and not self.wanted.kept and not self.pending and not self.trouble
