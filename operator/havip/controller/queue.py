"""What has to be looked at again, and when: each key once, with back-off per key. No loop, no sleep, no I/O here."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays after failures in a row, in seconds: `first`, then doubled up to `longest`; `spread` = share of jitter."""

    first: float = 0.2
    longest: float = 60.0
    spread: float = 0.2

    def delay(self, failures: int, chance: float) -> float:
        """`failures` >= 1; `chance` from 0 to 1 decides where in the spread."""
        exponent = min(failures - 1, 30)  # 2**30 is past any `longest`; more would overflow one day
        nominal = min(self.first * 2.0**exponent, self.longest)
        return nominal * (1 - self.spread + 2 * self.spread * chance)


class Queue(Generic[K]):
    """Keys with the time they are due, on the clock that is passed in (monotonic seconds).

    A key added while it waits is not there twice; what makes it due earlier wins. A key whose write failed is *held*:
    it is not written again before its back-off is over, unless something new about it is seen.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
        coalesce: float,
        backoff: Backoff,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._coalesce = coalesce
        self._backoff = backoff
        self._due: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._held: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: K) -> None:
        """Something new was seen: look soon, and let a held key try again."""
        self._held.pop(key, None)
        self.look(key, after=self._coalesce)

    def look(self, key: K, *, after: float) -> None:
        """Look at the key in `after` seconds, or earlier if it was due earlier."""
        when = self._clock() + after
        self._due[key] = min(when, self._due.get(key, when))

    def wait(self) -> float | None:
        """Seconds until something is due: 0 = now, None = nothing waits."""
        if not self._due:
            return None
        return max(0.0, min(self._due.values()) - self._clock())

    def take(self) -> frozenset[K]:
        """Every key that is due, taken out; one that is held comes again when its back-off is over."""
        now = self._clock()
        taken = frozenset(key for key, when in self._due.items() if when <= now)
        for key in taken:
            if self.held(key):
                self._due[key] = self._held[key]
            else:
                del self._due[key]
        return taken

    def held(self, key: K) -> bool:
        return self._held.get(key, self._clock()) > self._clock()

    def failed(self, key: K, *, at_least: float = 0.0) -> float:
        """A write of the key failed: hold it and look again after the back-off. Returns the delay in seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, self._backoff.delay(self._failures[key], self._chance()))
        self._held[key] = self._clock() + delay
        # What is due earlier for other reasons stays: the key is held, the pass is not.
        self._due.setdefault(key, self._held[key])
        return delay

    def succeeded(self, key: K) -> None:
        """A write of the key worked: its next failure starts from the shortest delay."""
        self._failures.pop(key, None)
        self._held.pop(key, None)

    def forget(self, key: K) -> None:
        """The object is gone."""
        self._failures.pop(key, None)
        self._held.pop(key, None)
