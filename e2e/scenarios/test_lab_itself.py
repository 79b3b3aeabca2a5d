"""The lab leaves nothing behind, whichever way a run ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.lab import Lab
from e2e.lab.compiled import checkout
from e2e.lab.container import await_gone
from e2e.lab.namespaces import run
from e2e.lab.record import clean_up_after_killed_runs

_RUN = """
import signal, threading
from e2e.lab import Lab
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where this run itself is in the background
with Lab(1) as lab:
    lab.declare()
    lab.start()
    print(lab.prefix, *(pid for pid in lab.node(1).pod().processes()), flush=True)
    threading.Event().wait()
"""


def started() -> tuple[subprocess.Popen[str], str, list[int]]:
    """Another process with a lab of its own: (the process, its prefix, pids of its pod)."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN],
        cwd=checkout(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words, process.stderr.read() if process.stderr else ""
    return process, words[0], [int(word) for word in words[1:]]


def ended(process: subprocess.Popen[str]) -> None:
    process.wait(30)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def left(prefix: str, pids: list[int]) -> list[str]:
    """What of a run is still there."""
    found = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.startswith(f"{prefix}-")]
    found += [str(pid) for pid in pids if _runs(pid)]
    found += map(str, Path("/dev/shm").glob(prefix))
    return found


def _runs(pid: int) -> bool:
    """Whether it is more than a zombie that its new parent has not collected yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in ("Z", "X")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_leaves_nothing(number: signal.Signals) -> None:
    process, prefix, pids = started()
    assert left(prefix, pids)
    process.send_signal(number)
    ended(process)
    assert left(prefix, pids) == []


def test_a_killed_run_is_cleaned_up_by_the_next_one() -> None:
    process, prefix, pids = started()
    process.kill()
    ended(process)
    assert any(name.startswith(prefix) for name in left(prefix, pids))
    assert prefix in clean_up_after_killed_runs()
    await_gone(pids)
    assert left(prefix, pids) == []


def test_a_run_that_lives_is_not_cleaned_up() -> None:
    with Lab(1, servers=0) as lab:
        assert lab.prefix not in clean_up_after_killed_runs()
        assert left(lab.prefix, [])
    assert left(lab.prefix, []) == []
