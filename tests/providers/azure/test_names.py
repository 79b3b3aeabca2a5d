"""Names on a load balancer: short enough, nobody else's, and readable back."""

from __future__ import annotations

import pytest
from tests.providers.azure.wire import NAME

from havip.model.keys import Key
from havip.provider import Owner
from havip_providers.azure.names import LONGEST, Names, digest_in, digest_of, key_in

NAMES = Names.of(Owner("0b4c", "edge"))
LONG = Key("n" * 63, "a.b-" * 60 + "z")


def every_name(names, key):
    return (
        names.front_end(key, 4),
        names.probe(key),
        names.rule(key, 4, protocol="Tcp", port=65535),
        names.rule(key, 6, protocol="All", port=0),
    )


@pytest.mark.parametrize("key", [Key("shop", "web"), Key("a", "b.c-d.e"), LONG, Key("x" * 34, "y"), Key("x" * 35, "y")])
def test_azure_takes_every_name(key):
    for name in (*every_name(NAMES, key), NAMES.pool(["n1"], 4)):
        assert len(name) <= LONGEST
        assert NAME.fullmatch(name), name


@pytest.mark.parametrize("key", [Key("shop", "web"), Key("shop", "web.example.v4"), Key("shop-v4", "a-probe")])
def test_a_short_key_is_read_back(key):
    assert [key_in(name) for name in every_name(NAMES, key)] == [key] * 4


def test_a_long_key_is_found_by_its_digest_and_never_read_back_wrong():
    for name in every_name(NAMES, LONG):
        assert digest_in(name) == digest_of(LONG)
        assert key_in(name) is None


def test_a_pool_belongs_to_no_havip_alone():
    assert digest_in(NAMES.pool(["n1"], 4)) is None


@pytest.mark.parametrize("name", ["", "theirs", "havip-", "havip-edge-web", "havip-0123456789ab-pool-x", "kubernetes"])
def test_a_name_of_others_has_no_havip(name):
    assert (digest_in(name), key_in(name)) == (None, None)


def test_no_class_takes_the_names_of_another_for_its_own():
    owners = [Owner("0b4c", "edge"), Owner("0b4c", "edge-2"), Owner("0b4d", "edge"), Owner("0b4c", "e")]
    for mine in map(Names.of, owners):
        for other in map(Names.of, owners):
            found = [mine.ours(name) for name in (*every_name(other, Key("shop", "web")), other.pool(["n"], 4))]
            assert found == [mine == other] * 5


def test_the_order_of_candidates_is_not_in_the_name_of_their_pool():
    assert NAMES.pool(["a", "b"], 4) == NAMES.pool(["b", "a"], 4) != NAMES.pool(["a", "b"], 6)
