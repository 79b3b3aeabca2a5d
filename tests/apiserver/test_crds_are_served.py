"""What kubectl and GitOps tools see of the kinds: names, columns, explanations, defaults, who owns which field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from e2e.cluster.control_plane import CHECKOUT, ControlPlane, KubectlError
from tests.apiserver.samples import Body, sample, without

from havip.api.v1alpha1 import BackendPool, HAVip, HAVipClass
from havip.model.keys import Key
from havip.model.node import InterfaceReport, NodeSpec, NodeStatus, PoolReport
from havip.model.refusal import LeftOut
from havip.model.report import InstanceReport
from havip.model.states import State

pytestmark = pytest.mark.apiserver

KINDS = {"HAVipClass": "havipclasses", "HAVip": "havips", "BackendPool": "backendpools", "HAVipNode": "havipnodes"}
NAMESPACE = "served"


@pytest.fixture(scope="module")
def served(api_server: ControlPlane) -> Iterator[ControlPlane]:
    """One object of every kind, in a namespace of its own."""
    api_server.kubectl("create", "namespace", NAMESPACE)
    bodies = [sample(kind) for kind in KINDS]
    for body in bodies:
        if body["kind"] != "HAVipClass":
            body["metadata"]["namespace"] = NAMESPACE
    api_server.apply(*bodies)
    yield api_server
    api_server.kubectl("delete", "havipclass", "edge")


def apply_status(control: ControlPlane, manager: str, kind: str, status: Body) -> None:
    body = {**without(sample(kind), "spec"), "status": status}
    flags = ["--server-side", "--subresource=status", f"--field-manager={manager}", "--validate=strict"]
    control.kubectl("apply", "-n", NAMESPACE, *flags, "-f", "-", input=json.dumps(body))


def condition(kind: str, message: str = "") -> Body:
    return {
        "type": kind,
        "status": "True",
        "reason": "Elected",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def test_the_kinds_have_short_names(api_server: ControlPlane) -> None:
    lines = api_server.kubectl("api-resources", "--api-group=havip.dev", "--no-headers").splitlines()
    assert {(line.split()[0], line.split()[1], line.split()[-1]) for line in lines} == {
        ("havipclasses", "vipclass", "HAVipClass"),
        ("havips", "vip", "HAVip"),
        ("backendpools", "bpool", "BackendPool"),
        ("havipnodes", "vipnode", "HAVipNode"),
    }


def test_one_word_lists_all_of_them(served: ControlPlane) -> None:
    names = served.kubectl("get", "havip-operator", "-n", NAMESPACE, "-o", "name").split()
    assert {name.split(".")[0] for name in names} == {"havip", "backendpool", "havipnode", "havipclass"}


@pytest.mark.parametrize("word", ["vip", "havip", "havips", "havips.havip.dev"])
def test_every_word_for_a_kind_names_one_object(served: ControlPlane, word: str) -> None:
    assert served.kubectl("get", word, "web", "-n", NAMESPACE, "-o", "name") == "havip.havip.dev/web\n"


@pytest.mark.parametrize(
    ("what", "columns", "wide"),
    [
        ("vip", "NAME ADDRESS ACTIVE READY CLASS AGE", "REASON VRID ADDRESSES TRANSITIONS"),
        ("bpool", "NAME SERVICE HEALTHY SERVERS READY AGE", "ENGINE ALGORITHM REASON"),
        ("vipclass", "NAME PROVIDER NODES VIPS READY AGE", "REASON"),
        ("vipnode", "NAME CLASS NODE INTERFACE APPLIED AGE", "GENERATION ERROR"),
    ],
)
def test_kubectl_get_shows_what_matters(served: ControlPlane, what: str, columns: str, wide: str) -> None:
    narrow = served.kubectl("get", what, "-n", NAMESPACE).splitlines()[0].split()
    assert narrow == columns.split()
    shown = served.kubectl("get", what, "-n", NAMESPACE, "-o", "wide").splitlines()[0].split()
    assert set(shown) == {*columns.split(), *wide.split()}


def test_kubectl_get_shows_the_address(served: ControlPlane) -> None:
    row = served.kubectl("get", "vip", "web", "-n", NAMESPACE, "--no-headers").split()
    assert row[:2] == ["web", "192.0.2.200"]


def test_havips_are_found_by_their_class(served: ControlPlane) -> None:
    def found(class_name: str) -> str:
        selector = f"--field-selector=spec.className={class_name}"
        return served.kubectl("get", "vip", "-n", NAMESPACE, selector, "-o", "name")

    assert found("edge") == "havip.havip.dev/web\n"
    assert found("other") == ""


@pytest.mark.parametrize("kind", KINDS)
def test_kubectl_explain_teaches_every_field(api_server: ControlPlane, kind: str) -> None:
    text = " ".join(api_server.kubectl("explain", KINDS[kind], "--recursive").split())
    crd = yaml.safe_load((CHECKOUT / "crds" / f"havip.dev_{KINDS[kind]}.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["description"] in text
    for field in fields_of(schema["properties"]["spec"]):
        assert f" {field} " in text


def fields_of(schema: Body) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield name
        yield from fields_of(field.get("items", field))


@pytest.mark.parametrize(
    ("path", "teaches"),
    [
        ("havipclass.spec.election.vrrp.advertIntervalMilliseconds", "in milliseconds, in steps of 10. (10 to 40950;"),
        ("havip.spec.failback", "Never: it does not take over, once"),
        ("havip.spec.nodes.candidates", "(1 to 5; default 3)"),
        ("backendpool.spec.healthCheck.timeoutMilliseconds", "Absent: intervalMilliseconds."),
        ("havipnode.status.appliedGeneration", "the node confirmed as applied"),
    ],
)
def test_kubectl_explain_says_unit_range_and_default(api_server: ControlPlane, path: str, teaches: str) -> None:
    assert teaches in " ".join(api_server.kubectl("explain", path).split())


@pytest.mark.parametrize(
    ("kind", "required", "model"),
    [
        ("HAVipClass", ("provider", "interface", "addressRanges", "namespaces"), HAVipClass),
        ("HAVip", ("addresses",), HAVip),
        ("BackendPool", ("members",), BackendPool),
    ],
)
def test_what_is_left_out_becomes_what_the_model_says(
    served: ControlPlane, kind: str, required: tuple[str, ...], model: Any
) -> None:
    body = sample(kind)
    body["spec"] = {name: body["spec"][name] for name in required}
    body["metadata"]["name"] = "minimal"
    body["metadata"]["namespace"] = NAMESPACE
    reply = served.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(body))
    assert model.model_validate(json.loads(reply)) == model.model_validate(body)


@pytest.mark.parametrize("kind", ["HAVipClass", "HAVip", "BackendPool"])
def test_an_object_that_nobody_has_looked_at_says_so(served: ControlPlane, kind: str) -> None:
    body = sample(kind, name="fresh")
    body["metadata"]["namespace"] = NAMESPACE
    reply = json.loads(served.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(body)))
    assert reply["status"] == {"observedGeneration": -1}
    assert reply["metadata"]["generation"] == 1


def test_what_a_node_reports_is_taken_as_it_is(served: ControlPlane) -> None:
    heard = InstanceReport(Key("shop", "web"), 7, State.ACTIVE, "2026-01-01T00:00:00.123Z", "Elected", ("n2",), 312)
    status = NodeStatus(
        applied_generation=1,
        error="",
        versions={"agent": "0.1.0", "keepalived": "2.3.1", "haproxy": "3.0.8"},
        interface=InterfaceReport("eth0", ("192.0.2.11/24", "fe80::1/64")),
        vips=(heard,),
        pools=(PoolReport(Key("shop", "web"), "0123abcd", 1, 2),),
        left_out=(LeftOut("", "Invalid", "instances[1]", 'must be an object\nwith "these" fields'),),
    )
    apply_status(served, "havip-agent", "HAVipNode", status.to_json())
    stored = served.get("havipnode", "edge.n1", "-n", NAMESPACE)
    assert NodeStatus.from_json(stored["status"]) == status
    spec, left_out = NodeSpec.from_json(stored["spec"])
    assert spec.to_json() == stored["spec"]
    assert left_out == ()


def test_two_managers_own_their_own_conditions(served: ControlPlane) -> None:
    apply_status(served, "one", "HAVip", {"conditions": [condition("Ready")]})
    apply_status(served, "two", "HAVip", {"conditions": [condition("Claimed")]})
    types = [item["type"] for item in served.get("havip", "web", "-n", NAMESPACE)["status"]["conditions"]]
    assert types == ["Ready", "Claimed"]

    with pytest.raises(KubectlError, match=r'conflict with "one".*\.status\.conditions\[type="Ready"\]\.message'):
        apply_status(served, "two", "HAVip", {"conditions": [condition("Ready", "not mine")]})

    apply_status(served, "two", "HAVip", {})
    types = [item["type"] for item in served.get("havip", "web", "-n", NAMESPACE)["status"]["conditions"]]
    assert types == ["Ready"]


def test_two_managers_own_their_own_front_ends(served: ControlPlane) -> None:
    def apply(manager: str, name: str, port: int) -> None:
        body = sample("HAVip", name="shared")
        body["metadata"]["namespace"] = NAMESPACE
        body["spec"]["frontends"] = [{"name": name, "port": port, "poolRef": {"name": "web"}}]
        flags = ["--server-side", f"--field-manager={manager}"]
        served.kubectl("apply", *flags, "-f", "-", input=json.dumps(body))

    apply("one", "http", 80)
    apply("two", "https", 443)
    frontends = served.get("havip", "shared", "-n", NAMESPACE)["spec"]["frontends"]
    assert [(frontend["name"], frontend["port"]) for frontend in frontends] == [("http", 80), ("https", 443)]


def test_a_user_cannot_write_status_together_with_the_spec(served: ControlPlane) -> None:
    body = sample("BackendPool", name="presumptuous")
    body["metadata"]["namespace"] = NAMESPACE
    body["status"] = {"healthy": 9}
    reply = json.loads(served.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(body)))
    assert reply["status"] == {"observedGeneration": -1}


def test_the_installed_definitions_ask_nothing_more_to_change(api_server: ControlPlane) -> None:
    """Applying the files again changes nothing: what the API server stores is what they say."""
    before = {item["metadata"]["name"]: item["metadata"]["generation"] for item in definitions(api_server)}
    # Forced: on the session's API server the chart's hook may have applied them under its own name before.
    api_server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHECKOUT / "crds"))
    after = {item["metadata"]["name"]: item["metadata"]["generation"] for item in definitions(api_server)}
    assert after == before


def definitions(control: ControlPlane) -> list[Body]:
    names = [f"{plural}.havip.dev" for plural in KINDS.values()]
    items: list[Body] = control.get("customresourcedefinitions", *names)["items"]
    return items
