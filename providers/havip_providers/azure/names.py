"""Names of what we make on a load balancer: children have no tags, so a name says whose and for which HAVip.

    havip-<owner>-<HAVip>-<namespace.name, as much as fits>-<what>

`owner` and `HAVip` are digests of fixed length, so no owner's names begin like another's, and 80 characters (all that
Azure gives) always suffice. The rest is for people; where it is whole, the HAVip can be read back from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from havip.model.keys import Key
from havip.model.refusal import Refused
from havip.provider import Owner

LONGEST = 80
_READABLE = 35
"""What is left of 80 for namespace and name, with the longest end, `-v4-tcp-65535`."""
_OURS = re.compile(r"havip-[0-9a-f]{12}-(?P<digest>[0-9a-f]{12})-(?P<readable>.+)-(v[46](-[a-z]+-\d+)?|probe)")

OWNER_TAG = "havip-owner"
"""On a load balancer that we made: the mark of who did."""
FORWARDING_TAG = "havip-forwarding-"
"""On a network interface, with an owner's digest behind it: IP forwarding was off before and is on for this owner."""


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=6).hexdigest()


def digest_of(key: Key) -> str:
    return _digest(str(key))


def digest_in(name: str) -> str | None:
    """The HAVip's digest in the name of a front end, probe or rule; None in that of a pool."""
    found = _OURS.fullmatch(name)
    return found["digest"] if found else None


def key_in(name: str) -> Key | None:
    """The HAVip in a name, if all of it is there."""
    found = _OURS.fullmatch(name)
    namespace, _, rest = found["readable"].partition(".") if found else ("", "", "")
    try:
        key = Key.parse(f"{namespace}/{rest}")
    except Refused:
        return None
    return key if found and digest_of(key) == found["digest"] else None


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one owner."""

    mark: str
    prefix: str

    @classmethod
    def of(cls, owner: Owner) -> Names:
        return cls(owner.mark, f"havip-{_digest(owner.mark)}-")

    @property
    def forwarding_tag(self) -> str:
        return FORWARDING_TAG + _digest(self.mark)

    def ours(self, name: str) -> bool:
        return name.startswith(self.prefix)

    def front_end(self, key: Key, version: int) -> str:
        return f"{self._base(key)}-v{version}"

    def probe(self, key: Key) -> str:
        return f"{self._base(key)}-probe"

    def rule(self, key: Key, version: int, *, protocol: str, port: int) -> str:
        return f"{self._base(key)}-v{version}-{protocol.lower()}-{port}"

    def pool(self, candidates: Iterable[str], version: int) -> str:
        """One for each set of candidates: a node answers a probe port only for VIPs whose candidate it is."""
        return f"{self.prefix}pool-{_digest(' '.join(sorted(candidates)))}-v{version}"

    def _base(self, key: Key) -> str:
        readable = f"{key.namespace}.{key.name}"[:_READABLE]
        return f"{self.prefix}{digest_of(key)}-{readable}"
