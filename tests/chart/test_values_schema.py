"""What helm says against values that would not work, before anything reaches the cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from tests.chart.rendering import CHART, refusal, render

helm = pytest.mark.helm

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"replicas": 2}, "replicas"),
    "an unknown key deeper down": ({"operator": {"replica": 2}}, "replica"),
    "a number as text": ({"operator": {"replicas": "2"}}, "replicas"),
    "no replica": ({"operator": {"replicas": 0}}, "replicas"),
    "an empty tag": ({"image": {"operator": {"tag": ""}}}, "tag"),
    "a number as a tag": ({"image": {"node": {"tag": 1.2}}}, "tag"),
    "no tag": ({"image": {"node": {"tag": None}}}, "tag"),
    "the tag latest": ({"image": {"haproxy": {"tag": "latest"}}}, "tag"),
    "a digest that is none": ({"image": {"node": {"digest": "sha256:abc"}}}, "digest"),
    "a repository with a quote": ({"image": {"node": {"repository": 'x" || true || "'}}}, "repository"),
    "a repository with a newline": ({"image": {"node": {"repository": "x\ny"}}}, "repository"),
    "a pull policy of another case": ({"image": {"pullPolicy": "always"}}, "pullPolicy"),
    "text for a list": ({"credentialSecrets": "cloud"}, "credentialSecrets"),
    "a Secret's name that is none": ({"credentialSecrets": ["Cloud"]}, "credentialSecrets"),
    "a Secret twice": ({"credentialSecrets": ["cloud", "cloud"]}, "credentialSecrets"),
    "a port that is none": ({"operator": {"port": 70000}}, "port"),
    "a level that is none": ({"operator": {"logLevel": "loud"}}, "logLevel"),
    "text for a switch": ({"admissionPolicies": {"enabled": "no"}}, "enabled"),
    "a class without a spec": ({"defaultClass": {"create": True}}, "spec"),
    "a class name with a dot": ({"defaultClass": {"name": "a.b"}}, "name"),
    "a grace period too short to hand over": ({"node": {"terminationGracePeriodSeconds": 1}}, "terminationGracePeriod"),
    "a roll-out of nothing": ({"node": {"maxUnavailable": 0}}, "maxUnavailable"),
    "a limit that is no quantity": ({"operator": {"resources": {"limits": {"memory": True}}}}, "memory"),
    "an unknown kind of resources": ({"operator": {"resources": {"limit": {}}}}, "limit"),
    "a variable's name that is none": ({"operator": {"env": {"A B": "x"}}}, "env"),
    "a number as a variable": ({"operator": {"env": {"A": 1}}}, "env"),
    "a deadline beyond any timeout": ({"hooks": {"uninstall": {"deadlineSeconds": 86400}}}, "deadlineSeconds"),
}


@helm
@pytest.mark.parametrize("case", REFUSED)
def test_values_that_would_not_work_are_refused_by_name(case: str) -> None:
    values, named = REFUSED[case]
    said = refusal(values)
    assert "values don't meet the specifications of the schema" in said
    assert named in said


@helm
def test_values_of_a_parent_chart_are_no_mistake() -> None:
    assert render({"global": {"anything": ["goes", {"deep": 1}]}})


def _schema() -> Any:
    return json.loads((CHART / "values.schema.json").read_text())


def _objects(schema: Any, path: str = "") -> list[tuple[str, Any]]:
    found = [(path, schema)] if schema.get("type") == "object" else []
    for name, inner in schema.get("properties", {}).items():
        found += _objects(inner, f"{path}.{name}")
    return found


def test_no_object_of_the_schema_takes_keys_that_mean_nothing() -> None:
    """Open are only those whose keys are the user's or Kubernetes' own."""
    schema = _schema()
    objects = [*_objects(schema), *_objects({"properties": schema["definitions"]}, "definitions")]
    opened = {path for path, each in objects if each.get("additionalProperties") is not False}
    assert opened == {
        ".global",
        ".operator.affinity",
        ".defaultClass.spec",
        "definitions.strings",
        "definitions.resources.requests",
        "definitions.resources.limits",
    }


def _paths(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict) or not value:
        return {prefix}
    return {path for key, inner in value.items() for path in _paths(inner, f"{prefix}.{key}")}


def _known(schema: Any, path: str) -> bool:
    definitions = _schema()["definitions"]
    for key in path.strip(".").split("."):
        if "$ref" in schema:
            schema = definitions[schema["$ref"].rpartition("/")[2]]
        if schema.get("additionalProperties", False) is not False:
            return True
        if key not in schema["properties"]:
            return False
        schema = schema["properties"][key]
    return True


def test_every_value_has_a_place_in_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    unknown = [path for path in sorted(_paths(values)) if not _known(_schema(), path)]
    assert not unknown


def test_every_value_is_explained() -> None:
    """Each key has a comment above it, or stands in a block whose first line has one."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    silent = [
        line.strip()
        for above, line in zip(["", *lines], lines, strict=False)
        if line.strip()
        and not line.lstrip().startswith(("#", "requests:", "limits:"))
        and not above.lstrip().startswith("#")
        and not line.rstrip().endswith(":")
        and line.split(":")[0].strip() not in SPEAKING
    ]
    assert not silent


SPEAKING = {
    "repository",
    "digest",
    "tag",
    "resources",
    "nodeSelector",
    "tolerations",
    "priorityClassName",
    "labels",
    "podAnnotations",
}
"""Names that say what they are, where the section's own comment explains the rest."""
