"""From what a backend has to what it should have, by runtime commands. Pure.

A server that leaves is put into maintenance first: no new connections, the open ones go on; haproxy lets it be
deleted when the last one has ended, so the deletion is asked for again and again until then.
"""

from __future__ import annotations

from collections.abc import Mapping

from havip.agent.haproxy.context import BackendSection, Configuration, server_name
from havip.agent.haproxy.render import server_options, token, words
from havip.agent.haproxy.runtime import ServerState
from havip.model.pool import RealServer

Servers = Mapping[str, Mapping[str, ServerState]]


def commands(wanted: Configuration, running: Servers) -> list[str]:
    """What to say to the runtime socket; empty when there is nothing to do at all."""
    out: list[str] = []
    for backend in wanted.backends:
        out += _backend(backend, running.get(backend.name, {}))
    return out


def settled(wanted: Configuration, running: Servers) -> bool:
    """Whether every wanted server takes connections with its weight, and no other one takes new ones."""
    return all(_settled(backend, running.get(backend.name, {})) for backend in wanted.backends)


def names(backend: BackendSection) -> tuple[str, ...]:
    """The servers a backend should have, by name."""
    return tuple(server_name(server) for server in backend.servers)


def _settled(backend: BackendSection, has: Mapping[str, ServerState]) -> bool:
    wanted = {server_name(server): server.weight for server in backend.servers}
    for name, weight in wanted.items():
        state = has.get(name)
        if state is None or state.maintenance or state.weight != weight:
            return False
    return all(state.maintenance for name, state in has.items() if name not in wanted)


def _backend(backend: BackendSection, has: Mapping[str, ServerState]) -> list[str]:
    out: list[str] = []
    wanted = {server_name(server): server for server in backend.servers}
    for name, server in wanted.items():
        where = f"{token(backend.name)}/{token(name)}"
        state = has.get(name)
        if state is None:
            out += _add(where, server, backend)
            continue
        if state.maintenance:
            out.append(f"set server {where} state ready")
        if state.weight != server.weight:
            out.append(f"set server {where} weight {server.weight}")
    for name in sorted(has.keys() - wanted.keys()):
        where = f"{token(backend.name)}/{token(name)}"
        if not has[name].maintenance:
            out.append(f"set server {where} state maint")
        out.append(f"del server {where}")
    return out


def _add(where: str, server: RealServer, backend: BackendSection) -> list[str]:
    out = [f"add server {where} {words(server_options(server, backend.check))}"]
    if backend.check is not None:
        # `add server` leaves checks off although it takes their settings.
        out.append(f"enable health {where}")
    out.append(f"enable server {where}")
    return out
