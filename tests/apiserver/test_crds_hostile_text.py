"""No string of a spec carries a line break or quote into a rendered file; addresses mean what the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from e2e.cluster.control_plane import CHECKOUT, ControlPlane
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.apiserver.asking import Asking, Refusal
from tests.apiserver.samples import OTHER_BRANCHES, Body, having, sample

from havip.model.address import parse_address, parse_interface_name, parse_network, parse_virtual_address
from havip.model.keys import Key, parse_label, parse_subdomain
from havip.model.pool import parse_http_path

pytestmark = pytest.mark.apiserver

HOSTILE = ["\n", "\r", '"', "'", "\x00", "\u2028", " ", "{", "}", "#", "!", "\\"]
KINDS = {"HAVipClass": "havipclasses", "HAVip": "havips", "BackendPool": "backendpools", "HAVipNode": "havipnodes"}


def schema_of(kind: str) -> Body:
    crd = yaml.safe_load((CHECKOUT / "crds" / f"havip.dev_{KINDS[kind]}.yaml").read_text())
    schema: Body = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def texts_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and content of every string in a value."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_in(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts_in(item, f"{path}.{index}")


def string_fields(schema: Body, path: str) -> Iterator[str]:
    """Paths of every string a schema knows; items of lists are 0, keys of maps are *."""
    if schema["type"] == "string":
        yield path
    for name, field in schema.get("properties", {}).items():
        yield from string_fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from string_fields(schema["items"], f"{path}.0")
    if "additionalProperties" in schema:
        yield from string_fields(schema["additionalProperties"], f"{path}.*")


def bodies(kind: str) -> list[Body]:
    """Samples that between them set every string of the kind."""
    return [sample(kind), *(having(sample(kind), path, value) for path, value in OTHER_BRANCHES[kind])]


LEAVES = [
    pytest.param(body, path, text, id=f"{kind}: {path}")
    for kind in KINDS
    for body in bodies(kind)
    for path, text in texts_in(body["spec"], "spec")
    if "matchLabels" not in path
]


@pytest.fixture(scope="module")
def ask(api_server: ControlPlane) -> Iterator[Asking]:
    api_server.kubectl("create", "namespace", "hostile-text")
    asking = Asking(api_server, "hostile-text")
    yield asking
    asking.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_samples_reach_every_string_of_the_schema(kind: str) -> None:
    reached = {
        ".".join("*" if step in ("havip.dev/edge", "team") else "0" if step.isdigit() else step for step in split(path))
        for body in bodies(kind)
        for path, _ in texts_in(body["spec"], "spec")
    }
    assert set(string_fields(schema_of(kind), "spec")) == reached


def split(path: str) -> list[str]:
    """The steps of a path; the one label key with a dot is one step."""
    return path.replace("havip.dev/edge", "team").split(".")


@pytest.mark.parametrize(("body", "path", "text"), LEAVES)
def test_no_string_takes_a_line_break_or_quote(ask: Asking, body: Body, path: str, text: str) -> None:
    # '!' begins a comment in keepalived.conf; a URL's path may have one, and only haproxy.cfg sees it
    hostile = [one for one in HOSTILE if one != "!" or not path.endswith("http.path")]
    variants = [variant for one in hostile for variant in (text + one, text[:1] + one + text[1:])]
    taken = [variant for variant in variants if isinstance(ask.create(having(body, path, variant)), dict)]
    assert taken == []


@pytest.mark.parametrize("path", ["spec.nodes.selector.matchLabels", "spec.namespaces.selector.matchLabels"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_label_takes_a_line_break_or_quote(ask: Asking, path: str, hostile: str) -> None:
    body = having(sample("HAVipClass"), path.rsplit(".", 2)[0], {})
    for key, value in ((f"a{hostile}", "b"), (f"a{hostile}b", "c"), ("a", f"b{hostile}"), ("a", f"b{hostile}c")):
        answer = ask.create(having(body, path, {key: value}))
        assert isinstance(answer, Refusal), (key, value)


def takes(parse: Callable[[object], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


ODD = [
    "",
    "a" * 15,
    "a" * 63,
    "a" * 64,
    "lo",
    "-a",
    "a-",
    ".a",
    "a.",
    "a..b",
    "A",
    "a_b",
    "/",
    "//",
    "/a?b",
    "ä",
    "a/b",
    "10.0.0.7",
    "10.0.0.0/8",
    "10.0.0.0/08",
    "10.0.0.7/8",
]
EVERY_CHARACTER = [before + chr(code) + "b" for code in range(1, 128) for before in ("a", "/a")]


@pytest.mark.parametrize(
    ("kind", "path", "parse"),
    [
        ("HAVip", "spec.frontends.0.name", parse_label),
        ("HAVip", "spec.frontends.0.poolRef.name", parse_subdomain),
        ("HAVip", "spec.nodes.preferred.0", parse_subdomain),
        ("HAVip", "spec.className", parse_label),
        ("HAVipClass", "spec.interface.name", parse_interface_name),
        ("HAVipClass", "spec.addressRanges.0", parse_network),
        ("HAVipNode", "spec.instances.0.havip", Key.parse),
        ("HAVipNode", "spec.instances.0.frontends.0.pool", Key.parse),
        ("BackendPool", "spec.healthCheck.http.path", parse_http_path),
        ("BackendPool", "spec.members.static.0.address", parse_address),
    ],
)
def test_the_model_understands_every_text_the_api_server_takes(
    ask: Asking, kind: str, path: str, parse: Callable[[object], object]
) -> None:
    texts = [*ODD, *EVERY_CHARACTER]
    accepted = [text for text in texts if isinstance(ask.create(having(sample(kind), path, text)), dict)]
    assert accepted
    assert [text for text in accepted if not takes(parse, text)] == []


_OCTET = st.integers(0, 300).map(str) | st.sampled_from(["00", "01", "0x1", "", "+1", "-1", "1 ", "٣"])
_GROUP = st.sampled_from(["", "0", "1", "ff", "FFFF", "fd00", "fe80", "ff02", "12345", "g", "::", "10.0.0.1", "%eth0"])
ADDRESSES = (
    st.ip_addresses().map(str)
    | st.ip_addresses(v=6).map(lambda address: address.exploded)
    | st.lists(_OCTET, min_size=1, max_size=5).map(".".join)
    | st.lists(_GROUP, min_size=1, max_size=9).map(":".join)
)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example("192.0.2.1")
@example("2001:db8::1")
@example("::1.2.3.4")
@example("64:ff9b::10.0.0.1")
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("fec0::1")
@example("100.64.0.1")
@example("192.0.0.1")
@example("198.18.0.1")
@example("255.255.255.254")
@example("fd00:ec2::0254")
@given(text=ADDRESSES)
def test_the_api_server_and_the_model_take_the_same_addresses(ask: Asking, text: str) -> None:
    answer = ask.create(having(sample("HAVip"), "spec.addresses", [text]))
    assert isinstance(answer, dict) == takes(parse_virtual_address, text), answer
