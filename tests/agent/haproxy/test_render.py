"""haproxy.cfg: golden files, and proof that no text can change the shape of one."""

from __future__ import annotations

import ipaddress
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent import orders
from tests.agent.haproxy.cases import CASES, FOLDERS, GOLDEN

from havip.agent.haproxy.context import Configuration, FrontendSection, configure
from havip.agent.haproxy.render import render, structure_digest, token, words
from havip.model.keys import Key
from havip.model.refusal import Refused

HOSTILE = ["\n", "\r", "\t", " ", '"', "'", "\\", "#", "{", "}", "\0", "\x85", "\u2028", "\x1b[2J"]
SECTION = re.compile(r"^(global|defaults|frontend \S+|backend \S+)$")


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_as_it_was_agreed(name: str) -> None:
    configuration, left_out = configure(CASES[name])
    text = render(configuration, FOLDERS)
    golden = GOLDEN / f"{name}.cfg"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(text)
    assert text == golden.read_text()
    assert left_out == ()


def test_no_golden_file_is_left_without_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.cfg")} == set(CASES)


def test_the_order_of_orders_does_not_matter() -> None:
    one, two = orders.instance(), orders.instance("shop/b", vrid=8, addresses=["10.88.0.201"])
    servers = ["10.0.0.1:80", "10.0.0.2:80"]
    first = orders.desired(orders.spec(one, two), orders.pool(servers=servers))
    second = orders.desired(orders.spec(two, one), orders.pool(servers=reversed(servers)))
    assert render(configure(first)[0], FOLDERS) == render(configure(second)[0], FOLDERS)


def test_two_front_ends_on_one_port_are_one_and_a_refusal() -> None:
    front_ends = [orders.frontend("a", 80), orders.frontend("b", 80)]
    configuration, left_out = configure(orders.desired(orders.spec(orders.instance(frontends=front_ends))))
    assert [section.frontend for section in configuration.frontends] == ["a"]
    assert [(item.field, item.reason) for item in left_out] == [("frontends[b].port", "Invalid")]
    assert "already used by shop/web a" in left_out[0].message


def test_a_pool_that_is_not_understood_is_told_for_each_havip_that_uses_it() -> None:
    desired = orders.desired(orders.spec(orders.instance()), orders.pool(algorithm="Random"))
    configuration, left_out = configure(desired)
    assert configuration.backends[0].servers == ()
    assert [(item.havip, item.reason, item.field) for item in left_out] == [
        ("shop/web", "PoolInvalid", "frontends[http].poolRef")
    ]


def test_servers_and_weights_are_not_structure_and_everything_else_is() -> None:
    def digest(*pools: orders.Body, body: orders.Body | None = None) -> str:
        desired = orders.desired(body or orders.spec(orders.instance()), *pools)
        return structure_digest(configure(desired)[0], FOLDERS)

    plain = digest(orders.pool(healthCheck=orders.CHECK))
    assert digest(orders.pool(servers=[("10.9.9.9", 1, 7)], healthCheck=orders.CHECK)) == plain
    slower = {**orders.CHECK, "intervalMilliseconds": 2000}
    others = [
        digest(orders.pool()),
        digest(orders.pool(healthCheck=slower)),
        digest(orders.pool(healthCheck=orders.CHECK, algorithm="Source")),
        digest(orders.pool(healthCheck=orders.CHECK), body=orders.spec(orders.instance(addresses=["10.88.0.9"]))),
    ]
    assert len({plain, *others}) == 5


@pytest.mark.parametrize("bad", HOSTILE)
def test_the_renderer_refuses_what_the_model_would_never_let_through(bad: str) -> None:
    address = ipaddress.ip_address("10.88.0.200")
    section = FrontendSection(Key("shop", f"web{bad}"), "http", address, 80, Key("shop", "web"))
    with pytest.raises(Refused):
        render(Configuration((section,), ()), FOLDERS)


@given(st.text(min_size=1))
def test_a_token_is_one_word_or_refused(text: str) -> None:
    try:
        out = token(text)
    except Refused:
        return
    assert out == text
    assert out.isprintable()
    assert not set(out) & set(" \"'\\#{}")


def test_several_words_are_checked_one_by_one() -> None:
    assert words("check inter 1000ms") == "check inter 1000ms"
    with pytest.raises(Refused):
        words("check  inter")
    with pytest.raises(Refused):
        words("check\ninter")


hostile_text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["web\n  lua-load /etc/passwd", "x\nprogram evil\n  command id", "/a b", "/${HOME}", "/%[env(PATH)]"]
    ),
    st.builds("".join, st.lists(st.sampled_from([*HOSTILE, "a", "/", "1", ".", ":", "-"]), max_size=12)),
)


@given(data=st.data())
def test_hostile_text_anywhere_in_the_orders_never_changes_the_shape_of_the_file(data: st.DataObject) -> None:
    """Every string of the documents is a hole for hostile text, one or several at a time."""
    body = orders.spec(orders.instance())
    pool = orders.pool(healthCheck={**orders.CHECK, "httpPath": "/healthz"})
    holes = _holes([body, pool])
    for container, key in data.draw(st.lists(st.sampled_from(holes), min_size=1, max_size=3, unique_by=id)):
        container[key] = data.draw(hostile_text)
    before = orders.desired(orders.spec(orders.instance()), orders.pool())
    try:
        desired = orders.desired(body, pool, previous=before)
    except AttributeError:
        return  # the pool's name was replaced by something that names no ConfigMap
    text = render(configure(desired)[0], FOLDERS)
    assert _is_well_shaped(text), text


def _holes(value: object) -> list[tuple[orders.Body, str]]:
    if isinstance(value, list):
        return [hole for item in value for hole in _holes(item)]
    if isinstance(value, dict):
        own = [(value, key) for key, item in value.items() if isinstance(item, str)]
        return own + [hole for item in value.values() for hole in _holes(item)]
    return []


LINE = re.compile(
    r"    (#.*"
    r"|description havip-[0-9a-f]{32}|master-worker|stats socket /run/havip/haproxy/runtime\.sock mode 660 level admin"
    r" expose-fd listeners|server-state-file \S+|hard-stop-after \d+s|fd-hard-limit \d+"
    r"|mode (tcp|http)|load-server-state-from-file global|option (redispatch|clitcpka|srvtcpka|httpchk)|retries \d"
    r"|(cli|srv)tcpka-(idle \d+s|intvl \d+s|cnt \d+)"
    r"|timeout [a-z-]+ \d+(s|h|ms)|monitor-uri /|bind unix@\S+ mode 660|bind ipv[46]@\S+ transparent"
    r"|default_backend \S+|balance (roundrobin|leastconn|source)|hash-type consistent"
    r"|http-check send meth GET uri /\S* ver HTTP/1\.1 hdr Host havip hdr Connection close"
    r"|default-server check inter \d+ms rise \d+ fall \d+|server \S+ ipv[46]@\S+ weight \d+)"
)


def _is_well_shaped(text: str) -> bool:
    lines = text.split("\n")
    return all(not line or line.startswith("# ") or SECTION.match(line) or LINE.fullmatch(line) for line in lines)


@pytest.mark.parametrize("name", CASES)
def test_the_shape_that_is_guarded_is_the_shape_of_the_golden_files(name: str) -> None:
    assert _is_well_shaped((GOLDEN / f"{name}.cfg").read_text())


def test_a_program_section_would_be_noticed() -> None:
    assert not _is_well_shaped("program evil\n    command id\n")
