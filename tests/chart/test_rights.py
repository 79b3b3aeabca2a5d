"""Who may do what: the whole table, so that a right more or less is seen in a review."""

from __future__ import annotations

import pytest
from tests.chart.rendering import Body, one, render

pytestmark = pytest.mark.helm

Rights = set[tuple[str, str, str, str]]
"""(API group, resource, name or empty, verb)."""


@pytest.fixture(scope="module")
def release() -> list[Body]:
    return render(upgrade=True)


def rights(document: Body) -> Rights:
    return {
        (group, resource, name, verb)
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def table(*rows: tuple[str, str, str]) -> Rights:
    """(group, resource or resource/name@, verbs) per row."""
    return {
        (group, *(what.split("@") if "@" in what else (what, "")), verb)  # type: ignore[misc]  # two words, always
        for group, what, verbs in rows
        for verb in verbs.split()
    }


READ = "get list watch"
WRITE = f"{READ} create patch delete"


def test_the_operator_across_the_cluster(release: list[Body]) -> None:
    assert rights(one(release, "ClusterRole", "havip-operator")) == table(
        ("havip.dev", "havipclasses", f"{READ} patch"),
        ("havip.dev", "havips", f"{READ} patch"),
        ("havip.dev", "backendpools", f"{READ} patch"),
        ("havip.dev", "havipclasses/status", "get patch"),
        ("havip.dev", "havips/status", "get patch"),
        ("havip.dev", "backendpools/status", "get patch"),
        ("", "nodes", READ),
        ("", "namespaces", READ),
        ("", "services", READ),
        ("discovery.k8s.io", "endpointslices", READ),
        ("events.k8s.io", "events", "create patch"),
    )


def test_the_operator_in_its_own_namespace(release: list[Body]) -> None:
    assert rights(one(release, "Role", "havip-operator")) == table(
        ("havip.dev", "havipnodes", WRITE),
        ("apps", "daemonsets", WRITE),
        ("", "configmaps", WRITE),
        ("", "pods", READ),
        ("coordination.k8s.io", "leases", "create"),
        ("coordination.k8s.io", "leases@havip-operator", "get update patch"),
    )


def test_the_operator_reads_the_secrets_it_was_given_and_no_others(release: list[Body]) -> None:
    assert not [right for right in rights(one(release, "Role", "havip-operator")) if right[1] == "secrets"]
    given = one(render({"credentialSecrets": ["cloud", "other"]}), "Role", "havip-operator")
    assert {right for right in rights(given) if right[1] == "secrets"} == table(
        ("", "secrets@cloud", "get"), ("", "secrets@other", "get")
    )


def test_a_node_reads_its_orders_and_writes_its_report(release: list[Body]) -> None:
    assert rights(one(release, "Role", "havip-node")) == table(
        ("havip.dev", "havipnodes", READ),
        ("havip.dev", "havipnodes/status", "patch"),
        ("", "configmaps", READ),
    )
    subjects = [
        binding["metadata"]["name"]
        for binding in release
        if binding["kind"].endswith("Binding")
        and any(subject["name"] == "havip-node" for subject in binding.get("subjects", ()))
    ]
    assert subjects == ["havip-node"]


def test_the_upgrade_hook_touches_our_definitions_by_name(release: list[Body]) -> None:
    from havip.api.crd import KINDS
    from havip.model.keys import GROUP

    names = [f"customresourcedefinitions@{kind.plural}.{GROUP}" for kind in KINDS]
    group = "apiextensions.k8s.io"
    assert rights(one(release, "ClusterRole", "havip-crds")) == table(
        (group, "customresourcedefinitions", "create"), *((group, name, "get patch") for name in names)
    )


def test_the_uninstall_hook_releases_and_deletes_nothing_of_a_user(release: list[Body]) -> None:
    assert rights(one(release, "ClusterRole", "havip-uninstall")) == table(
        ("havip.dev", "havipclasses", "list patch"),
        ("havip.dev", "havips", "list patch"),
        ("havip.dev", "backendpools", "list patch"),
    )
    assert rights(one(release, "Role", "havip-uninstall")) == table(
        ("havip.dev", "havipnodes", "list patch delete"),
        ("apps", "daemonsets", "list delete"),
        ("", "pods", "list"),
        ("", "configmaps", "list create delete"),
        ("apps", "deployments@havip-operator", "get"),
        ("", "serviceaccounts@havip-operator", "get"),
    )


def test_nobody_has_a_wildcard(release: list[Body]) -> None:
    for document in release:
        for rule in document.get("rules") or []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], document["metadata"]["name"]


def test_every_role_is_bound_to_the_account_of_its_name(release: list[Body]) -> None:
    roles = {(each["kind"], each["metadata"]["name"]) for each in release if each["kind"] in ("Role", "ClusterRole")}
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"]): [subject["name"] for subject in each["subjects"]]
        for each in release
        if each["kind"] in ("RoleBinding", "ClusterRoleBinding")
    }
    aggregated = {("ClusterRole", "havip-view"), ("ClusterRole", "havip-edit")}
    assert bound.keys() == roles - aggregated
    assert all(subjects == [name] for (_, name), subjects in bound.items())
