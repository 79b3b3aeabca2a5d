"""haproxy.cfg from typed values, by a template that looks like the file.

The model lets only safe tokens through; the `token` filter refuses everything else once more, so that a field
added carelessly later fails here and not in a file read by a process with a port below 1024.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

import jinja2

from havip.agent.haproxy.context import Configuration, server_address, server_name
from havip.model.paths import Folders
from havip.model.pool import HealthCheck, RealServer
from havip.model.refusal import Refused, shown

HARD_STOP_SECONDS = 3600
"""How long a worker that a reload has replaced may go on serving what is open."""

STATE_FILE = "servers.state"
_TOKEN = re.compile(r"[A-Za-z0-9._:/@%~!$&()*+,;=?\[\]-]+")


def token(value: object) -> str:
    """`value` as one word of the file. Raises `Refused` for anything that could end a word, line or section."""
    text = str(value)
    if not _TOKEN.fullmatch(text):
        raise Refused("haproxy.cfg", f"must be one plain word, not {shown(text)}")
    return text


def words(value: object) -> str:
    """Several words of the file, each checked like `token`."""
    return " ".join(token(word) for word in str(value).split(" "))


def check_options(check: HealthCheck) -> str:
    """How a server is asked whether it is well: for every server of a backend alike."""
    return f"check inter {check.interval_ms}ms rise {check.rise} fall {check.fall}"


def server_options(server: RealServer, check: HealthCheck | None) -> str:
    """What follows a server's name in `add server`, which knows nothing of the backend's `default-server`."""
    line = f"{server_address(server)} weight {server.weight}"
    return line if check is None else f"{line} {check_options(check)}"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("havip.agent.haproxy", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # escaping is for HTML and would change values; `token` guards this file
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters.update(
        token=token,
        words=words,
        server_name=server_name,
        server_address=server_address,
        check_options=check_options,
    )
    return environment.get_template("haproxy.cfg.j2")


def structure_digest(configuration: Configuration, folders: Folders) -> str:
    """Names everything that needs a reload to change, the sockets' paths and the template included."""
    text = _render(configuration.structure(), folders, digest="structure")
    return "havip-" + hashlib.sha256(text.encode()).hexdigest()[:32]


def render(configuration: Configuration, folders: Folders) -> str:
    """The whole file."""
    return _render(configuration, folders, digest=structure_digest(configuration, folders))


def _render(configuration: Configuration, folders: Folders, *, digest: str) -> str:
    return _template().render(
        digest=digest,
        runtime_socket=folders.haproxy_runtime_socket,
        health_socket=folders.haproxy_health_socket,
        state_file=folders.haproxy_config / STATE_FILE,
        hard_stop_seconds=HARD_STOP_SECONDS,
        frontends=configuration.frontends,
        backends=configuration.backends,
    )
