"""The oracle's arithmetic on histories made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.lab.faults import vrrp_v3_advert
from e2e.lab.history import (
    MS,
    ClientHistory,
    HolderHistory,
    Kind,
    Outcome,
    Record,
    Stream,
    Stretch,
    Unprobed,
    read_records,
)
from hypothesis import given
from hypothesis import strategies as st

STREAM = Stream(Kind.UDP, "10.77.0.200", 7000)
VIP = "10.77.0.200"


def probe(ms: float, outcome: Outcome = Outcome.ANSWERED, node: int = 1) -> Record:
    return Record(int(ms * MS), 0, 300, 0, node if outcome is Outcome.ANSWERED else 0, outcome, 0)


def event(ms: float, node: int, outcome: Outcome) -> Record:
    return Record(int(ms * MS), 0, 0, 0, node, outcome, 0)


def history(*records: Record) -> ClientHistory:
    return ClientHistory([STREAM], records)


def test_an_outage_lasts_from_the_last_answer_to_the_next() -> None:
    seen = history(probe(0), probe(1), probe(2, Outcome.SILENT), probe(3, Outcome.SILENT), probe(4, node=2))
    figures = seen.figures(STREAM)
    assert figures.outage_ms == 3
    assert (figures.sent, figures.lost, figures.nodes) == (5, 2, (1, 2))


def test_a_prober_that_stood_still_has_seen_no_outage() -> None:
    assert history(probe(0), probe(1), probe(900), probe(901)).outage_ms() == 0


def test_one_lost_probe_is_an_outage() -> None:
    assert history(probe(0), probe(1, Outcome.REFUSED), probe(2)).outage_ms() == 2


def test_a_broken_connection_is_counted_apart() -> None:
    figures = history(probe(0), probe(1, Outcome.BROKEN), probe(2)).figures(STREAM)
    assert (figures.lost, figures.broken, figures.outage_ms) == (0, 1, 0)


def test_a_late_greeting_is_no_outage_and_no_broken_connection() -> None:
    figures = history(probe(0), probe(1, Outcome.LATE), probe(2)).figures(STREAM)
    assert (figures.lost, figures.broken, figures.late, figures.outage_ms) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [probe(0, Outcome.SILENT)],
        [probe(0), probe(1, Outcome.SILENT)],
        [probe(0, Outcome.SILENT), probe(1)],
        [probe(0, Outcome.BROKEN)],
    ],
)
def test_a_stretch_without_an_answer_at_both_ends_has_no_figures(records: list[Record]) -> None:
    with pytest.raises(Unprobed):
        history(*records).figures(STREAM)


def test_only_the_stretch_asked_for_counts() -> None:
    seen = history(probe(0), probe(1, Outcome.SILENT), probe(2), probe(3), probe(4, Outcome.SILENT), probe(9))
    assert seen.outage_ms(between=Stretch(2 * MS, 9 * MS)) == 6
    assert seen.outage_ms(between=Stretch(0, 3 * MS)) == 2


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_outage_is_the_longest_run_of_lost_probes(answered: list[bool]) -> None:
    pattern = [True, *answered, True]
    records = [probe(i, Outcome.ANSWERED if good else Outcome.SILENT) for i, good in enumerate(pattern)]
    runs = "".join("." if good else "x" for good in pattern).split(".")
    longest = max(map(len, runs))
    assert history(*records).outage_ms() == (longest + 1 if longest else 0)


def test_two_holders_overlap_for_as_long_as_both_have_it() -> None:
    records = [
        event(0, 1, Outcome.HELD),
        event(50, 2, Outcome.HELD),
        event(80, 1, Outcome.GONE),
        event(100, 1, Outcome.HELD),
        event(110, 3, Outcome.HELD),
        event(130, 3, Outcome.GONE),
        event(140, 1, Outcome.GONE),
    ]
    seen = HolderHistory([VIP], records)
    overlap = seen.two_holders(VIP, Stretch(0, 200 * MS))
    assert (overlap.longest_ms, overlap.total_ms) == (40, 70)
    assert seen.two_holders(VIP, Stretch(60 * MS, 70 * MS)).total_ms == 10
    assert seen.became_active(VIP, Stretch(10 * MS, 200 * MS)) == (2, 1, 3)
    assert seen.held_by(VIP, 120 * MS) == (2, 1, 3)


def test_a_node_without_a_cable_is_no_second_holder_for_that_time() -> None:
    records = [event(0, 1, Outcome.HELD), event(10, 2, Outcome.HELD), event(100, 2, Outcome.GONE)]
    cut = HolderHistory([VIP], records, unplugged=[(1, Stretch(5 * MS, 90 * MS))])
    assert cut.two_holders(VIP, Stretch(0, 200 * MS)).total_ms == 10


def test_answers_on_the_wire_join_into_stretches() -> None:
    answers = [event(ms, 1, Outcome.ANSWERED) for ms in range(0, 101, 10)]
    answers += [event(ms + 1, 2, Outcome.ANSWERED) for ms in range(40, 71, 10)]
    overlap = HolderHistory([VIP], answers).two_answering(VIP, Stretch(0, 200 * MS))
    assert overlap.longest_ms == 30


def test_a_wire_on_which_nobody_answered_says_nothing() -> None:
    with pytest.raises(Unprobed):
        HolderHistory([VIP], []).two_answering(VIP, Stretch(0, MS))


def test_half_a_record_is_left_for_later(tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_bytes(bytes(24) + bytes(10))
    records, offset = read_records(file)
    assert (len(records), offset) == (1, 24)
    assert read_records(file, offset) == ([], 24)


def test_a_forged_advert_carries_a_valid_checksum() -> None:
    source, target = "10.77.0.100", "10.77.0.11"
    advert = vrrp_v3_advert(source=source, target=target, virtual_router_id=51, priority=255, vip=VIP)
    pseudo = bytes([10, 77, 0, 100, 10, 77, 0, 11, 0, 112, 0, len(advert)])
    octets = pseudo + advert
    total = sum(octets[i] << 8 | octets[i + 1] for i in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert (advert[1], advert[2]) == (51, 255)
