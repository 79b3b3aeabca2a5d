"""The rows that need the whole product: installed by Helm on the real cluster, asked by a client beside the nodes.

Rows that are measured together share a cluster. A run begins settled; what is measured is the client's history, not a
status.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from e2e.bench.rows import Effort, Values, measures, planned_row, row
from e2e.cluster.cluster import CHECKOUT, Cluster
from e2e.lab import Figures, Kind, Stream, Stretch, now
from e2e.lab.compiled import cache_folder
from e2e.product import Installation, Vip, client_of
from e2e.product.installation import NAMESPACE, USER_NAMESPACE
from e2e.setup.images import product_images

NODES = ("n1", "n2", "n3")
_BEFORE = 200_000_000  # nanoseconds of undisturbed answers that belong to a stretch


@contextmanager
def _installed() -> Iterator[Installation]:
    """Three nodes, the operator, two application pods on n2 and n3, class and pools."""
    with Cluster(nodes=3, images=[one.archive for one in product_images(cache_folder()).values()]) as cluster:
        installation = Installation(cluster)
        installation.install_with_application(seconds=120)
        yield installation


def _streams(address: str) -> tuple[Stream, ...]:
    return (
        Stream(Kind.ICMP, address),
        Stream(Kind.PROXIED, address, port=90, spacing_ms=1.0),
    )


def _outage(figures: list[Figures]) -> float:
    return max(one.outage_ms for one in figures)


def _opened(figures: list[Figures]) -> float:
    return float(sum(one.broken for one in figures if one.stream.kind is Kind.PROXIED))


def _settle(installation: Installation, vip: Vip) -> None:
    installation.wait_agents(seconds=120)
    installation.wait_ready(vip.name, seconds=120)
    installation.cluster.until(lambda: _all_known(installation, vip), "everybody is in the election", 60)


def _all_known(installation: Installation, vip: Vip) -> bool:
    nodes = installation.havip(vip.name)["status"]["nodes"]
    return sum(node["state"] in ("Active", "Standby") for node in nodes) == len(NODES)


@contextmanager
def _measured_vip() -> Iterator[tuple[Installation, Vip]]:
    """Installed, with one settled VIP."""
    with _installed() as installation:
        vip = Vip("measured", "10.88.0.254", preferred=NODES)
        installation.apply(vip.manifest())
        installation.wait_settled(vip.name)
        yield installation, vip


@measures(row("apply", "kubectl apply of a further HAVip -> client answered through haproxy", "ms", 1500))
def applies(effort: Effort) -> Values:
    with _installed() as installation:
        return {"apply": _apply_times(installation, effort)}


@measures(
    planned_row("pod_delete", "node pod of the active node deleted: outage of ICMP and of new TCP handshakes"),
    row("pod_delete_open", "pod delete: connections that were open at that moment and ended", "number", 2, of="max"),
)
def pod_deletes(effort: Effort) -> Values:
    with _measured_vip() as (installation, vip):
        found = list(_pod_deletes(installation, vip, effort))
    return {"pod_delete": [_outage(one) for one in found], "pod_delete_open": [_opened(one) for one in found]}


@measures(planned_row("roll", "DaemonSet roll over three nodes: outage of ICMP and of new TCP handshakes"))
def rolls(effort: Effort) -> Values:
    with _measured_vip() as (installation, vip):
        return {"roll": [_outage(one) for one in _rolls(installation, vip, effort)]}


@measures(
    row("api_away", "API server away: outage", "ms", 0, of="max"),
    row("operator_away", "operator away: outage", "ms", 0, of="max"),
)
def aways(effort: Effort) -> Values:
    found: dict[str, list[float]] = {}
    with _measured_vip() as (installation, vip):
        for _ in range(max(1, effort.runs // 5)):  # each is a minute of nothing happening
            found.setdefault("api_away", []).append(_away_api(installation, vip, effort))
            found.setdefault("operator_away", []).append(_away_operator(installation, vip, effort))
    return found


def _apply_times(installation: Installation, effort: Effort) -> list[float]:
    """From the start of `kubectl apply` (its own start-up included) to the first greeting by a pod."""
    times = []
    for number in range(effort.runs):
        vip = Vip(f"further-{number}", f"10.88.0.{200 + number}", preferred=(NODES[number % 3],))
        stream = Stream(Kind.PROXIED, vip.address, port=90, spacing_ms=1.0)
        with client_of(installation.cluster, streams=[stream]) as client:
            begun = now()
            installation.apply(vip.manifest())
            times.append((client.wait_answered(after=begun, seconds=60) - begun) / 1e6)
        installation.wait_ready(vip.name)
    installation.cluster.kubectl("delete", "havips", "--all", f"--namespace={USER_NAMESPACE}", "--timeout=120s")
    return times


def _pod_deletes(installation: Installation, vip: Vip, effort: Effort) -> Iterator[list[Figures]]:
    for _ in range(effort.runs):
        _settle(installation, vip)
        active = installation.active_node(vip.name)
        others = [name for name in NODES if name != active]
        with client_of(installation.cluster, streams=_streams(vip.address)) as client:
            start = client.wait_answered()
            installation.cluster.kubectl(
                "delete", "pod", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=havip-node",
                f"--field-selector=spec.nodeName={active}", "--wait=true",
            )  # fmt: skip
            installation.wait_active(vip.name, *others)
            client.wait_answered(after=now())
            yield client.history().all_figures(Stretch(start, now()))


def _rolls(installation: Installation, vip: Vip, effort: Effort) -> Iterator[list[Figures]]:
    for number in range(effort.runs):
        _settle(installation, vip)
        mark = f"number-{number}-of-{os.getpid()}"
        with client_of(installation.cluster, streams=_streams(vip.address)) as client:
            start = client.wait_answered()
            installation.upgrade("--set-string", f"node.podAnnotations.roll={mark}")
            installation.wait_rolled(partial(_is_marked, mark))
            _settle(installation, vip)
            client.wait_answered(after=now())
            yield client.history().all_figures(Stretch(start, now()))


def _is_marked(mark: str, pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"]["annotations"].get("roll") == mark)


def _away_api(installation: Installation, vip: Vip, effort: Effort) -> float:
    _settle(installation, vip)
    with client_of(installation.cluster, streams=_streams(vip.address)) as client:
        start = client.wait_answered()
        installation.cluster.stop_api_server()
        time.sleep(effort.away_seconds)  # what is measured is that nothing happens in this time
        installation.cluster.start_api_server()
        client.wait_answered(after=now())
        return _outage(client.history().all_figures(Stretch(start, now())))


def _away_operator(installation: Installation, vip: Vip, effort: Effort) -> float:
    scale = ("scale", "deployment/havip-operator", f"--namespace={NAMESPACE}", "--timeout=120s")
    _settle(installation, vip)
    with client_of(installation.cluster, streams=_streams(vip.address)) as client:
        start = client.wait_answered()
        installation.cluster.kubectl(*scale, "--replicas=0")
        time.sleep(effort.away_seconds)  # as above
        installation.cluster.kubectl(*scale, "--replicas=2")
        client.wait_answered(after=now())
        return _outage(client.history().all_figures(Stretch(start, now())))


@measures(row("demo_warm", "make demo with everything built", "s", 120, of="max"))
def demo(effort: Effort) -> Values:
    seconds = []
    for _ in itertools.repeat(None, 1 if effort.runs < 20 else 2):  # a published figure is not of one run
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "e2e.demo"], check=True, capture_output=True, cwd=CHECKOUT)
        seconds.append(time.monotonic() - begun)
    return {"demo_warm": seconds}
