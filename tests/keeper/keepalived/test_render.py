"""keepalived.conf: what stands in it, and that nothing a document says can change its shape."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.keeper.keepalived.parsing import Block, parse
from tests.keeper.made import an_election, an_instance, rendered

from havip.keeper.document import read
from havip.keeper.keepalived.render import Paths, Rendered, render
from havip.model.election import Timing
from havip.model.refusal import Refused

PATHS = Paths(PurePosixPath("/run/havip/keeper"))
GOLDEN = Path(__file__).parent / "golden"
KINDS = {
    "ipv4": an_instance(),
    "ipv6": an_instance(
        addresses=("fd00::200",), source="fd00::11", peers=(("n2", "fd00::12"),), virtual_router_id=52, priority=199
    ),
    "dual": an_instance(addresses=("10.88.0.200", "fd00::200")),
    "alone": an_instance(peers=()),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_file_is_the_golden_one(kind: str) -> None:
    text = render([rendered(KINDS[kind])], PATHS)
    assert text == (GOLDEN / f"{kind}.conf").read_text("ascii")


def test_every_instance_starts_as_backup_whatever_its_priority() -> None:
    instance = parse(render([rendered()], PATHS)).block("vrrp_instance")
    assert instance.value("state") == "BACKUP"
    assert instance.value("priority") == "209"


def test_a_reload_does_not_depend_on_a_capability_that_the_keeper_lacks() -> None:
    lines = parse(render([], PATHS)).block("global_defs").lines
    assert not any(line[0] == "reload_check_config" for line in lines)


def test_an_instance_without_peers_sends_to_itself_and_never_multicasts() -> None:
    instance = parse(render([rendered(an_instance(peers=()))], PATHS)).block("vrrp_instance")
    assert instance.block("unicast_peer").lines == [("10.88.0.11",)]


def test_the_ipv6_address_of_a_dual_stack_moves_along_outside_the_adverts() -> None:
    instance = parse(render([rendered(KINDS["dual"])], PATHS)).block("vrrp_instance")
    assert instance.block("virtual_ipaddress").lines == [("10.88.0.200/32", "dev", "eth0")]
    assert instance.block("virtual_ipaddress_excluded").lines == [("fd00::200/128", "dev", "eth0")]


@pytest.mark.parametrize(("milliseconds", "written"), [(10, "0.01"), (100, "0.10"), (1000, "1.00"), (40_950, "40.95")])
def test_the_advert_interval_is_written_in_seconds(milliseconds: int, written: str) -> None:
    item = rendered(timing=Timing(milliseconds, 3, 30))
    assert parse(render([item], PATHS)).block("vrrp_instance").value("advert_int") == written


def test_what_must_not_change_in_place_changes_the_name() -> None:
    one = an_instance()
    others = [
        replace(one, virtual_router_id=52),
        replace(one, source=ip_address("10.88.0.99")),
        replace(one, addresses=(ip_address("10.88.0.201"),)),
    ]
    assert rendered(one).name not in {rendered(other).name for other in others}
    assert rendered(one).name != rendered(one, interface="eth1").name


def test_what_may_change_in_place_keeps_the_name() -> None:
    one = an_instance()
    others = [replace(one, priority=199), replace(one, peers=one.peers[:1]), replace(one, announce=7)]
    assert {rendered(other).name for other in others} == {rendered(one).name}
    assert rendered(one).name == rendered(one, timing=Timing(200, 5, 1)).name


@pytest.mark.parametrize("folder", ["relative", '/run/with "quote"', "/run/new\nline", "/run/{brace}"])
def test_a_folder_that_could_be_read_as_something_else_is_refused(folder: str) -> None:
    with pytest.raises(Refused):
        Paths(PurePosixPath(folder))


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            '10.0.0.5/32\n } notify "/bin/sh -c id"',
            "10.0.0.5 } vrrp_instance x {",
            "include /etc/passwd",
            "${_ENV}",
            "~SEQ(1,9)",
            "@node x",
            "!",
            "#",
            "10.0.0.5\r\n",
            "10.0.0.5\x00",
            "10.0.0.5\u2028script_user root",
            "fe80::1%eth0",
            "0x0a000005",
        ]
    ),
    st.builds(lambda a, b: f"{a}{b}", st.sampled_from(["10.88.0.5", "web", "eth0"]), st.text(max_size=20)),
)
FIELDS = ("havip", "addresses", "sourceAddress", "peers", "preferred", "failback", "virtualRouterId", "priority")


def shape(block: Block) -> object:
    """Keywords and nesting; values only where they are keywords themselves."""
    return (
        block.head[:1],
        sorted(line[0] for line in block.lines if not line[0][0].isdigit() and ":" not in line[0]),
        sorted((shape(inner) for inner in block.blocks), key=repr),
    )


def shape_without_name(block: Block) -> str:
    text = repr(shape(block))
    return text.replace(block.head[1], "NAME")


KNOWN = {
    shape_without_name(parse(render([rendered(instance)], PATHS)).block("vrrp_instance")) for instance in KINDS.values()
}


@given(st.sampled_from(FIELDS), HOSTILE, st.booleans())
def test_no_text_of_a_document_changes_the_shape_of_the_file(name: str, text: str, nested: bool) -> None:
    body = an_election(an_instance()).to_json()
    instances = body["instances"]
    assert isinstance(instances, list)
    value: object = text
    if name in ("addresses", "preferred"):
        value = [text]
    elif name == "peers":
        value = [{"nodeName": text if nested else "n2", "address": "10.88.0.12" if nested else text}]
    instances[0][name] = value
    result = read(json.dumps(body).encode())
    assert result.election is not None
    items = [Rendered(instance, "eth0", result.election.timing) for instance in result.election.instances]
    root = parse(render(items, PATHS))
    assert [block.head[0] for block in root.blocks] == ["global_defs", *["track_file", "vrrp_instance"] * len(items)]
    assert not root.lines
    for block in root.blocks:
        if block.head[0] == "vrrp_instance":
            assert shape_without_name(block) in KNOWN


@given(HOSTILE)
def test_no_interface_name_changes_the_shape_of_the_file(text: str) -> None:
    body = {**an_election(an_instance()).to_json(), "interface": text}
    result = read(json.dumps(body).encode())
    if result.election is None:
        assert "interface" in result.error
        return
    item = Rendered(result.election.instances[0], result.election.interface, result.election.timing)
    assert shape_without_name(parse(render([item], PATHS)).block("vrrp_instance")) in KNOWN
