"""What haproxy refused, remembered for a while: left out by itself, so that the rest goes on. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from havip.agent.haproxy.context import BackendSection, Configuration, FrontendSection, empty_backend
from havip.model.keys import Key
from havip.model.refusal import LeftOut

GIVEN_UP_SECONDS = 60.0
"""When a configuration that failed as a whole is tried again: each attempt costs processes, or a failed reload."""

Section = FrontendSection | BackendSection
LastGood = Mapping[Key, BackendSection]


@dataclass(frozen=True, slots=True)
class _GivenUp:
    wanted: Configuration
    message: str
    until: float


class Refusals:
    """`clock` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sections: dict[Section, str] = {}
        self._until = 0.0
        self._given_up: _GivenUp | None = None

    def __contains__(self, section: Section) -> bool:
        return section in self._sections

    def remember(self, refused: Collection[tuple[Section, str]], *, seconds: float) -> None:
        """Sections and why; after `seconds` all that is remembered gets another chance."""
        if refused:
            self._sections.update(refused)
            self._until = self._clock() + seconds

    def expire(self) -> None:
        if self._clock() >= self._until:
            self._sections.clear()

    def give_up(self, wanted: Configuration, message: str) -> None:
        """`wanted` failed as a whole, and no part of it is known to be the reason."""
        self._given_up = _GivenUp(wanted, message, self._clock() + GIVEN_UP_SECONDS)

    def given_up(self, wanted: Configuration) -> str:
        """What was said when the very same failed as a whole a short while ago; else nothing."""
        past = self._given_up
        return past.message if past is not None and past.wanted == wanted and self._clock() < past.until else ""

    def without(self, configuration: Configuration, last_good: LastGood) -> Configuration:
        """The configuration without refused front ends, and refused pools in their last good form, or empty."""
        if not self._sections:
            return configuration
        return Configuration(
            frontends=tuple(front for front in configuration.frontends if front not in self),
            backends=tuple(self._or_last_good(backend, last_good) for backend in configuration.backends),
        )

    def _or_last_good(self, backend: BackendSection, last_good: LastGood) -> BackendSection:
        if backend not in self:
            return backend
        last = last_good.get(backend.pool)
        return empty_backend(backend.pool) if last is None or last in self else last

    def left_out(self, configuration: Configuration) -> tuple[LeftOut, ...]:
        """What of `configuration` is refused, one for each front end that it concerns."""
        pools = {item.pool: why for item, why in self._sections.items() if item in configuration.backends}
        out = []
        for front in configuration.frontends:
            if front in self:
                out.append(front.left_out("Refused", f"haproxy refuses this front end: {self._sections[front]}"))
            if front.pool in pools:
                message = f"haproxy refuses pool {front.pool}, its last good form stays: {pools[front.pool]}"
                out.append(replace(front.left_out("Refused", message), field=f"frontends[{front.frontend}].poolRef"))
        return tuple(out)
