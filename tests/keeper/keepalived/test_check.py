"""`keepalived -t`, the real one, on what the keeper renders; and what it says about what it refuses."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Coroutine
from pathlib import Path, PurePosixPath

import pytest
from tests.keeper.keepalived.test_render import KINDS
from tests.keeper.made import rendered

from havip.keeper.children import Children
from havip.keeper.keepalived import check
from havip.keeper.keepalived.render import Paths, render


def with_children(work: Coroutine[object, object, None], children: Children) -> None:
    async def run() -> None:
        children.start()
        await work

    asyncio.run(run())


def program() -> str:
    found = shutil.which("keepalived", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
    assert found, "keepalived is not installed on this machine"
    return found


def interface() -> str:
    """Any but the loopback: keepalived looks whether it is there."""
    names = [name for _index, name in socket.if_nameindex() if name != "lo"]
    assert names, "this machine has no network interface but lo"
    return names[0]


def written(folder: Path, *kinds: str) -> Path:
    paths = Paths(PurePosixPath(folder))
    for inner in (paths.tracks, paths.temporary):
        Path(inner).mkdir()
    config = folder / "candidate.conf"
    config.write_text(render([rendered(KINDS[kind], interface=interface()) for kind in kinds], paths), "ascii")
    return config


@pytest.mark.binaries
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_keepalived_takes_what_the_keeper_writes(tmp_path: Path, kind: str) -> None:
    children = Children()
    config = written(tmp_path, kind)
    environment = {"TMPDIR": str(tmp_path / "tmp"), "PATH": "/usr/sbin:/usr/bin"}
    with_children(check.check(program(), config, children=children, environment=environment), children)


@pytest.mark.binaries
def test_keepalived_says_why_it_refuses(tmp_path: Path) -> None:
    children = Children()
    config = written(tmp_path, "ipv4")
    config.write_text(config.read_text("ascii").replace("priority 209", "priority many"), "ascii")
    with pytest.raises(check.Rejected, match="many"):
        with_children(check.check(program(), config, children=children, environment={}), children)


def test_a_program_that_is_not_there_is_a_refusal(tmp_path: Path) -> None:
    children = Children()
    with pytest.raises(check.Rejected, match="cannot be started"):
        with_children(check.check("/nowhere", tmp_path / "x", children=children, environment={}), children)


def test_the_reason_is_the_first_line_without_its_time() -> None:
    said = "\nWed Nov 25 19:47:21 2026: (Line 3) Unknown keyword 'x'\nmore\n"
    assert check.reason(said) == "(Line 3) Unknown keyword 'x'"
    assert check.reason("(/a/b.conf: Line 3) nothing\n") == "(/a/b.conf: Line 3) nothing"
    assert check.reason("") == ""
