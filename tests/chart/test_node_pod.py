"""The node pod that the operator copies: who may do what in it, and where its containers meet."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import pytest
from tests.chart.rendering import Body, containers, node_pod, one, render

from havip.keeper.reporting import Reporter
from havip.model.paths import Folders
from havip.model.report import KeeperReport

pytestmark = pytest.mark.helm


@pytest.fixture(scope="module")
def pod() -> Body:
    return node_pod(render())


@pytest.fixture(scope="module")
def by_name(pod: Body) -> dict[str, Body]:
    return {each["name"]: each for each in containers(pod)}


def test_the_containers_start_in_the_order_of_who_needs_whom(pod: Body) -> None:
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["prepare", "agent", "haproxy"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["keeper"]
    policies = {each["name"]: each.get("restartPolicy") for each in pod["spec"]["initContainers"]}
    assert policies == {"prepare": None, "agent": "Always", "haproxy": "Always"}


def test_nothing_in_it_is_privileged_or_can_become_so(by_name: dict[str, Body]) -> None:
    for container in by_name.values():
        context = container["securityContext"]
        assert context["privileged"] is False
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_each_container_has_its_user_and_its_capabilities(by_name: dict[str, Body]) -> None:
    contexts = {name: each["securityContext"] for name, each in by_name.items()}
    assert {name: (each["runAsUser"], each["capabilities"].get("add", [])) for name, each in contexts.items()} == {
        "prepare": (64101, []),
        "agent": (64101, []),
        "haproxy": (64102, ["NET_BIND_SERVICE"]),
        "keeper": (0, ["NET_ADMIN", "NET_RAW"]),
    }
    assert [name for name, each in contexts.items() if not each.get("runAsNonRoot")] == ["keeper"]


def test_haproxy_is_the_command_itself(by_name: dict[str, Body]) -> None:
    """A shell before it would lose the right to port 80: see the comment in the template."""
    assert by_name["haproxy"]["command"][0] == "haproxy"


def test_one_group_owns_what_the_containers_share(pod: Body) -> None:
    assert pod["spec"]["securityContext"] == {"fsGroup": 64100, "seccompProfile": {"type": "RuntimeDefault"}}


def _mounts(by_name: dict[str, Body]) -> list[tuple[str, PurePosixPath, str, bool]]:
    """(volume, path, container, writable)."""
    return [
        (mount["name"], PurePosixPath(mount["mountPath"]), name, not mount.get("readOnly", False))
        for name, container in by_name.items()
        for mount in container["volumeMounts"]
    ]


def test_each_folder_is_writable_in_exactly_one_container(by_name: dict[str, Body]) -> None:
    folders = Folders()
    mounts = _mounts(by_name)
    # `prepare` is the agent's code, and has ended when the others start.
    writers = {path: {name for _, at, name, writable in mounts if writable and at == path} for _, path, _, _ in mounts}
    assert {path: names - {"prepare"} for path, names in writers.items() if path.is_relative_to(folders.root)} == {
        folders.election: {"agent"},
        folders.state: {"keeper"},
        folders.haproxy_config: {"agent"},
        folders.haproxy: {"haproxy"},
        folders.keeper: {"keeper"},
    }
    assert writers[folders.haproxy_config] == {"prepare", "agent"}


def test_each_folder_is_readable_where_it_is_read_and_nowhere_else(by_name: dict[str, Body]) -> None:
    folders = Folders()
    readers: dict[PurePosixPath, set[str]] = {}
    for _, path, name, writable in _mounts(by_name):
        if path.is_relative_to(folders.root) and not writable:
            readers.setdefault(path, set()).add(name)
    assert readers == {
        folders.election: {"keeper"},
        folders.state: {"agent"},
        folders.haproxy_config: {"haproxy"},
        folders.haproxy: {"agent", "keeper"},
    }


def test_one_volume_is_mounted_at_one_place(by_name: dict[str, Body]) -> None:
    places: dict[str, set[PurePosixPath]] = {}
    for volume, path, _, _ in _mounts(by_name):
        places.setdefault(volume, set()).add(path)
    assert all(len(paths) == 1 for paths in places.values()), places


def test_all_volumes_are_in_memory_and_bounded_but_the_token(pod: Body) -> None:
    kinds = {each["name"]: next(key for key in each if key != "name") for each in pod["spec"]["volumes"]}
    assert {name for name, kind in kinds.items() if kind != "emptyDir"} == {"api-access"}
    for volume in pod["spec"]["volumes"]:
        if "emptyDir" in volume:
            assert volume["emptyDir"]["medium"] == "Memory"
            assert volume["emptyDir"]["sizeLimit"]


def test_from_haproxy_nothing_leads_to_keepalived_or_the_token(by_name: dict[str, Body]) -> None:
    assert {mount["name"] for mount in by_name["haproxy"]["volumeMounts"]} == {"haproxy-config", "haproxy"}


def test_only_the_agent_has_a_token(pod: Body, by_name: dict[str, Body]) -> None:
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] == "havip-node"
    holders = [name for name, each in by_name.items() if "api-access" in {m["name"] for m in each["volumeMounts"]}]
    assert holders == ["agent"]
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "api-access"]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    assert token == {"path": "token", "expirationSeconds": 3600}


def test_the_keeper_knows_how_much_of_the_grace_period_it_may_take(pod: Body, by_name: dict[str, Body]) -> None:
    (told,) = [int(each["value"]) for each in by_name["keeper"]["env"] if each["name"] == "HAVIP_GRACE_SECONDS"]
    assert told == pod["spec"]["terminationGracePeriodSeconds"] - 6


def test_the_keeper_and_the_agent_are_told_who_they_are(by_name: dict[str, Body]) -> None:
    for name in ("agent", "keeper"):
        variables = {
            each["name"]: each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            for each in by_name[name]["env"]
            if each["name"] != "HAVIP_GRACE_SECONDS"
        }
        assert variables == {
            "HAVIP_CLASS": None,
            "HAVIP_NODE": "spec.nodeName",
            "HAVIP_NAMESPACE": "metadata.namespace",
        }


def test_it_uses_the_hosts_network_and_goes_last(pod: Body) -> None:
    assert pod["spec"]["hostNetwork"] is True
    assert pod["spec"]["priorityClassName"] == "system-node-critical"
    assert not {"hostPID", "hostIPC", "shareProcessNamespace"} & pod["spec"].keys()


def test_the_keeper_has_time_to_hand_over_before_the_pod_is_killed(pod: Body) -> None:
    from havip.keeper.handover import limit_seconds
    from havip.model.election import Timing

    slow = Timing(advert_interval_ms=1000, missed_adverts=3, settle_seconds=30)  # the RFC's own advert interval
    stopping_keepalived = 3
    assert pod["spec"]["terminationGracePeriodSeconds"] >= limit_seconds(slow, 1) + stopping_keepalived


@pytest.mark.parametrize(("generation", "ready"), [(0, False), (1, True), (70, True)])
def test_the_keeper_is_ready_when_it_has_applied_orders(
    by_name: dict[str, Body], tmp_path: Path, generation: int, ready: bool
) -> None:
    """The probe's own command on a report as the keeper writes it."""
    reporter = Reporter(tmp_path / "state.json", tmp_path / "state.sock")
    reporter.publish(KeeperReport(generation, "", "2.3.3", keepalived_running=True, track_healthy=True))
    *command, file = by_name["keeper"]["readinessProbe"]["exec"]["command"]
    assert PurePosixPath(file) == Folders().state_file
    done = subprocess.run([*command, str(tmp_path / "state.json")], check=False)
    assert (done.returncode == 0) is ready


def test_nothing_is_killed_for_having_no_orders(by_name: dict[str, Body]) -> None:
    for container in by_name.values():
        assert not {"livenessProbe", "startupProbe", "lifecycle"} & container.keys()


def test_a_roll_out_works_on_one_node_at_a_time() -> None:
    import yaml

    rolling = yaml.safe_load(one(render(), "ConfigMap", "havip-node-template")["data"]["daemonSet.yaml"])
    assert rolling == {
        "minReadySeconds": 5,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
    }
