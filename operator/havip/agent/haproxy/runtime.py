"""haproxy's runtime socket: what the worker that answers now really runs, and changes to its servers.

Parsing is pure. What haproxy says is the truth; what was asked of it is only a wish until it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from havip.agent.haproxy.sockets import ask

_MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20  # SRV_ADMF_FMAINT, IMAINT, CMAINT, RMAINT of srv_admin_state
_LINE = 12_000  # haproxy reads one line of commands into one buffer of 16 KiB


@dataclass(frozen=True, slots=True)
class ServerState:
    """`up`: answers its health checks, or has none. `maintenance`: gets no new connections."""

    up: bool
    maintenance: bool
    weight: int


@dataclass(frozen=True, slots=True)
class Running:
    """One worker. `digest` is the `description` of its configuration; `servers` by backend and server name.

    `servers_text` is the answer to `show servers state` as it came: haproxy's own format of a state file.
    """

    digest: str
    version: str
    pid: int
    servers: Mapping[str, Mapping[str, ServerState]]
    servers_text: str


async def observe(socket: PurePosixPath) -> Running:
    """Raises `SocketAway`."""
    return parse(await ask(socket, "show info;show servers state"))


async def frontends(socket: PurePosixPath) -> frozenset[str]:
    """The names of the front ends the running worker has bound. Raises `SocketAway`."""
    return parse_frontends(await ask(socket, "show stat -1 1 -1"))


async def tell(socket: PurePosixPath, commands: Iterable[str]) -> str:
    """Sends `commands` in as few lines as fit; the answers. Raises `SocketAway`."""
    answers: list[str] = []
    for line in lines(list(commands)):
        answers.append((await ask(socket, line)).strip())
    return "\n".join(answers)


def lines(commands: Sequence[str]) -> list[str]:
    """Commands joined by `;` into lines that fit haproxy's buffer."""
    out: list[str] = []
    for command in commands:
        if out and len(out[-1]) + len(command) < _LINE:
            out[-1] += ";" + command
        else:
            out.append(command)
    return out


def parse(text: str) -> Running:
    """Of the answers to `show info` and `show servers state`."""
    info, _, servers = text.partition("\n\n")
    found: dict[str, str] = {}
    for line in info.splitlines():
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    pid = found.get("pid", "")
    return Running(
        digest=found.get("description", ""),
        version=found.get("version", ""),
        pid=int(pid) if pid.isdecimal() else 0,
        servers=parse_servers(servers),
        servers_text=servers.strip() + "\n",
    )


def parse_servers(text: str) -> dict[str, dict[str, ServerState]]:
    """Of `show servers state`, format 1; columns by the names in its header, which later versions add to."""
    out: dict[str, dict[str, ServerState]] = {}
    columns: dict[str, int] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            columns = {name: index for index, name in enumerate(line[2:].split())}
            continue
        cells = line.split()
        if not columns or len(cells) < len(columns):
            continue
        admin = int(cells[columns["srv_admin_state"]])
        maintenance = bool(admin & _MAINTENANCE)
        out.setdefault(cells[columns["be_name"]], {})[cells[columns["srv_name"]]] = ServerState(
            up=int(cells[columns["srv_op_state"]]) > 0 and not maintenance,
            maintenance=maintenance,
            weight=int(cells[columns["srv_uweight"]]),
        )
    return out


def parse_frontends(text: str) -> frozenset[str]:
    """The front ends of a `show stat`, all but the ones haproxy and we have for ourselves."""
    names = set()
    for line in text.splitlines():
        cells = line.split(",", 2)
        if len(cells) == 3 and cells[1] == "FRONTEND" and ":" in cells[0]:
            names.add(cells[0])
    return frozenset(names)
