"""Being PID 1: children are reaped, also those that were not ours at birth."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from havip.keeper.children import Children, handles_signal, process_state

FORKS_AND_ENDS = """
import os, sys, time
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(0.2)
    os._exit(0)
print(child, flush=True)
"""


def test_the_exit_code_of_a_child_is_known() -> None:
    async def run() -> tuple[int, int]:
        children = Children()
        children.start()
        code = children.spawn([sys.executable, "-c", "raise SystemExit(5)"], environment={})
        killed = children.spawn([sys.executable, "-c", "import time; time.sleep(60)"], environment={})
        killed.send(signal.SIGKILL)
        return await asyncio.wait_for(code.ended, 20), await asyncio.wait_for(killed.ended, 20)

    assert asyncio.run(run()) == (5, -signal.SIGKILL)


def test_an_orphan_of_a_child_is_reaped_too() -> None:
    async def run() -> None:
        children = Children()
        children.start()
        reading, writing = os.pipe()
        child = children.spawn([sys.executable, "-c", FORKS_AND_ENDS], environment={}, output=writing)
        os.close(writing)
        await asyncio.wait_for(child.ended, 20)
        orphan = int(os.read(reading, 100))
        os.close(reading)
        watch = os.pidfd_open(orphan)
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(watch, gone.set)
        await asyncio.wait_for(gone.wait(), 20)
        asyncio.get_running_loop().remove_reader(watch)
        os.close(watch)
        for _ in range(200):
            if not process_state(orphan):
                break
            await asyncio.sleep(0.01)
        assert process_state(orphan) == "", "a zombie would be Z"

    asyncio.run(run())


def test_a_program_that_does_not_exist_raises_and_leaves_nothing() -> None:
    async def run() -> bool:
        children = Children()
        children.start()
        try:
            children.spawn(["/nowhere/at/all"], environment={})
        except FileNotFoundError:
            return True
        return False

    assert asyncio.run(run())


def test_a_child_dies_with_its_parent() -> None:
    parent = (
        "import asyncio, os, sys\n"
        "from havip.keeper.children import Children\n"
        "async def run():\n"
        "    children = Children(); children.start()\n"
        "    child = children.spawn([sys.executable, '-c', 'import time; time.sleep(60)'], environment={})\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(run())\n"
    )

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
        await process.wait()
        for _ in range(1000):
            if process_state(pid) in ("", "Z"):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the child outlived its parent")

    asyncio.run(run())


def test_the_state_of_a_process_is_its_letter() -> None:
    assert process_state(os.getpid()) == "R"
    assert process_state(2**22 - 1) == ""


def test_it_is_known_whether_a_process_would_survive_a_signal() -> None:
    assert not handles_signal(os.getpid(), signal.SIGRTMIN + 5)
    before = signal.signal(signal.SIGRTMIN + 5, lambda *_: None)
    try:
        assert handles_signal(os.getpid(), signal.SIGRTMIN + 5)
    finally:
        signal.signal(signal.SIGRTMIN + 5, before)
