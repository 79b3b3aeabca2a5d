"""The name of a VIP port is its ownership mark and its memory, so it must say the same when it is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havip.api.v1alpha1.text import CLASS_NAME_LENGTH, NAME_LENGTH
from havip.model.keys import Key
from havip.provider import Owner
from havip_providers.huawei.wire import NAME_LIMIT, Memory, base, digest, havip_of, name, prefix, read_name

OWNER = Owner("0b4c", "edge")
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda one: len(one) <= 253)
MEMORIES = st.builds(
    Memory,
    st.sets(st.integers().map(str).map(digest), max_size=15).map(frozenset),
    st.sampled_from(("", digest("an address"))),
)


@given(LABELS, NAMES, MEMORIES)
def test_a_name_says_the_same_when_it_is_read(namespace, havip, memory):
    first = base(OWNER, Key(namespace, havip))
    written = name(first, memory)
    assert read_name(written) == (first, memory)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", written)
    assert len(written) <= NAME_LIMIT


@given(LABELS, NAMES)
def test_the_havip_can_be_read_back_where_its_name_is_not_too_long(namespace, havip):
    key, owner = Key(namespace, havip), Owner("0b4c", "c" * CLASS_NAME_LENGTH)
    assert havip_of(base(owner, key), prefix(owner)) in ((key,), ())
    if len(havip) <= NAME_LENGTH:
        assert havip_of(base(owner, key), prefix(owner)) == (key,)


def test_names_that_differ_in_a_dot_are_not_confused_in_a_namespace():
    assert base(OWNER, Key("a", "b.c")) != base(OWNER, Key("a", "b-c"))
    assert base(OWNER, Key("a", "b")) != base(Owner("0b4c", "edge2"), Key("a", "b"))
    assert not base(Owner("0b4c", "edge-2"), Key("a", "b")).startswith(prefix(OWNER))


@pytest.mark.parametrize("text", ["", "havip-", "database", "havip-x_y_z", "my-havip-x_off", "havip-x_off123"])
def test_a_name_that_we_have_not_written_is_not_ours(text):
    assert read_name(text) is None


def test_a_havip_whose_name_looks_like_memory_is_still_its_own():
    first = base(OWNER, Key("a", "b.off"))
    assert read_name(name(first, Memory()))[0] == first
