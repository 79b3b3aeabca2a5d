"""The test cluster itself: what later scenarios take for granted about it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.cluster.cluster import CHECKOUT, Cluster
from e2e.cluster.pause import PAUSE_IMAGE
from e2e.cluster.records import Record, erase_left_behind, erase_orphaned_disks, recorded

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

# What `python -m e2e.cluster power-off n1` and `power-on n1` do, for the cluster of a prefix.
POWER = """
import sys
from e2e.cluster import attached, records
prefix, power = sys.argv[1:]
record = next(record for record in records.recorded() if record.prefix == prefix)
{"off": attached.power_off, "on": attached.power_on}[power](record, "n1")
"""

# A run that starts a cluster, says so and waits to be ended in whatever way.
VICTIM = """
import sys
from e2e.cluster.cluster import Cluster
with Cluster(nodes=1) as cluster:
    print(cluster.prefix, flush=True)
    sys.stdin.read()
"""


def a_pod(name: str, *command: str) -> dict[str, Any]:
    container = {"name": "it", "image": PAUSE_IMAGE, "imagePullPolicy": "Never", "command": ["/bin/busybox", *command]}
    spec = {"nodeName": "n1", "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


NEIGHBOURS = [
    a_pod("asks", "sleep", "3600"),
    a_pod("answers", "httpd", "-f", "-p", "8080"),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "answers"},
        "spec": {"selector": {"app": "answers"}, "ports": [{"port": 80, "targetPort": 8080}]},
    },
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2) as running:
        yield running


def traces(record: Record) -> list[str]:
    """What is still to be seen of a cluster on this machine."""
    seen = [f"process {pid}" for pid in record.group.members()]
    seen += [
        f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if record.prefix in line
    ]
    places = (Path("/run/netns").glob(f"{record.prefix}-*"), Path("/sys/fs/cgroup").glob(f"*/{record.prefix}"))
    seen += [str(path) for paths in places for path in paths]
    return seen + [str(path) for path in (record.state, Path(record.disk)) if path.exists()]


@contextmanager
def a_run() -> Iterator[tuple[subprocess.Popen[str], Record]]:
    """Another process with a cluster of one node; ended at the latest when the block is left."""
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    ) as victim:
        assert victim.stdout is not None
        prefix = victim.stdout.readline().strip()
        record = next(one for one in recorded() if one.prefix == prefix)
        assert record.group.members()
        yield victim, record


def test_every_node_is_ready_and_at_its_address(cluster: Cluster) -> None:
    assert cluster.ready_nodes() == {"n1", "n2"}
    addresses = {
        node["metadata"]["name"]: address["address"]
        for node in cluster.get("nodes")["items"]
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    }
    assert addresses == {"n1": "10.88.0.11", "n2": "10.88.0.12"}


def test_the_client_reaches_a_node(cluster: Cluster) -> None:
    assert cluster.client("ping", "-c", "1", "-W", "2", "10.88.0.11").returncode == 0


def test_a_node_without_power_is_gone_at_once_and_comes_back_with_an_empty_memory(cluster: Cluster) -> None:
    marked = [*cluster.inside("n2"), "ip", "addr", "add", "10.88.0.250/32", "dev", "eth0"]
    subprocess.run(marked, check=True)
    assert cluster.client("ping", "-c", "1", "-W", "2", "10.88.0.250").returncode == 0
    cluster.power_off("n2")
    assert cluster.client("ping", "-c", "1", "-W", "1", "10.88.0.12").returncode != 0
    cluster.until(lambda: "n2" not in cluster.ready_nodes(), "Kubernetes notices that n2 is gone", 90)
    cluster.power_on("n2")
    assert cluster.client("ping", "-c", "1", "-W", "2", "10.88.0.12").returncode == 0
    assert cluster.client("ping", "-c", "1", "-W", "1", "10.88.0.250").returncode != 0


def test_what_was_written_outlives_the_api_server_and_etcd(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "note", "--from-literal=text=kept")
    cluster.stop_api_server()
    cluster.stop_etcd()
    cluster.start_etcd()
    cluster.start_api_server()
    assert cluster.get("configmap", "note")["data"] == {"text": "kept"}


def test_a_node_whose_cable_is_out_goes_on_running(cluster: Cluster) -> None:
    before = cluster.nodes["n1"].group.members()
    cluster.cut("n1")
    assert cluster.client("ping", "-c", "1", "-W", "1", "10.88.0.11").returncode != 0
    assert cluster.nodes["n1"].group.members() >= before
    cluster.mend("n1")
    cluster.until(lambda: cluster.client("ping", "-c", "1", "-W", "1", "10.88.0.11").returncode == 0, "n1 answers", 30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_leaves_nothing(number: signal.Signals) -> None:
    with a_run() as (victim, record):
        victim.send_signal(number)
    assert traces(record) == []


def test_what_a_killed_run_left_is_cleaned_by_the_next(cluster: Cluster) -> None:
    with a_run() as (victim, record):
        victim.kill()
    assert traces(record)
    assert record.prefix in erase_left_behind()
    assert traces(record) == []
    assert cluster.ready_nodes(), "another run's cluster is none of its business"


def test_a_run_that_works_is_not_taken_for_left_behind(cluster: Cluster) -> None:
    assert cluster.prefix not in erase_left_behind()
    assert cluster.record.group.members()


def test_a_process_may_have_two_clusters_side_by_side(cluster: Cluster) -> None:
    with Cluster(nodes=1) as second:
        assert second.prefix != cluster.prefix
        assert second.ready_nodes() == {"n1"}
    assert cluster.ready_nodes() >= {"n1", "n2"}
    assert traces(second.record) == []


def test_a_pod_reaches_a_service_whose_only_pod_is_its_neighbour(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": NEIGHBOURS}))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/asks", "pod/answers", "--timeout=120s")
    address = cluster.get("service", "answers")["spec"]["clusterIP"]
    connects = ["exec", "asks", "--", "/bin/busybox", "nc", "-w", "3", address, "80"]
    cluster.until(lambda: cluster.kubectl(*connects) == "", "the service answers its neighbour", 30)


def test_disks_of_before_a_restart_of_the_machine_are_removed_and_no_others(cluster: Cluster) -> None:
    orphan = cluster.disk.parent / "hvc0"
    (orphan / "n1").mkdir(parents=True)
    erase_orphaned_disks(cluster.disk.parent)
    assert not orphan.exists()
    assert cluster.disk.exists()


def test_another_process_powers_a_node_off_and_on() -> None:
    with Cluster(nodes=1) as one:
        for power, answers in (("off", False), ("on", True)):
            subprocess.run([sys.executable, "-c", POWER, one.prefix, power], check=True, cwd=CHECKOUT)
            assert (one.client("ping", "-c", "1", "-W", "2", "10.88.0.11").returncode == 0) is answers
    assert traces(one.record) == []
