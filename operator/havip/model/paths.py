"""Where the containers of a node pod meet. One in-memory folder per direction, written by exactly one of them.

The root is `/run/havip` in a pod; the lab gives each node its own through HAVIP_RUN.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

DEFAULT_ROOT = PurePosixPath("/run/havip")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders below one root and the files in them that two processes know by name."""

    root: PurePosixPath = DEFAULT_ROOT

    @property
    def election(self) -> PurePosixPath:
        """Written by the agent, read by the keeper."""
        return self.root / "election"

    @property
    def election_document(self) -> PurePosixPath:
        return self.election / "election.json"

    @property
    def state(self) -> PurePosixPath:
        """Written by the keeper, read by the agent."""
        return self.root / "state"

    @property
    def state_file(self) -> PurePosixPath:
        return self.state / "state.json"

    @property
    def state_socket(self) -> PurePosixPath:
        """A unix stream socket; each line is a `KeeperReport`, the first one comes at once."""
        return self.state / "state.sock"

    @property
    def haproxy_config(self) -> PurePosixPath:
        """Written by the agent, read by haproxy."""
        return self.root / "haproxy-config"

    @property
    def haproxy_config_file(self) -> PurePosixPath:
        return self.haproxy_config / "haproxy.cfg"

    @property
    def haproxy(self) -> PurePosixPath:
        """Written by haproxy, read by agent and keeper (a socket in a folder mounted read-only still connects)."""
        return self.root / "haproxy"

    @property
    def haproxy_master_socket(self) -> PurePosixPath:
        return self.haproxy / "master.sock"

    @property
    def haproxy_runtime_socket(self) -> PurePosixPath:
        return self.haproxy / "runtime.sock"

    @property
    def haproxy_health_socket(self) -> PurePosixPath:
        """Answers 200 to `GET /` while haproxy works; the track of every VIP with front ends."""
        return self.haproxy / "health.sock"

    @property
    def keeper(self) -> PurePosixPath:
        """The keeper's own: keepalived.conf, pid files, FIFO, track files."""
        return self.root / "keeper"
