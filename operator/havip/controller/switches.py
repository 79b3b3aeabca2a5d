"""When the VIPs of a class moved last, and what its cloud shows of them since: data, for whoever looks at clouds.

Times are given, never read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from havip.model.keys import Key
from havip.plan.cloud_report import SeenAt
from havip.plan.clouds import ActiveOn
from havip.provider import Holder

_TELLINGS = 3
"""Most times that a switch is announced again, because the cloud still shows another node."""


@dataclass(slots=True)
class Switches:
    """`patience`: seconds that a cloud has to notice a switch."""

    patience: float
    active: Mapping[Key, ActiveOn] = field(default_factory=dict)
    _at: dict[Key, float] = field(default_factory=dict)
    _told: dict[Key, int] = field(default_factory=dict)

    def note(self, active: Mapping[Key, ActiveOn], now: float) -> bool:
        """These are the active nodes now; whether a VIP has moved. One that was not known before has not."""
        moved = [key for key, on in active.items() if self.active.get(key, on) != on]
        self.active = active
        self._at = {key: at for key, at in self._at.items() if key in active} | dict.fromkeys(moved, now)
        self._told = {key: told for key, told in self._told.items() if key in active and key not in moved}
        return bool(moved)

    def shown(self, holders: Mapping[Key, Holder], now: float) -> dict[Key, SeenAt]:
        """What the cloud shows of VIPs that did not move just now."""
        return {
            key: SeenAt(one.node, one.instance, one.since, on.transitions)
            for key, one in holders.items()
            if (on := self.active.get(key)) is not None and now - self._at.get(key, -self.patience) >= self.patience
        }

    def to_tell(self, shown: Mapping[Key, SeenAt]) -> list[Key]:
        """VIPs that the cloud shows on another node and that are to be announced again; each so often at most."""
        elsewhere = [key for key, one in shown.items() if one.node != self.active[key].node]
        again = [key for key in elsewhere if self._told.get(key, 0) < _TELLINGS]
        self._told |= {key: self._told.get(key, 0) + 1 for key in again}
        return again
