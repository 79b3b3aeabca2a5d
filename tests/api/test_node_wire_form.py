"""HAVipNode's schema and `havip.model.node` say the same: processes use the one, the API server the other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from havip.api.structural import structural
from havip.api.v1alpha1 import HAVipNode
from havip.model.address import parse_address, parse_network
from havip.model.election import Instance, Peer, Probe, Timing
from havip.model.keys import Key
from havip.model.node import (
    Assignment,
    Frontend,
    InterfaceChoice,
    InterfaceReport,
    InterfaceSource,
    NodeSpec,
    NodeStatus,
    PoolReport,
)
from havip.model.refusal import LeftOut, Refused
from havip.model.report import InstanceReport
from havip.model.states import Failback, Protocol, State

WEB = Key("shop", "web")
SPEC = NodeSpec(
    class_name="edge",
    node="n1",
    interface=InterfaceChoice(InterfaceSource.NAME, "eth0"),
    timing=Timing(advert_interval_ms=100, missed_adverts=3, settle_seconds=30),
    redundant=True,
    assignments=(
        Assignment(
            Instance(
                havip=WEB,
                virtual_router_id=7,
                priority=199,
                addresses=(parse_address("192.0.2.200"), parse_address("2001:db8::200")),
                source=parse_address("192.0.2.11"),
                peers=(Peer("n2", parse_address("192.0.2.12")),),
                eligible=False,
                preferred=("n2", "n1"),
                failback=Failback.DELAYED,
                failback_delay_seconds=60,
                announce=4,
                tracked=True,
                probe=Probe(59_999, (parse_network("168.63.129.16/32"),), 5000, 2, overlap_flows_ms=10_000),
            ),
            (Frontend("http", 80, Protocol.TCP, WEB),),
        ),
    ),
)
STATUS = NodeStatus(
    applied_generation=3,
    error="",
    versions={"agent": "0.1.0", "keepalived": "2.3.1", "haproxy": "3.0.8"},
    interface=InterfaceReport("eth0", ("192.0.2.11/24",)),
    vips=(InstanceReport(WEB, 7, State.ACTIVE, "2026-01-01T00:00:00.000Z", "Elected", ("n2",), 312),),
    pools=(PoolReport(WEB, "0123abcd", 1, 2),),
    left_out=(LeftOut("shop/other", "Invalid", "instances[1].addresses", "must be one address"),),
)
SCHEMA = structural(HAVipNode)["properties"]
CHOICES = [choice for choice in InterfaceSource if choice is not InterfaceSource.NAME]


def leaves(schema: dict[str, Any], value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Paths in `value` with the schema of each."""
    yield path, schema
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from leaves(inner, value[name], (*path, name))
    elif isinstance(value, list) and value:
        yield from leaves(schema["items"], value[0], (*path, 0))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    out = copy.deepcopy(document)
    here = out
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return out


def spec_takes(document: Any) -> bool:
    try:
        _, left_out = NodeSpec.from_json(document)
    except Refused:
        return False
    return not left_out


def status_takes(document: Any) -> bool:
    try:
        NodeStatus.from_json(document)
    except Refused:
        return False
    return True


def test_a_spec_passes_through_the_schema_unchanged() -> None:
    body = SPEC.to_json()
    assert HAVipNode.model_validate({"spec": body}).spec.to_json() == body
    assert NodeSpec.from_json(body) == (SPEC, ())


@pytest.mark.parametrize("source", CHOICES)
def test_every_way_to_an_interface_passes_through_the_schema(source: InterfaceSource) -> None:
    body = replace(SPEC, interface=InterfaceChoice(source)).to_json()
    assert HAVipNode.model_validate({"spec": body}).spec.to_json() == body


def test_a_status_passes_through_the_schema_unchanged() -> None:
    body = STATUS.to_json()
    assert HAVipNode.model_validate({"spec": SPEC.to_json(), "status": body}).status.to_json() == body
    assert NodeStatus.from_json(body) == STATUS


@pytest.mark.parametrize(("part", "body"), [("spec", SPEC.to_json()), ("status", STATUS.to_json())])
def test_the_schema_knows_the_same_fields(part: str, body: dict[str, Any]) -> None:
    for path, schema in leaves(SCHEMA[part], body):
        value: Any = body
        for step in path:
            value = value[step]
        if "properties" in schema and path != ("interface",):
            assert set(schema["properties"]) == set(value), path
    assert set(SCHEMA["spec"]["properties"]["interface"]["properties"]) == set(InterfaceSource)


def bounded(part: str, body: Any) -> list[Any]:
    return [
        pytest.param(part, path, schema, id=".".join(map(str, (part, *path))))
        for path, schema in leaves(SCHEMA[part], body)
        if schema["type"] in ("integer", "array") and path[-1:] != ("addresses",)
    ]


@pytest.mark.parametrize(
    ("part", "path", "schema"), bounded("spec", SPEC.to_json()) + bounded("status", STATUS.to_json())
)
def test_the_bounds_are_the_same(part: str, path: tuple[Any, ...], schema: dict[str, Any]) -> None:
    body, takes = (SPEC.to_json(), spec_takes) if part == "spec" else (STATUS.to_json(), status_takes)
    assert takes(body)
    if schema["type"] == "integer":
        assert takes(with_value(body, path, schema["minimum"]))
        assert not takes(with_value(body, path, schema["minimum"] - 1))
        if "maximum" in schema:
            assert takes(with_value(body, path, schema["maximum"]))
            assert not takes(with_value(body, path, schema["maximum"] + 1))
    else:
        most = schema["maxItems"]
        assert not takes(with_value(body, path, [None] * (most + 1)))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("instances", 0, "failback"), set(Failback)),
        (("instances", 0, "frontends", 0, "protocol"), set(Protocol)),
    ],
)
def test_the_words_of_a_spec_are_the_same(path: tuple[Any, ...], words: set[str]) -> None:
    schemas = dict(leaves(SCHEMA["spec"], SPEC.to_json()))
    assert set(schemas[path]["enum"]) == words


def test_the_words_of_a_status_are_the_same() -> None:
    schemas = dict(leaves(SCHEMA["status"], STATUS.to_json()))
    assert set(schemas[("vips", 0, "state")]["enum"]) == set(State)
