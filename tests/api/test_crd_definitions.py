"""Rules that hold for every field of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from havip.api.crd import KINDS, Kind, definition

Schema = dict[str, Any]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def root(kind: Kind) -> Schema:
    schema: Schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from walk(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from walk(schema[inner], f"{path}[]")


def fields(kind: Kind) -> Iterator[tuple[str, Schema]]:
    for part in ("spec", "status"):
        yield from walk(root(kind)["properties"][part], part)


@every_kind
def test_nothing_is_unbounded(kind: Kind) -> None:
    for path, schema in fields(kind):
        match schema["type"]:
            case "string":
                assert "maxLength" in schema or "enum" in schema, path
            case "array":
                assert schema["maxItems"] <= 1024, path
            case "integer":
                assert "format" in schema, path
            case "object":
                assert "additionalProperties" not in schema or "maxProperties" in schema, path
        assert "x-kubernetes-preserve-unknown-fields" not in schema, path


@every_kind
def test_every_field_is_described_in_a_sentence(kind: Kind) -> None:
    for path, schema in fields(kind):
        if not path.endswith("[]"):
            words = schema["description"].split(" (")[0]
            assert words[0].isupper(), path
            assert "." in schema["description"], path


@every_kind
def test_a_time_span_has_its_unit_in_its_name_and_in_its_words(kind: Kind) -> None:
    for path, schema in fields(kind):
        name = path.rsplit(".", 1)[-1]
        for unit in ("Milliseconds", "Seconds"):
            if name.endswith(unit):
                assert unit.lower() in schema["description"], path


@every_kind
def test_nothing_may_be_null(kind: Kind) -> None:
    assert not [path for path, schema in fields(kind) if "nullable" in schema]


@every_kind
def test_enumerations_are_camel_case_words(kind: Kind) -> None:
    for path, schema in fields(kind):
        for word in schema.get("enum", []):
            assert word[0].isupper(), path
            assert word.isalpha(), path


@every_kind
def test_every_rule_says_what_would_be_accepted(kind: Kind) -> None:
    rules = [*walk(root(kind), "")]
    for path, schema in rules:
        for rule in schema.get("x-kubernetes-validations", []):
            assert "must" in rule["message"] or "immutable" in rule["message"] or "required" in rule["message"], path


@every_kind
def test_a_user_kind_says_minus_one_until_somebody_looked(kind: Kind) -> None:
    status = root(kind)["properties"]["status"]
    if kind.name == "HAVipNode":
        assert "default" not in status
    else:
        assert status["default"] == {"observedGeneration": -1}


@every_kind
def test_conditions_merge_by_their_type(kind: Kind) -> None:
    conditions = root(kind)["properties"]["status"]["properties"].get("conditions")
    if kind.name != "HAVipNode":
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_no_free_text_of_a_user_exists() -> None:
    """Every string of a user's spec has a rule, a pattern or a list of values."""
    for kind in KINDS:
        for path, schema in walk(root(kind)["properties"]["spec"], "spec"):
            if schema["type"] == "string":
                assert {"enum", "pattern", "x-kubernetes-validations"} & schema.keys(), f"{kind.name} {path}"
