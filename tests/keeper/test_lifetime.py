"""How long an address may be held here while no advert leaves."""

from __future__ import annotations

from havip.keeper.lifetime import LAPSE_SECONDS, SAMPLE_SECONDS, VALID_SECONDS, Silence

NEVER = float("-inf")


def test_an_address_whose_adverts_leave_is_not_silent() -> None:
    silence = Silence()
    assert silence.seconds(held_since=1.0, last_sent=9.9, now=10.0) < SAMPLE_SECONDS


def test_a_new_holder_is_silent_since_it_holds() -> None:
    assert Silence().seconds(held_since=8.5, last_sent=NEVER, now=10.0) == 1.5


def test_a_lapse_of_the_address_is_no_new_beginning() -> None:
    """The kernel drops it after two seconds, and keepalived puts it back at once."""
    silence, longest = Silence(), 0.0
    for sample in range(20):
        now = sample * SAMPLE_SECONDS
        held_since = now - now % (VALID_SECONDS + 0.01)
        longest = max(longest, silence.seconds(held_since=held_since, last_sent=0.0, now=now))
    assert longest > VALID_SECONDS


def test_a_lapse_that_a_sample_sees_is_none_either() -> None:
    silence = Silence()
    silence.seconds(held_since=0.0, last_sent=0.0, now=1.9)
    assert silence.seconds(held_since=None, last_sent=0.0, now=1.9 + LAPSE_SECONDS / 2) == 0.0
    assert silence.seconds(held_since=2.2, last_sent=0.0, now=2.3) == 2.3


def test_a_node_that_stood_by_for_a_while_begins_anew() -> None:
    silence = Silence()
    silence.seconds(held_since=0.0, last_sent=0.0, now=1.0)
    silence.seconds(held_since=None, last_sent=1.0, now=1.25 + LAPSE_SECONDS)
    assert silence.seconds(held_since=60.0, last_sent=1.0, now=60.1) < SAMPLE_SECONDS
