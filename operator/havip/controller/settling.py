"""When a status is worth a write: once it has stopped changing. Pure; the clock is passed in.

Between the order to twelve nodes and the last of their answers a plan wants a dozen statuses of each VIP, a failover
wants three. Nobody reads those in between; each would be a write, its echo and perhaps an Event.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_TIMES = frozenset({"lastTransitionTime"})
"""Fields that say when a status was made up; every plan of an unwritten one has a newer time."""


@dataclass(slots=True)
class _Wish:
    status: object
    first: float
    changed: float


class Settling(Generic[K]):
    """Statuses that are wanted and not written. `quiet`, `longest` in seconds: a status is due when it has been
    wanted unchanged for `quiet`, or when any has been wanted for `longest`.
    """

    def __init__(self, *, clock: Callable[[], float], quiet: float, longest: float) -> None:
        self._clock = clock
        self._quiet = quiet
        self._longest = longest
        self._wishes: dict[K, _Wish] = {}

    def wait(self, key: K, status: Mapping[str, object]) -> float:
        """Seconds until this status of the object is due; 0 = now."""
        now = self._clock()
        timeless = _without_times(status)
        wish = self._wishes.setdefault(key, _Wish(timeless, now, now))
        if wish.status != timeless:
            wish.status, wish.changed = timeless, now
        return max(0.0, min(wish.changed + self._quiet, wish.first + self._longest) - now)

    def done(self, key: K) -> None:
        """Written, or the object is gone."""
        self._wishes.pop(key, None)

    def keep_only(self, wanted: frozenset[K]) -> None:
        """Forget what is not wanted any more: the status in the cluster is right again."""
        for key in self._wishes.keys() - wanted:
            del self._wishes[key]


def _without_times(status: Mapping[str, object]) -> object:
    """Comparable, and cheap: it is made of every status that waits, in every pass."""
    conditions = status.get("conditions")
    rest = {name: item for name, item in status.items() if name != "conditions"}
    if not isinstance(conditions, list):
        return rest, conditions
    return rest, [[item for name, item in one.items() if name not in _TIMES] for one in conditions]
