"""The two measuring programs as Python sees them: the client's prober and the observer of holders."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from e2e.lab.compiled import compiled
from e2e.lab.follow import NotInTime, wait_for
from e2e.lab.history import MS, ClientHistory, HolderHistory, Kind, Outcome, Record, Stream, Stretch, read_records
from e2e.lab.namespaces import LabError, Namespace
from e2e.lab.record import RunRecord

LIMIT_MS = 500
"""A probe without an answer for this long is lost."""


def now() -> int:
    """This moment as prober and observer count it: CLOCK_MONOTONIC, nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class _Program:
    """A measuring program in a namespace. It ends when its standard input is cut."""

    def __init__(self, words: Sequence[str], *, network: Namespace, record: RunRecord, file: Path) -> None:
        self.file = file
        self.file.touch()
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", network.name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        record.process(self.process.pid)
        self._records: list[Record] = []
        self._offset = 0
        self._resolved = 0

    def records(self) -> list[Record]:
        """Everything written so far, without the marks of how far that is."""
        fresh, self._offset = read_records(self.file, self._offset)
        for record in fresh:
            if record.outcome is Outcome.RESOLVED:
                self._resolved = record.at
            else:
                self._records.append(record)
        return self._records

    def resolved_until(self) -> int:
        """The moment up to which everything is in the records."""
        self.records()
        return self._resolved

    def wait_resolved(self, moment: int) -> None:
        def look() -> bool | None:
            if self.process.poll() is not None:
                raise LabError(f"a measuring program ended: {self._complaint()}")
            return True if self.resolved_until() >= moment else None

        wait_for("every probe has its record", look, watch=self.file, seconds=15)

    def _complaint(self) -> str:
        return self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


class Prober(_Program):
    """A client that asks all the time. Use as a context manager; read `history()` when the fault is over."""

    def __init__(self, streams: Sequence[Stream], *, network: Namespace, record: RunRecord, file: Path) -> None:
        self.streams = tuple(streams)
        words = [str(compiled("prober")), str(file), str(LIMIT_MS), *map(_word, streams)]
        super().__init__(words, network=network, record=record, file=file)
        self.started = now()

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_answered(self, *, after: int | None = None, seconds: float = 10.0, by: int | None = None) -> int:
        """Wait until every stream was answered by a probe sent after that moment (by that node, where nodes answer).

        Returns the moment at which the last of the streams got there.
        """
        since = now() if after is None else after
        waiting = dict.fromkeys(range(len(self.streams)), 0)
        seen = 0

        def look() -> int | None:
            nonlocal seen
            records = self.records()
            for record in records[seen:]:
                good = record.outcome is Outcome.ANSWERED and record.at >= since
                silent_on_node = self.streams[record.stream].kind in (Kind.ICMP, Kind.PROXIED)
                if good and not waiting[record.stream] and (by is None or silent_on_node or record.node == by):
                    waiting[record.stream] = record.at
            seen = len(records)
            return max(waiting.values()) if all(waiting.values()) else None

        try:
            return wait_for("a client is answered", look, watch=self.file, seconds=seconds)
        except NotInTime:
            silent = ", ".join(str(self.streams[index]) for index, moment in waiting.items() if not moment)
            raise NotInTime(f"no answer within {seconds} s on: {silent}") from None

    def history(self) -> ClientHistory:
        """Everything sent up to now, once the last of it was answered or given up."""
        moment = now()
        self.wait_resolved(moment)
        return ClientHistory(self.streams, [record for record in self.records() if record.at <= moment])


def _word(stream: Stream) -> str:
    program_kind = Kind.TCP if stream.kind is Kind.PROXIED else stream.kind
    return f"{program_kind.value},{stream.address},{stream.port},{int(stream.spacing_ms * 1000)}"


class Observer(_Program):
    """Watches who holds which address, for the whole life of a lab."""

    def __init__(
        self,
        nodes: Sequence[tuple[int, Namespace]],
        fabric: Namespace,
        *,
        network: Namespace,
        record: RunRecord,
        file: Path,
    ) -> None:
        words = [str(compiled("observer")), str(file), str(fabric.path)]
        words += [f"{number}={node.path}" for number, node in nodes]
        super().__init__(words, network=network, record=record, file=file)
        self.addresses: list[str] = []
        self._spacing: dict[str, float] = {}
        self._held: dict[int, set[int]] = {}
        self._priorities: dict[tuple[int, int], int] = {}
        self._looked_at = 0
        self._unplugged: list[tuple[int, int, int | None]] = []

    def watch(self, address: str, *, spacing_ms: float = 10.0) -> None:
        """Look at this address from now on, and ask for it on the wire that often (0 = not)."""
        if self._spacing.get(address) == spacing_ms:
            return
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._spacing[address] = spacing_ms
        if address not in self.addresses:
            self.addresses.append(address)
        self.process.stdin.write(f"watch {address} {int(spacing_ms * 1000)}\n".encode())
        self.process.stdin.flush()
        if self.process.stdout.readline() != b"ok\n":
            raise LabError(f"the observer does not watch {address}: {self._complaint()}")

    def unplugged(self, number: int) -> None:
        """A node's cable is out from now on."""
        self._unplugged.append((number, now(), None))

    def plugged(self, number: int) -> None:
        moment = now()
        self._unplugged = [
            (node, start, moment if node == number and end is None else end) for node, start, end in self._unplugged
        ]

    @property
    def out(self) -> set[int]:
        """The nodes whose cable is out."""
        return {node for node, _, end in self._unplugged if end is None}

    def history(self) -> HolderHistory:
        """Everything up to now."""
        self.wait_resolved(now())
        far = now() + 10**9 * MS
        out = [(node, Stretch(start, far if end is None else end)) for node, start, end in self._unplugged]
        return HolderHistory(self.addresses, self.records(), unplugged=out)

    def _look(self) -> None:
        records = self.records()
        for record in records[self._looked_at :]:
            if record.outcome is Outcome.HELD:
                self._held.setdefault(record.stream, set()).add(record.node)
            elif record.outcome is Outcome.GONE:
                self._held.setdefault(record.stream, set()).discard(record.node)
            elif record.outcome is Outcome.ADVERT:
                self._priorities[record.node, record.stream] = record.detail
        self._looked_at = len(records)

    def priority(self, number: int, virtual_router_id: int) -> int | None:
        """The priority in the node's newest adverts for a VRID; None when it never sent one."""
        self._look()
        return self._priorities.get((number, virtual_router_id))

    def wait_priority(self, number: int, virtual_router_id: int, wanted: int, *, seconds: float = 10.0) -> None:
        """Wait until the node's adverts carry that priority."""

        def look() -> bool | None:
            return self.priority(number, virtual_router_id) == wanted or None

        try:
            wait_for("priority", look, watch=self.file, seconds=seconds)
        except NotInTime:
            has = self.priority(number, virtual_router_id)
            raise NotInTime(f"n{number} advertises {has}, not {wanted}, after {seconds} s") from None

    def holders(self, address: str) -> tuple[int, ...]:
        """The reachable nodes that hold the address according to the newest records, without waiting for more."""
        self._look()
        return tuple(sorted(self._held.get(self.addresses.index(address), set()) - self.out))

    def wait_holders(self, address: str, *numbers: int, seconds: float = 10.0) -> None:
        """Wait until exactly these nodes hold the address."""
        wanted = tuple(sorted(numbers))
        try:
            wait_for("holders", lambda: self.holders(address) == wanted or None, watch=self.file, seconds=seconds)
        except NotInTime:
            raise NotInTime(f"{address} is held by {self.holders(address)}, not {wanted}, after {seconds} s") from None

    def wait_one_holder(self, address: str, *, but: int = 0, seconds: float = 10.0) -> int:
        """Wait until exactly one node, another than `but`, holds the address; return its number."""
        return self.wait_one_holder_of_all([address], but=but, seconds=seconds)

    def wait_one_holder_of_all(self, addresses: Sequence[str], *, but: int = 0, seconds: float = 10.0) -> int:
        """Wait until exactly one node, another than `but`, holds each of these addresses; return its number."""

        def look() -> int | None:
            holders = {self.holders(address) for address in addresses}
            found = holders.pop()
            return found[0] if not holders and len(found) == 1 and found[0] != but else None

        try:
            return wait_for("one holder", look, watch=self.file, seconds=seconds)
        except NotInTime:
            held = ", ".join(f"{address} by {self.holders(address)}" for address in addresses)
            raise NotInTime(f"after {seconds} s not held by one node: {held}") from None
