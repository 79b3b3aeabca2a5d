"""What a cloud is asked after VIPs moved, and how often it is told again."""

from __future__ import annotations

from havip.controller.switches import Switches
from havip.model.keys import Key
from havip.plan.clouds import ActiveOn
from havip.provider import Holder

WEB = Key("shop", "web")
ON_N1, ON_N2 = {WEB: ActiveOn("n1", 0)}, {WEB: ActiveOn("n2", 1)}


def showing(node):
    return {WEB: Holder(node, f"ins-{node}", "today")}


def test_the_first_word_about_a_vip_is_no_switch():
    switches = Switches(10.0)
    assert not switches.note(ON_N1, 100.0)
    assert not switches.note(ON_N1, 101.0)
    assert switches.shown(showing("n1"), 101.0)[WEB].node == "n1"


def test_after_a_switch_the_cloud_has_time_before_its_word_counts():
    switches = Switches(10.0)
    switches.note(ON_N1, 100.0)
    assert switches.note(ON_N2, 200.0)
    assert switches.shown(showing("n1"), 209.0) == {}
    assert switches.shown(showing("n2"), 210.0)[WEB].transitions == 1


def test_a_vip_that_is_shown_elsewhere_is_told_three_times_for_each_switch():
    switches = Switches(10.0)
    switches.note(ON_N1, 100.0)
    shown = switches.shown(showing("n3"), 100.0)
    assert [switches.to_tell(shown) for _ in range(4)] == [[WEB], [WEB], [WEB], []]
    switches.note(ON_N2, 200.0)
    assert switches.to_tell(switches.shown(showing("n3"), 210.0)) == [WEB]


def test_where_the_cloud_agrees_nobody_is_told():
    switches = Switches(10.0)
    switches.note(ON_N1, 100.0)
    assert switches.to_tell(switches.shown(showing("n1"), 100.0)) == []


def test_what_is_gone_is_forgotten():
    switches = Switches(10.0)
    switches.note(ON_N1, 100.0)
    switches.note(ON_N2, 200.0)
    switches.note({}, 201.0)
    assert not switches.note(ON_N1, 202.0)
    assert switches.shown(showing("n1"), 202.0)
