"""Orders as they are understood: what is refused, what stays in force, and for whom they are."""

from __future__ import annotations

import hashlib
import json

from tests.agent import orders

from havip.agent.desired import refusal, understand
from havip.agent.source.base import NodeObject, Observed
from havip.model.keys import Key

WEB = Key("shop", "web")


def test_orders_come_with_the_pools_they_need_and_no_others() -> None:
    desired = orders.desired(orders.spec(orders.instance()), orders.pool(), orders.pool("shop/other"))
    assert list(desired.pools) == [WEB]


def test_the_digest_of_a_pool_is_of_its_text() -> None:
    text = json.dumps(orders.pool())
    desired = orders.desired(orders.spec(orders.instance()), orders.pool())
    assert desired.pools[WEB].digest == hashlib.sha256(text.encode()).hexdigest()


def test_a_spec_that_is_refused_leaves_the_last_one_in_force_and_says_why() -> None:
    before = orders.desired(orders.spec(orders.instance()), orders.pool(), generation=4)
    broken = orders.spec(orders.instance(), timing={"advertIntervalMilliseconds": 1})
    after = orders.desired(broken, orders.pool(), previous=before, generation=5)
    assert (after.generation, after.spec) == (4, before.spec)
    assert after.error.startswith("spec.timing.advertIntervalMilliseconds: must be a whole number")


def test_pools_go_on_changing_under_a_spec_that_is_refused() -> None:
    before = orders.desired(orders.spec(orders.instance()), orders.pool())
    after = orders.desired({"nonsense": True}, orders.pool(servers=["10.0.0.2:80"]), previous=before)
    assert str(after.pools[WEB].pool.servers[0].address) == "10.0.0.2"


def test_a_first_spec_that_is_refused_gives_no_orders_and_a_reason() -> None:
    observed = orders.observed(orders.spec(orders.instance(), className="other"))
    assert understand(observed, None, class_name="edge", node="n1") is None
    assert refusal(observed, class_name="edge", node="n1") == (
        "spec.className: must be edge, the class of this agent, not other"
    )


def test_orders_for_another_node_are_refused() -> None:
    before = orders.desired(orders.spec())
    after = orders.desired(orders.spec(orders.instance(), nodeName="n9"), previous=before)
    assert after.spec == before.spec
    assert "nodeName" in after.error


def test_one_bad_instance_is_left_out_by_name_and_the_others_stay() -> None:
    bad = orders.instance("shop/bad", vrid=0)
    desired = orders.desired(orders.spec(bad, orders.instance()), orders.pool())
    assert [str(item.instance.havip) for item in desired.spec.assignments] == ["shop/web"]
    assert [(item.havip, item.field) for item in desired.left_out] == [("shop/bad", "instances[0].virtualRouterId")]


def test_a_pool_that_is_refused_keeps_its_last_good_servers() -> None:
    before = orders.desired(orders.spec(orders.instance()), orders.pool())
    after = orders.desired(orders.spec(orders.instance()), orders.pool(algorithm="Random"), previous=before)
    assert after.pools == before.pools
    assert "algorithm" in after.pool_errors[WEB]


def test_a_pool_under_another_name_is_refused() -> None:
    text = json.dumps(orders.pool("shop/other"))
    observed = Observed(NodeObject(1, orders.spec(orders.instance())), {"shop.web": text})
    desired = understand(observed, None, class_name="edge", node="n1")
    assert desired is not None
    assert desired.pools == {}
    assert desired.pool_errors[WEB] == "pool: must be shop/web, as the object is named, not shop/other"


def test_text_that_is_not_json_is_refused_as_a_pool() -> None:
    observed = Observed(NodeObject(1, orders.spec(orders.instance())), {"shop.web": "{"})
    desired = understand(observed, None, class_name="edge", node="n1")
    assert desired is not None
    assert desired.pool_errors[WEB] == "pool.json: must be JSON"


def test_a_pool_that_is_not_there_is_no_error() -> None:
    desired = orders.desired(orders.spec(orders.instance()))
    assert (desired.pools, desired.pool_errors) == ({}, {})


def test_a_node_never_seen_has_no_orders() -> None:
    assert understand(Observed(), None, class_name="edge", node="n1") is None
    assert refusal(Observed(), class_name="edge", node="n1") == ""
