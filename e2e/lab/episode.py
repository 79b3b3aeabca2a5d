"""One fault as a client lives through it: who held the address, what was lost, what it looked like from outside."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from e2e.lab.declare import Vip
from e2e.lab.follow import NotInTime
from e2e.lab.history import ClientHistory, Figures, HolderHistory, Kind, Overlap, Stretch
from e2e.lab.lab import SCENARIO_SPACING, Lab, Node
from e2e.lab.measuring import now
from e2e.lab.namespaces import Namespace


class Episode:
    """Begins when the client is answered, ends when the `with` block does; prints its figures then."""

    def __init__(
        self,
        lab: Lab,
        vip: Vip,
        title: str,
        *,
        spacing_ms: Mapping[Kind, float] = SCENARIO_SPACING,
        kinds: Sequence[Kind] = (),
        source: Namespace | None = None,
    ) -> None:
        self._lab, self._vip, self._title = lab, vip, title
        self.client = lab.client_of(vip, spacing_ms=spacing_ms, kinds=kinds, source=source)
        self.before: Node
        self._clients: ClientHistory
        self._holders: HolderHistory
        self.stretch: Stretch

    def __enter__(self) -> Episode:
        try:
            self.before = self._lab.active(self._vip)
            self._began = self.client.wait_answered()
        except BaseException:
            self.client.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.stretch = Stretch(self._began, now())
                self._clients = self.client.history()
                self._holders = self._lab.observer.history()
                print(self)
        finally:
            self.client.close()

    def wait_moved(self, *, seconds: float = 10.0) -> Node:
        """Wait until another node than at the beginning holds every address and answers the client."""
        observer, deadline = self._lab.observer, time.monotonic() + seconds
        while True:
            number = observer.wait_one_holder_of_all(self._vip.addresses, but=self.before.number, seconds=seconds)
            try:
                self.client.wait_answered(by=number, seconds=2)
            except NotInTime:  # on a busy machine a third node may have had it for a moment
                if time.monotonic() > deadline:
                    raise
            else:
                return self._lab.node(number)

    def figures(self) -> list[Figures]:
        return self._clients.all_figures(self.stretch)

    def outage_ms(self, *kinds: Kind) -> float:
        return self._clients.outage_ms(*kinds, between=self.stretch)

    @property
    def lost(self) -> int:
        """Probes of every kind that got no answer, broken connections not counted."""
        return sum(figures.lost for figures in self.figures())

    @property
    def broken(self) -> int:
        """TCP connections that were open and ended without their greeting."""
        return sum(figures.broken for figures in self.figures())

    @property
    def became_active(self) -> tuple[int, ...]:
        """The nodes whose kernel got the address meanwhile, each time it did."""
        return self._holders.became_active(self._vip.address, self.stretch)

    @property
    def two_holders(self) -> Overlap:
        return self._holders.two_holders(self._vip.address, self.stretch)

    @property
    def two_answering(self) -> Overlap:
        return self._holders.two_answering(self._vip.address, self.stretch)

    def __str__(self) -> str:
        lines = [f"{self._title}: was on {self.before.name}, became active: {self.became_active or 'nobody'}"]
        lines += [f"  {figures}" for figures in self.figures()]
        lines.append(
            f"  two holders {self.two_holders.total_ms:.1f} ms, two answering {self.two_answering.total_ms:.1f} ms"
        )
        return "\n".join(lines)
