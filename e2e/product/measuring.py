"""The lab's prober as a client of the cluster: the same oracle for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e.cluster.cluster import Cluster
from e2e.cluster.network import CLIENT
from e2e.lab import Kind, Prober, Stream
from e2e.lab.namespaces import Namespace
from e2e.lab.record import RunRecord

_runs = count()


def streams_to(address: str, *, greeting_port: int = 90) -> tuple[Stream, ...]:
    """ICMP, and new TCP connections through haproxy that a pod must greet; 1 ms and 5 ms apart."""
    return (
        Stream(Kind.ICMP, address),
        Stream(Kind.PROXIED, address, port=greeting_port, spacing_ms=5.0),
    )


@contextmanager
def client_of(cluster: Cluster, *addresses: str, streams: Sequence[Stream] | None = None) -> Iterator[Prober]:
    """A client that asks all the time, from the machine beside the nodes."""
    wanted = streams or [stream for address in addresses for stream in streams_to(address)]
    record = RunRecord(f"{cluster.prefix}-client{next(_runs)}")
    try:
        with TemporaryDirectory(prefix="havip-client-") as folder:
            network = Namespace(f"{cluster.prefix}-{CLIENT}")
            with Prober(wanted, network=network, record=record, file=Path(folder) / "history") as prober:
                yield prober
    finally:
        record.close()
