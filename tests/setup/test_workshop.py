"""Steps are taken once, say what they do, and explain a failure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from e2e.setup import workshop as workshops
from e2e.setup.workshop import Step, StepFailed, Workshop, digest, stamped, take


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(checkout=tmp_path, cache=tmp_path / "cache")


def test_what_is_there_is_not_made_again(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    def make(_: Workshop) -> None:
        raise AssertionError("made again")

    take(Step("pot", lambda _: True, make), workshop)
    assert capsys.readouterr().out == "  pot: there\n"


def test_a_step_says_its_name_and_how_long_it_took(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    take(Step("pot", lambda _: False, lambda _: None), workshop)
    assert capsys.readouterr().out == "  pot ...\n  pot: made in 0 s\n"


def test_a_long_step_shows_that_it_is_alive(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshops, "ALIVE_SECONDS", 0.01)

    def make(place: Workshop) -> None:
        place.doing = "kneading"
        while "kneading" not in (seen := capsys.readouterr().out):
            continue
        assert "s so far; kneading" in seen

    take(Step("pot", lambda _: False, make), workshop)


def test_a_command_that_fails_is_shown_with_the_end_of_what_it_said(workshop: Workshop) -> None:
    with pytest.raises(StepFailed, match=r"(?s)the clay is dry.*ended with 3"):
        workshop.run([sys.executable, "-c", "print('the clay is dry'); raise SystemExit(3)"])


def test_what_a_command_says_goes_to_the_log_and_not_to_the_terminal(
    workshop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    workshop.run([sys.executable, "-c", "print('quiet')"])
    assert capfd.readouterr().out == ""
    assert "quiet" in workshop.log.read_text()


def test_a_digest_tells_parts_from_their_concatenation() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_a_stamp_of_something_else_does_not_count(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    assert not stamped(stamp, "one")
    stamp.write_text("one")
    assert stamped(stamp, "one")
    assert not stamped(stamp, "two")
