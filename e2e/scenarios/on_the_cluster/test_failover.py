"""What a client sees when something on the cluster is lost. Figures are printed; bounds are generous."""

from __future__ import annotations

from e2e.lab import Kind, Stretch, now
from e2e.product import Installation, Vip, client_of
from e2e.product.installation import NAMESPACE, USER_NAMESPACE

LOST_NODE_MS = 2000.0  # five times what is measured
BEFORE = 200_000_000  # nanoseconds of undisturbed answers that belong to a stretch


def others(name: str) -> tuple[str, ...]:
    return tuple(node for node in ("n1", "n2", "n3") if node != name)


def test_apply_makes_a_vip_that_two_pods_answer_through_haproxy(installation: Installation) -> None:
    web = Vip("web", "10.88.0.200", preferred=("n1",), frontends=(("http", 80, "web"),))
    begun = now()
    installation.apply(web.manifest())
    installation.wait_ready("web")
    print(f"apply to Ready: {(now() - begun) / 1e6:.0f} ms")
    answers = {installation.ask(web.address) for _ in range(20)}
    assert len(answers - {""}) == 2, answers
    assert installation.holders(web.address) == {installation.active_node("web")}


def test_a_node_that_loses_its_power_is_replaced_within_half_a_second(installation: Installation, vip: Vip) -> None:
    with client_of(installation.cluster, vip.address) as client:
        client.wait_answered()
        start = now()
        installation.cluster.power_off("n1")
        client.wait_answered(after=now())
        history = client.history()
        figures = history.all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < LOST_NODE_MS
    heir = installation.wait_active(vip.name, *others("n1"))
    assert installation.holders(vip.address) == {heir}
    installation.cluster.power_on("n1")
    installation.cluster.until(
        lambda: any(
            node["name"] == "n1" and node["state"] == "Standby"
            for node in installation.havip(vip.name)["status"]["nodes"]
        ),
        "n1 is a standby again",
        60,
    )
    assert installation.active_node(vip.name) == heir, "failback is Never"
    last = installation.havip(vip.name)["status"]["history"][0]
    assert (last["from"], last["to"]) == ("n1", heir)


def test_a_deleted_node_pod_hands_over_before_it_goes(installation: Installation, vip: Vip) -> None:
    with client_of(installation.cluster, vip.address) as client:
        client.wait_answered()
        start = now()
        installation.cluster.kubectl(
            "delete", "pod", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=havip-node",
            "--field-selector=spec.nodeName=n1", "--wait=false",
        )  # fmt: skip
        installation.wait_active(vip.name, *others("n1"))
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < 200
    assert sum(one.lost for one in figures) <= 20


def test_a_changed_preference_switches_without_loss(installation: Installation, vip: Vip) -> None:
    with client_of(installation.cluster, vip.address) as client:
        client.wait_answered()
        start = now()
        installation.prefer(vip.name, "n2")
        installation.wait_active(vip.name, "n2")
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert sum(one.lost for one in figures) <= 20
    assert sum(one.broken for one in figures if one.stream.kind is Kind.PROXIED) <= 10


def test_the_active_node_dies_while_the_api_server_is_away(installation: Installation, vip: Vip) -> None:
    cluster = installation.cluster
    with client_of(cluster, vip.address) as client:
        client.wait_answered()
        cluster.stop_api_server()
        start = now()
        cluster.power_off("n1")
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < LOST_NODE_MS
    assert len(installation.holders(vip.address)) == 1
    cluster.start_api_server()
    heir = installation.wait_active(vip.name, *others("n1"))
    assert installation.holders(vip.address) == {heir}


def test_etcd_may_restart_without_a_client_noticing(installation: Installation, vip: Vip) -> None:
    cluster = installation.cluster
    with client_of(cluster, vip.address) as client:
        client.wait_answered()
        start = now()
        cluster.stop_etcd()
        cluster.start_etcd()
        cluster.until(lambda: bool(cluster.ready_nodes()), "the API server answers again", 60)
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start, now()))
    print("\n".join(map(str, figures)))
    assert sum(one.lost for one in figures) <= 20
    installation.wait_ready(vip.name)


def test_a_client_in_a_pod_reaches_the_vip(installation: Installation, vip: Vip) -> None:
    script = f"import socket; print(socket.create_connection(('{vip.address}', 90), 3).recv(1))"
    pods = installation.cluster.get("pods", f"--namespace={USER_NAMESPACE}", "--selector=app=web")["items"]
    for pod in pods:
        said = installation.cluster.kubectl(
            "exec", pod["metadata"]["name"], f"--namespace={USER_NAMESPACE}", "--", "python3", "-c", script
        )
        assert said.startswith("b'"), said
