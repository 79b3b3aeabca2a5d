"""What keepalived says of itself: the FIFO's hints and the JSON dump."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havip.keeper.keepalived import dump
from havip.keeper.keepalived.notify import Notification, NotifyFifo, Vrrp, parse


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[NotifyFifo, int]]:
    reading = NotifyFifo(tmp_path / "notify.fifo")
    writing = os.open(tmp_path / "notify.fifo", os.O_WRONLY | os.O_NONBLOCK)
    yield reading, writing
    os.close(writing)
    reading.close()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('INSTANCE "vip51_0a" MASTER 200', Notification("vip51_0a", Vrrp.MASTER, 200)),
        ('INSTANCE "vip51_0a" BACKUP 0\n', Notification("vip51_0a", Vrrp.BACKUP, 0)),
        ('INSTANCE "vip51_0a" FAULT 1', Notification("vip51_0a", Vrrp.FAULT, 1)),
        ('INSTANCE "vip51_0a" STOP 1', Notification("vip51_0a", Vrrp.FAULT, 1)),
        ('INSTANCE "vip51_0a" MASTER_PRIORITY 254', Notification("vip51_0a", None, 254)),
        ('INSTANCE "vip51_0a" MASTER_RX_LOWER_PRI 254', Notification("vip51_0a", None, 254)),
        ('GROUP "x" MASTER 1', None),
        ('NSTANCE "vip51', None),
        ("", None),
    ],
)
def test_a_line_is_understood_or_it_is_nothing(line: str, expected: Notification | None) -> None:
    assert parse(line) == expected


@given(st.text(max_size=80))
def test_no_line_raises(text: str) -> None:
    assert parse(text) is None or parse(text) is not None


def test_lines_that_come_in_pieces_are_put_together(fifo: tuple[NotifyFifo, int]) -> None:
    reading, writing = fifo
    os.write(writing, b'INSTANCE "a" MASTER 200\nINSTANCE "b" BA')
    assert [item.name for item in reading.read()] == ["a"]
    os.write(writing, b"CKUP 100\nrubbish\n")
    assert list(reading.read()) == [Notification("b", Vrrp.BACKUP, 100)]


def test_the_fifo_does_not_end_with_its_writer(tmp_path: Path, fifo: tuple[NotifyFifo, int]) -> None:
    reading, _writing = fifo
    other = os.open(tmp_path / "notify.fifo", os.O_WRONLY)
    os.write(other, b'INSTANCE "a" MASTER 200\n')
    os.close(other)
    assert len(list(reading.read())) == 1
    assert list(reading.read()) == []


def test_a_stale_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("stale")
    NotifyFifo(path).close()
    assert path.is_fifo()


def an_entry(**data: object) -> dict[str, object]:
    return {
        "data": {"iname": "vip51_0a", "state": 2, "base_priority": 209, "effective_priority": 254, **data},
        "stats": {},
    }


def test_a_dump_names_state_and_priority() -> None:
    assert dump.parse(json.dumps([an_entry()])) == {"vip51_0a": dump.Running(Vrrp.MASTER, 209, 254)}


def test_a_dump_in_an_object_is_read_too() -> None:
    assert dump.parse(json.dumps({"vrrp": [an_entry(state=1)]})) == {"vip51_0a": dump.Running(Vrrp.BACKUP, 209, 254)}


@pytest.mark.parametrize("text", ["", "[", '[{"data": {"iname": "x"'])
def test_half_a_dump_is_none(text: str) -> None:
    assert dump.parse(text) is None


def test_entries_that_are_not_understood_are_left_out() -> None:
    assert dump.parse(json.dumps([an_entry(state=9), {"data": 1}, 3, an_entry(base_priority="x")])) == {}
