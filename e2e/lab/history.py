"""The oracle: who answered when, who held what when. Reads what prober and observer wrote; decides nothing else.

It must never call a time without probes an outage, nor a time without answers a success: a stretch counts as an
outage only where probes were sent and not answered, and figures of a stretch that nobody probed are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path

_RECORD = struct.Struct("<qIIHBBI")  # record.h
MS = 1_000_000
"""Nanoseconds in a millisecond. Moments are CLOCK_MONOTONIC in nanoseconds, durations milliseconds."""

_ARP_PATIENCE_MS = 60.0  # answers of one node further apart than this are two stretches


class Outcome(IntEnum):
    """`enum outcome` of record.h."""

    ANSWERED = 0
    SILENT = 1
    REFUSED = 2
    BROKEN = 3
    UNSENT = 4
    RESOLVED = 5
    HELD = 6
    GONE = 7
    ADVERT = 8
    LATE = 9


class Kind(Enum):
    """How a client asks. `PROXIED` is a TCP connection that ends at a real server behind haproxy."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"
    PROXIED = "proxied"


class Unprobed(AssertionError):
    """A figure was asked for of a stretch in which there was nothing to base it on."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One series of probes: one address, one way of asking."""

    kind: Kind
    address: str
    port: int = 0
    spacing_ms: float = 1.0

    def __str__(self) -> str:
        where = f":{self.port}" if self.port else ""
        return f"{self.kind.value} {self.address}{where}"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of record.h."""

    at: int
    connect_us: int
    total_us: int
    stream: int
    node: int
    outcome: Outcome
    detail: int


def read_records(path: Path, start: int = 0) -> tuple[list[Record], int]:
    """The complete records from an offset on, and the offset after them."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    whole = len(data) - len(data) % _RECORD.size
    found = [
        Record(at, connect, total, stream, node, Outcome(outcome), detail)
        for at, connect, total, stream, node, outcome, detail in _RECORD.iter_unpack(data[:whole])
    ]
    return found, start + whole


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` to `end`, in nanoseconds."""

    start: int
    end: int

    @property
    def ms(self) -> float:
        return max(0, self.end - self.start) / MS


@dataclass(frozen=True, slots=True)
class Figures:
    """What one stream's client went through between two moments. Durations in milliseconds.

    `outage_ms`: the longest time from the last answered probe to the next answered one with lost ones between.
    `lost`: probes that got no answer. `broken`: TCP connections that were open and ended without the greeting; they
    are counted apart and are in neither. `late`: those whose greeting did not come within the limit although the
    handshake did: the address answered, a process behind it was slow. `slowest_ms`: the longest any answered
    probe waited. `nodes`: the numbers of those who answered, in order of first answer.
    """

    stream: Stream
    sent: int
    lost: int
    broken: int
    late: int
    outage_ms: float
    slowest_ms: float
    nodes: tuple[int, ...]

    def __str__(self) -> str:
        by = "".join(f" n{node}" for node in self.nodes)
        return (
            f"{self.stream}: outage {self.outage_ms:.1f} ms, {self.lost} of {self.sent} lost, {self.broken} broken, "
            f"{self.late} late, slowest {self.slowest_ms:.1f} ms, by{by or ' ?'}"
        )


class ClientHistory:
    """Every probe of one prober, oldest first."""

    def __init__(self, streams: Sequence[Stream], records: Iterable[Record]) -> None:
        self.streams = tuple(streams)
        self._by_stream: list[list[Record]] = [[] for _ in streams]
        for record in records:
            if record.outcome in _PROBED:
                self._by_stream[record.stream].append(record)
        for probes in self._by_stream:
            probes.sort(key=lambda record: record.at)

    def _probes(self, index: int, between: Stretch | None) -> list[Record]:
        probes = self._by_stream[index]
        return [p for p in probes if between is None or between.start <= p.at <= between.end]

    def figures(self, stream: Stream, between: Stretch | None = None) -> Figures:
        """Raises `Unprobed` when the stretch holds no probe, or begins or ends without an answer."""
        probes = self._probes(self.streams.index(stream), between)
        outages = [gap.ms for gap in _gaps(probes, stream)]
        good = [p for p in probes if p.outcome is Outcome.ANSWERED]
        return Figures(
            stream=stream,
            sent=len(probes),
            lost=sum(p.outcome in _LOST for p in probes),
            broken=sum(p.outcome is Outcome.BROKEN for p in probes),
            late=sum(p.outcome is Outcome.LATE for p in probes),
            outage_ms=max(outages, default=0.0),
            slowest_ms=max(p.total_us for p in good) / 1000,
            nodes=tuple(dict.fromkeys(p.node for p in good if p.node)),
        )

    def all_figures(self, between: Stretch | None = None) -> list[Figures]:
        return [self.figures(stream, between) for stream in self.streams]

    def outage_ms(self, *kinds: Kind, between: Stretch | None = None) -> float:
        """The longest outage that a client of these kinds (default: of all) saw."""
        wanted = [s for s in self.streams if not kinds or s.kind in kinds]
        return max(self.figures(stream, between).outage_ms for stream in wanted)

    def answers(self, stream: Stream) -> Iterator[tuple[int, int]]:
        """(moment, node) of every answered probe."""
        for probe in self._by_stream[self.streams.index(stream)]:
            if probe.outcome is Outcome.ANSWERED:
                yield probe.at, probe.node


_LOST = (Outcome.SILENT, Outcome.REFUSED, Outcome.UNSENT)
_APART = (Outcome.BROKEN, Outcome.LATE)
_PROBED = (Outcome.ANSWERED, *_LOST, *_APART)


def _gaps(probes: list[Record], stream: Stream) -> list[Stretch]:
    """Stretches between answered probes that hold at least one lost one."""
    counted = [p for p in probes if p.outcome not in _APART]
    if not counted:
        raise Unprobed(f"{stream}: nothing was sent, so nothing is known")
    if counted[0].outcome is not Outcome.ANSWERED or counted[-1].outcome is not Outcome.ANSWERED:
        which = "begins" if counted[0].outcome is not Outcome.ANSWERED else "ends"
        answered = sum(p.outcome is Outcome.ANSWERED for p in counted)
        raise Unprobed(f"{stream}: the stretch {which} without an answer ({answered} of {len(counted)} answered)")
    gaps: list[Stretch] = []
    last = counted[0]
    lost = False
    for probe in counted:
        if probe.outcome is not Outcome.ANSWERED:
            lost = True
            continue
        if lost:
            gaps.append(Stretch(last.at, probe.at))
        last, lost = probe, False
    return gaps


@dataclass(frozen=True, slots=True)
class Holding:
    """One node held one address. `stretch.end` is the end of the observation where it still does."""

    node: int
    address: str
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Overlap:
    """How long at least two nodes had one address: the longest stretch and all of them together, milliseconds."""

    longest_ms: float
    total_ms: float


class HolderHistory:
    """Who held an address, from the nodes' kernels and from the wire."""

    def __init__(
        self,
        addresses: Sequence[str],
        records: Sequence[Record],
        *,
        unplugged: Sequence[tuple[int, Stretch]] = (),
    ) -> None:
        """`unplugged`: (node, when) for cables that the lab pulled: what such a node holds, nobody can reach."""
        self._addresses = tuple(addresses)
        self._end = max((r.at for r in records), default=0)
        self._unplugged = tuple(unplugged)
        self._kernel = tuple(_kernel_holdings(records, self._addresses, self._end))
        self._wire = tuple(_wire_holdings(records, self._addresses))

    def in_kernel(self, address: str) -> list[Holding]:
        """Every holding as the kernels told it, by start; reachable or not."""
        return sorted((h for h in self._kernel if h.address == address), key=lambda h: h.stretch.start)

    def on_wire(self, address: str) -> list[Holding]:
        """Every holding as ARP or neighbour discovery answered it, by start."""
        return sorted((h for h in self._wire if h.address == address), key=lambda h: h.stretch.start)

    def became_active(self, address: str, between: Stretch) -> tuple[int, ...]:
        """The nodes whose kernel got the address within the stretch, in that order, each time it did."""
        found = [h for h in self.in_kernel(address) if between.start <= h.stretch.start <= between.end]
        return tuple(h.node for h in found)

    def held_by(self, address: str, moment: int) -> tuple[int, ...]:
        """The nodes whose kernel has the address at that moment."""
        return tuple(h.node for h in self.in_kernel(address) if h.stretch.start <= moment <= h.stretch.end)

    def two_holders(self, address: str, between: Stretch) -> Overlap:
        """Kernel's view of reachable nodes. Exact to the millisecond; what a client may suffer from."""
        reachable = [h for holding in self.in_kernel(address) for h in _without(holding, self._unplugged)]
        return _overlap(reachable, between)

    def two_answering(self, address: str, between: Stretch) -> Overlap:
        """The wire's view: two MACs answered. Exact to the spacing of the questions."""
        holdings = self.on_wire(address)
        if not holdings:
            raise Unprobed(f"nobody ever answered for {address} on the wire, so nothing is known")
        return _overlap(holdings, between)


def _kernel_holdings(records: Sequence[Record], addresses: Sequence[str], end: int) -> Iterator[Holding]:
    since: dict[tuple[int, int], int] = {}
    for record in sorted(records, key=lambda r: r.at):
        key = (record.node, record.stream)
        if record.outcome is Outcome.HELD:
            since.setdefault(key, record.at)
        elif record.outcome is Outcome.GONE and key in since:
            yield Holding(record.node, addresses[record.stream], Stretch(since.pop(key), record.at))
    for (node, index), start in since.items():
        yield Holding(node, addresses[index], Stretch(start, end))


def _wire_holdings(records: Sequence[Record], addresses: Sequence[str]) -> Iterator[Holding]:
    current: dict[tuple[int, int], Stretch] = {}
    for record in sorted(records, key=lambda r: r.at):
        if record.outcome is not Outcome.ANSWERED:
            continue
        key = (record.node, record.stream)
        so_far = current.get(key)
        if so_far is not None and (record.at - so_far.end) / MS <= _ARP_PATIENCE_MS:
            current[key] = Stretch(so_far.start, record.at)
            continue
        if so_far is not None:
            yield Holding(record.node, addresses[record.stream], so_far)
        current[key] = Stretch(record.at, record.at)
    for (node, index), stretch in current.items():
        yield Holding(node, addresses[index], stretch)


def _without(holding: Holding, unplugged: Sequence[tuple[int, Stretch]]) -> list[Holding]:
    """The parts of a holding in which its node's cable was in."""
    parts = [holding.stretch]
    for node, out in unplugged:
        if node != holding.node:
            continue
        parts = [
            piece
            for part in parts
            for piece in (Stretch(part.start, min(part.end, out.start)), Stretch(max(part.start, out.end), part.end))
            if piece.end > piece.start
        ]
    return [Holding(holding.node, holding.address, part) for part in parts]


def _overlap(holdings: Sequence[Holding], between: Stretch) -> Overlap:
    edges: list[tuple[int, int]] = []
    for holding in holdings:
        start, end = max(holding.stretch.start, between.start), min(holding.stretch.end, between.end)
        if end > start:
            edges += [(start, 1), (end, -1)]
    longest = total = 0
    depth, since = 0, 0
    for moment, step in sorted(edges):
        if depth >= 2:
            total += moment - since
        if depth < 2 <= depth + step:
            begun = moment
        if depth + step < 2 <= depth:
            longest = max(longest, moment - begun)
        depth += step
        since = moment
    return Overlap(longest / MS, total / MS)
