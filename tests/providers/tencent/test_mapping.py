"""From a wish and what is there to changes and findings, without any cloud."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from havip.api.v1alpha1.clouds import TencentInstanceType, TencentSettings
from havip.model.address import parse_address
from havip.model.keys import Key
from havip.provider import CloudNode, Holder, Invalid, Owner, Wanted, WantedVip
from havip_providers.tencent.mapping import (
    HAVIP_TAG,
    NAME_LENGTH,
    OWNER_TAG,
    Associate,
    BindEip,
    Create,
    Delete,
    Disassociate,
    Eip,
    HaVip,
    Interface,
    Member,
    Observed,
    Subnet,
    UnbindEip,
    adjust,
    name_of,
    plan,
)

WEB, API = Key("shop", "web"), Key("shop", "api")
OWNER = Owner("0b4c", "edge")
NODES = {f"n{number}": f"10.0.0.{10 + number}" for number in range(1, 13)}
INTERFACES = tuple(Interface(f"eni-{name}", f"ins-{name}", True, (address,)) for name, address in NODES.items())
EIP = Eip("eip-1", "203.0.113.1")


def a_vip(key=WEB, *, addresses=("10.0.0.100",), candidates=("n1", "n2"), **given):
    return WantedVip(key, tuple(map(parse_address, addresses)), tuple(candidates), **given)


def a_wish(*vips, type=TencentInstanceType.CVM, kept=(), vpc="vpc-1", subnet="subnet-1"):
    return Wanted(
        OWNER,
        TencentSettings(region="ap-guangzhou", vpc_id=vpc, subnet_id=subnet, instance_type=type),
        vips,
        tuple(CloudNode(name, (parse_address("fd00::1"), parse_address(address))) for name, address in NODES.items()),
        frozenset(kept),
    )


def members(*nodes, type="CVM"):
    return frozenset(Member(type, f"{'ins' if type == 'CVM' else 'eni'}-{node}") for node in nodes)


def a_havip(key=WEB, *, id="havip-1", address="10.0.0.100", of=("n1", "n2"), owner=OWNER.mark, **given):
    given.setdefault("members", members(*of))
    given.setdefault("tags", ((HAVIP_TAG, str(key)), (OWNER_TAG, owner)))
    given.setdefault("vpc", "vpc-1")
    return HaVip(id, address, subnet="subnet-1", **given)


def some(*havips, **given):
    given.setdefault("subnet", Subnet("subnet-1", "vpc-1", IPv4Network("10.0.0.0/24")))
    given.setdefault("interfaces", INTERFACES)
    return Observed(havips, **given)


def planned(wish, observed):
    return plan(adjust(wish), observed)


def kinds(wish, observed):
    return [type(change) for change in planned(wish, observed).changes]


def blocked(wish, observed):
    """HAVip -> what is wrong, and nothing is done about it."""
    found = planned(wish, observed)
    out = {one.havip: str(one) for one in found.findings if one.blocks}
    assert not [change for change in found.changes if set(change.havips) & out.keys()]
    return out


# -- making, changing, giving back -------------------------------------------------------------------------------


def test_a_vip_is_made_in_one_call_with_everything_it_needs():
    (change,) = planned(a_wish(a_vip()), some()).changes
    assert change == Create(
        stage=3,
        on="vpc-1/10.0.0.100",
        what="create a HAVIP 10.0.0.100 in subnet-1 for ins-n1, ins-n2",
        havips=(WEB,),
        vpc="vpc-1",
        subnet="subnet-1",
        address="10.0.0.100",
        name="havip-shop-web",
        members=(Member("CVM", "ins-n1"), Member("CVM", "ins-n2")),
        tags=((OWNER_TAG, OWNER.mark), (HAVIP_TAG, "shop/web")),
        token=change.token,
    )


def test_the_token_is_the_same_for_the_same_request_and_another_for_any_other():
    def token(*vips, **given):
        return planned(a_wish(*vips, **given), some()).changes[0].token

    same = token(a_vip())
    assert same == token(a_vip())
    assert same.isascii()
    assert len(same) <= 64
    others = {token(a_vip(candidates=("n1",))), token(a_vip(addresses=("10.0.0.101",))), token(a_vip(API))}
    assert len(others | {same}) == 4


def test_each_address_of_a_havip_has_a_havip_of_its_own():
    two = a_vip(addresses=("10.0.0.100", "10.0.0.101"))
    assert kinds(a_wish(two), some()) == [Create, Create]
    assert kinds(a_wish(two), some(a_havip())) == [Create]


def test_what_is_as_it_should_be_is_left_alone():
    assert planned(a_wish(a_vip()), some(a_havip())).changes == []


def test_new_members_come_before_old_ones_go():
    found = planned(a_wish(a_vip(candidates=("n2", "n3"))), some(a_havip())).changes
    assert [type(one) for one in found] == [Associate, Disassociate]
    assert found[0].members == (Member("CVM", "ins-n3"),)
    assert found[1].members == (Member("CVM", "ins-n1"),)


def test_where_all_ten_places_are_taken_old_members_go_first():
    ten = tuple(NODES)[:10]
    found = kinds(a_wish(a_vip(candidates=("n11",))), some(a_havip(of=ten)))
    assert found == [Disassociate, Associate]


def test_from_instances_to_interfaces_the_old_ones_go_first():
    interfaces = tuple(replace(one, primary=False) for one in INTERFACES)
    found = planned(a_wish(a_vip(), type=TencentInstanceType.ENI), some(a_havip(), interfaces=interfaces)).changes
    assert [type(one) for one in found] == [Disassociate, Associate]
    assert set(found[1].members) == members("n1", "n2", type="ENI")


def test_giving_back_goes_from_the_outside_in():
    found = planned(a_wish(), some(a_havip(eip="203.0.113.1")))
    assert [type(one) for one in found.changes] == [UnbindEip, Disassociate, Delete]
    assert {key for one in found.changes for key in one.havips} == {WEB}


def test_what_has_nothing_bound_is_deleted_straight_away():
    assert kinds(a_wish(), some(a_havip(of=()))) == [Delete]


def test_a_class_that_has_moved_to_another_vpc_leaves_nothing_behind():
    there = Subnet("subnet-2", "vpc-2", IPv4Network("10.0.0.0/24"))
    found = kinds(a_wish(a_vip(), vpc="vpc-2", subnet="subnet-2"), some(a_havip(), subnet=there))
    assert found == [Disassociate, Delete, Create]


def test_an_address_goes_from_one_havip_to_another_of_ours():
    assert kinds(a_wish(a_vip(API)), some(a_havip(WEB))) == [Disassociate, Delete, Create]


def test_what_has_our_mark_and_no_name_is_not_touched():
    nameless = a_havip(tags=((OWNER_TAG, OWNER.mark),))
    assert planned(a_wish(), some(nameless)).changes == []
    assert "10.0.0.100 is taken by havip-1" in blocked(a_wish(a_vip()), some(nameless))[WEB]


def test_names_stay_within_what_the_cloud_takes_and_differ():
    long = [name_of(Key("a" * 63, f"{'b' * 60}{end}")) for end in "xyz"]
    assert {len(name) for name in long} == {NAME_LENGTH}
    assert len(set(long)) == 3


# -- public addresses --------------------------------------------------------------------------------------------


def test_an_eip_is_bound_by_its_address_once_the_havip_is_there():
    found = planned(a_wish(a_vip(public_ip="eip-1")), some(eips=(EIP,))).changes
    assert [type(one) for one in found] == [Create, BindEip]
    assert (found[1].havip, found[1].eip, found[1].on) == ("", "203.0.113.1", found[0].on)
    found = planned(a_wish(a_vip(public_ip="eip-1")), some(a_havip(), eips=(EIP,))).changes
    assert [(type(one), one.havip) for one in found] == [(BindEip, "havip-1")]


def test_an_eip_that_is_not_wanted_any_more_is_taken_off():
    assert kinds(a_wish(a_vip()), some(a_havip(eip="203.0.113.1"))) == [UnbindEip]


def test_an_eip_gives_way_to_another():
    other = Eip("eip-2", "203.0.113.2", "havip-1")
    found = kinds(a_wish(a_vip(public_ip="eip-1")), some(a_havip(eip="203.0.113.2"), eips=(EIP, other)))
    assert found == [UnbindEip, BindEip]


def test_an_eip_goes_from_one_havip_of_ours_to_another():
    bound = replace(EIP, holder="havip-1")
    first, second = a_havip(eip=EIP.address), a_havip(API, id="havip-2", address="10.0.0.101")
    wish = a_wish(a_vip(), a_vip(API, addresses=("10.0.0.101",), public_ip="eip-1"))
    assert kinds(wish, some(first, second, eips=(bound,))) == [UnbindEip, BindEip]
    gone = a_wish(a_vip(API, addresses=("10.0.0.101",), public_ip="eip-1"))
    assert kinds(gone, some(first, second, eips=(bound,))) == [UnbindEip, Disassociate, Delete, BindEip]


@pytest.mark.parametrize(
    ("public_ip", "eips", "message"),
    [
        ("eip-9", (), "spec.publicIp: there is no EIP eip-9 in the region"),
        ("203.0.113.1", (), 'spec.publicIp: must be the id of an EIP such as eip-11112222, not "203.0.113.1"'),
        (
            "eip-1",
            (replace(EIP, holder="nat-7"),),
            "spec.publicIp: eip-1 (203.0.113.1) is bound to nat-7; unbind it there",
        ),
        ("eip-1", (replace(EIP, trouble="is in arrears"),), "spec.publicIp: eip-1 (203.0.113.1) is in arrears"),
    ],
)
def test_an_eip_that_cannot_be_had_is_found_beforehand(public_ip, eips, message):
    assert blocked(a_wish(a_vip(public_ip=public_ip)), some(eips=eips)) == {WEB: message}


def test_an_eip_that_two_want_goes_to_the_first():
    wish = a_wish(a_vip(public_ip="eip-1"), a_vip(API, addresses=("10.0.0.101",), public_ip="eip-1"))
    assert blocked(wish, some(eips=(EIP,))) == {
        API: "spec.publicIp: eip-1 (203.0.113.1) is wanted by shop/web too"
    }  # fmt: skip


def test_an_eip_in_arrears_stays_where_it_is():
    bound = replace(EIP, holder="havip-1", trouble="is in arrears")
    assert planned(a_wish(a_vip(public_ip="eip-1")), some(a_havip(eip=EIP.address), eips=(bound,))).findings == []


# -- preflight ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vip", "observed", "message"),
    [
        (
            a_vip(addresses=("10.0.0.100", "fd00::100")),
            some(),
            "spec.addresses: fd00::100 is an IPv6 address; a HAVIP carries IPv4 only",
        ),
        (a_vip(addresses=("10.0.9.9",)), some(), "spec.addresses: 10.0.9.9 is not in subnet-1 (10.0.0.0/24)"),
        (
            a_vip(),
            some(subnet=Subnet("subnet-1", "vpc-1", None)),
            "spec.addresses: 10.0.0.100 is not in subnet-1 (no IPv4)",
        ),
        (a_vip(), some(subnet=None), "spec.tencent.subnetId: vpc-1 has no subnet subnet-1"),
        (
            a_vip(),
            some(subnet=Subnet("subnet-1", "vpc-2", IPv4Network("10.0.0.0/24"))),
            "spec.tencent.subnetId: vpc-1 has no subnet subnet-1; it is in vpc-2",
        ),
        (
            a_vip(addresses=("10.0.0.11",)),
            some(),
            "spec.addresses: 10.0.0.11 is taken: eni-n1 has it as its own",
        ),
        (a_vip(), some(a_havip(owner="else")), "spec.addresses: 10.0.0.100 is taken by havip-1, which is not ours"),
        (
            a_vip(candidates=("n1", "x")),
            some(),
            "no network interface in subnet-1 has an address of x; a HAVIP reaches nodes of its own subnet only",
        ),
        (
            a_vip(),
            some(interfaces=(replace(INTERFACES[0], instance=""), *INTERFACES[1:])),
            "attached to no instance: eni-n1 of n1",
        ),
        (
            a_vip(candidates=tuple(NODES)[:11]),
            some(),
            "spec.nodes: a HAVIP takes at most 10 candidates, not 11",
        ),
    ],
)
def test_what_cannot_work_is_found_before_anything_is_called(vip, observed, message):
    assert blocked(a_wish(vip), observed) == {WEB: message}


def test_a_node_on_its_way_out_that_has_no_interface_does_not_keep_its_successor_out():
    wish = a_wish(replace(a_vip(candidates=("n1", "x")), leaving=("x",)))
    assert blocked(wish, some()) == {}
    wish = a_wish(replace(a_vip(candidates=("x",)), leaving=("x",)))
    assert WEB in blocked(wish, some()), "no node is left that could hold it"


def test_a_primary_interface_cannot_be_bound_and_the_finding_says_what_can():
    found = blocked(a_wish(a_vip(), type=TencentInstanceType.ENI), some())
    assert found[WEB].startswith("spec.tencent.instanceType: ENI takes no primary network interface, and these are:")
    assert "use CVM" in found[WEB]


def test_a_blocked_vip_keeps_what_it_has_and_so_blocks_who_waits_for_it():
    wish = a_wish(a_vip(WEB, addresses=("10.0.0.101",), candidates=("x",)), a_vip(API))
    found = blocked(wish, some(a_havip(WEB)))
    assert found[API] == "spec.addresses: 10.0.0.100 is taken by havip-1 of shop/web"
    assert planned(wish, some(a_havip(WEB))).changes == []


def test_what_is_kept_is_neither_changed_nor_given_back():
    assert planned(a_wish(kept=[WEB]), some(a_havip())).changes == []
    assert planned(a_wish(a_vip(candidates=("n3",)), kept=[WEB]), some(a_havip())) .changes == []  # fmt: skip


def test_a_quota_is_counted_before_the_calls_are_made():
    three = a_wish(*(a_vip(Key("shop", f"v{n}"), addresses=(f"10.0.0.{100 + n}",)) for n in range(3)))
    theirs = [a_havip(id=f"havip-{n}", address=f"10.0.0.{200 + n}", owner="else") for n in range(2)]
    elsewhere = a_havip(id="havip-9", vpc="vpc-9", owner="else")
    found = blocked(three, some(*theirs, elsewhere, quota=4))
    assert found == {
        Key("shop", "v2"): "vpc-1 may have 4 HAVIPs (vpc-max-havips) and has 2; ask for a higher quota"
    }  # fmt: skip
    assert kinds(three, some(*theirs, quota=4)) == [Create, Create]


def test_what_is_given_back_makes_room():
    assert blocked(a_wish(a_vip(API)), some(a_havip(WEB), quota=1)) == {}


def test_a_quota_that_may_not_be_read_is_a_warning_with_the_permission():
    (finding,) = planned(a_wish(a_vip()), some(lacking="vpc:DescribeVpcLimits")).findings
    assert (finding.blocks, finding.permission, finding.havip) == (False, "vpc:DescribeVpcLimits", None)


def test_a_havip_that_lets_anybody_claim_it_goes_on_and_is_warned_of():
    found = planned(a_wish(a_vip(candidates=("n1",))), some(a_havip(checked=False)))
    assert [type(one) for one in found.changes] == [Disassociate]
    (finding,) = found.findings
    assert not finding.blocks
    assert finding.havip == WEB
    assert "any host of subnet-1 may claim 10.0.0.100" in str(finding)


def test_a_class_without_settings_is_refused():
    with pytest.raises(Invalid) as refused:
        adjust(replace(a_wish(), settings=None))
    assert refused.value.field == "spec.tencent"


# -- who holds it ------------------------------------------------------------------------------------------------


def test_the_cloud_says_which_node_holds_a_vip_and_since_when():
    held = a_havip(interface="eni-n2", instance="ins-n2", flushed="2026-11-25 20:00:01")
    assert planned(a_wish(a_vip()), some(held)).holders == {WEB: Holder("n2", "ins-n2", "2026-11-25 20:00:01")}


def test_an_instance_alone_says_it_too_and_a_strange_one_is_no_node():
    def holder(**given):
        return planned(a_wish(a_vip()), some(a_havip(**given))).holders.get(WEB)

    assert holder(instance="ins-n1") == Holder("n1", "ins-n1")
    assert holder(instance="ins-else", interface="eni-else") == Holder("", "ins-else")
    assert holder() is None


def test_a_vip_that_is_given_back_has_no_holder():
    assert planned(a_wish(), some(a_havip(instance="ins-n1"))).holders == {}
