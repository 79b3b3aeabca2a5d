"""What growing counters mean: our adverts leave, a peer is heard."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from havip.keeper.adverts import Adverts
from havip.keeper.nftables.rules import Watched

PEERS = (("n2", ip_address("10.88.0.12")), ("n3", ip_address("10.88.0.13")))


@pytest.fixture
def adverts() -> Adverts:
    made = Adverts()
    made.watch((Watched(51, 4, PEERS),))
    made.sample({"sent_51": 0, "from_51_0": 0, "from_51_1": 0}, 1.0)
    return made


def test_nothing_has_left_and_nobody_is_heard_at_first(adverts: Adverts) -> None:
    assert not adverts.sent_within(51, 1e9, 1.0)
    assert adverts.heard_since(51, 0.0) == ()
    assert adverts.last_heard(51) is None


def test_a_counter_that_grew_is_an_advert(adverts: Adverts) -> None:
    adverts.sample({"sent_51": 3, "from_51_0": 0, "from_51_1": 5}, 2.0)
    assert adverts.sent_within(51, 0.3, 2.2)
    assert adverts.heard_since(51, 1.5) == ("n3",)
    assert adverts.last_heard(51) == 2.0


def test_a_counter_that_stands_still_is_silence(adverts: Adverts) -> None:
    counters = {"sent_51": 3, "from_51_0": 2, "from_51_1": 0}
    adverts.sample(counters, 2.0)
    adverts.sample(dict(counters), 3.0)
    assert not adverts.sent_within(51, 0.3, 3.0)
    assert adverts.heard_since(51, 2.5) == ()


def test_a_table_that_was_replaced_begins_at_zero_and_is_not_an_advert(adverts: Adverts) -> None:
    adverts.sample({"sent_51": 100, "from_51_0": 0, "from_51_1": 0}, 2.0)
    adverts.watch((Watched(51, 4, PEERS), Watched(52, 4, PEERS)))
    adverts.sample({"sent_51": 0, "from_51_0": 0, "from_51_1": 0}, 5.0)
    assert not adverts.sent_within(51, 0.3, 5.0)
    adverts.sample({"sent_51": 1, "from_51_0": 0, "from_51_1": 0}, 5.2)
    assert adverts.sent_within(51, 0.3, 5.2)


def test_what_was_heard_before_a_reload_stays_known(adverts: Adverts) -> None:
    adverts.sample({"sent_51": 0, "from_51_0": 1, "from_51_1": 0}, 2.0)
    adverts.watch((Watched(51, 4, PEERS[:1]),))
    assert adverts.last_heard(51) == 2.0


def test_adverts_of_a_dead_keepalived_are_no_evidence(adverts: Adverts) -> None:
    adverts.sample({"sent_51": 3, "from_51_0": 0, "from_51_1": 0}, 2.0)
    adverts.forget(51)
    assert not adverts.sent_within(51, 1.0, 2.0)


def test_counters_of_others_are_ignored(adverts: Adverts) -> None:
    adverts.sample({"sent_99": 3, "from_99_0": 3}, 2.0)
    assert adverts.heard_since(99, 0.0) == ()
