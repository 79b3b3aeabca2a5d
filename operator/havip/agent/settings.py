"""What the environment says to the agent. Read once, typed, and refused by name; nothing else reads the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from havip.model.keys import parse_label, parse_subdomain
from havip.model.paths import DEFAULT_ROOT, Folders
from havip.model.refusal import Refused, shown

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SERVER = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?/?")
_RUN = re.compile(r"/[A-Za-z0-9._/-]{0,80}")  # a unix socket's path has 108 octets, and it goes into haproxy.cfg


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How to reach the API server. `ca` None = the system's; `token_file` None = no token is sent."""

    host: str
    port: int
    tls: bool
    ca: Path | None
    token_file: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """`folder` is the folder source of a lab without an API server; then `api` is None, and the other way round."""

    folders: Folders
    class_name: str
    node: str
    namespace: str
    api: ApiAccess | None
    folder: Path | None
    haproxy: str
    metrics: tuple[str, int] | None
    debug: bool


def read_folders(environ: Mapping[str, str]) -> Folders:
    """`HAVIP_RUN`, an absolute path; `/run/havip` without it."""
    root = environ.get("HAVIP_RUN", "") or str(DEFAULT_ROOT)
    if not _RUN.fullmatch(root):
        raise Refused("HAVIP_RUN", f"must be an absolute path of at most 80 plain characters, not {shown(root)}")
    return Folders(PurePosixPath(root))


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises `Refused` whose field is the variable's name."""
    folder = environ.get("HAVIP_SOURCE", "")
    return Settings(
        folders=read_folders(environ),
        class_name=_named(environ, "HAVIP_CLASS", label=True),
        node=_named(environ, "HAVIP_NODE", label=False),
        namespace="" if folder else _named(environ, "HAVIP_NAMESPACE", label=True),
        api=None if folder else _api(environ),
        folder=Path(folder) if folder else None,
        haproxy=environ.get("HAPROXY", "") or "haproxy",
        metrics=_metrics(environ.get("HAVIP_METRICS_ADDRESS", "")),
        debug=environ.get("HAVIP_DEBUG", "") == "1",
    )


def _named(environ: Mapping[str, str], name: str, *, label: bool) -> str:
    value = environ.get(name, "")
    try:
        return parse_label(value) if label else parse_subdomain(value)
    except Refused as refused:
        raise refused.under(name) from None


def _api(environ: Mapping[str, str]) -> ApiAccess:
    server = environ.get("HAVIP_API_SERVER", "")
    if server:
        return _given(server, environ)
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise Refused("HAVIP_API_SERVER", "is required outside a cluster (or HAVIP_SOURCE for a folder)")
    bracketed = f"[{host}]" if ":" in host else host
    parts = _parts(f"https://{bracketed}:{port}", name="KUBERNETES_SERVICE_HOST")
    return ApiAccess(*parts, ca=SERVICE_ACCOUNT / "ca.crt", token_file=SERVICE_ACCOUNT / "token")


def _given(server: str, environ: Mapping[str, str]) -> ApiAccess:
    ca, token = environ.get("HAVIP_API_CA", ""), environ.get("HAVIP_API_TOKEN_FILE", "")
    return ApiAccess(
        *_parts(server, name="HAVIP_API_SERVER"),
        ca=Path(ca) if ca else None,
        token_file=Path(token) if token else None,
    )


def _parts(server: str, *, name: str) -> tuple[str, int, bool]:
    match = _SERVER.fullmatch(server)
    if match is None or int(match[3] or 443) > 65_535:
        raise Refused(name, f"must be a URL such as https://10.0.0.1:6443, not {shown(server)}")
    tls = match[1] == "https"
    return match[2].strip("[]"), int(match[3] or (443 if tls else 80)), tls


def _metrics(value: str) -> tuple[str, int] | None:
    if not value:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise Refused("HAVIP_METRICS_ADDRESS", f"must be address:port such as 127.0.0.1:9400, not {shown(value)}")
    return host.strip("[]"), int(port)
