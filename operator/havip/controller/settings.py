"""What the operator is told from outside: environment variables, read once. Nothing else here reads the environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from havip.model.keys import parse_label, parse_subdomain
from havip.model.refusal import Refused, shown

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True, slots=True)
class Settings:
    """All times in seconds.

    `identity`: the holder's name in the Lease; one pod, one name. A container restarted in the same pod takes its own
    Lease back at once. `kubeconfig` None = the pod's service account.
    `lease_seconds`: after so long without a renewal another replica takes over. `renew_deadline`: after so long
    without a renewal this one stops writing; must be shorter. `retry_seconds`: how often a standby looks.
    `coalesce_seconds`: how long a first change waits for others, so that a storm becomes one pass.
    `status_quiet`, `status_longest`: a status is written once it has not changed for so long, at the latest after the
    second.
    `writers`: how many writes that do not depend on each other are in flight at once.
    """

    namespace: str
    identity: str
    kubeconfig: Path | None = None
    credential_secrets: tuple[str, ...] = ()
    port: int = 8080
    log_level: str = "INFO"
    lease_name: str = "havip-operator"
    lease_seconds: float = 15.0
    renew_deadline: float = 10.0
    retry_seconds: float = 2.0
    resync_seconds: float = 600.0
    coalesce_seconds: float = 0.03
    status_quiet: float = 0.2
    status_longest: float = 2.0
    backoff_first: float = 0.2
    backoff_longest: float = 60.0
    request_seconds: float = 10.0
    writers: int = 8

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises `Refused` whose `field` is the variable."""
        namespace = _parsed(environ, "HAVIP_NAMESPACE", parse_label)
        kubeconfig = environ.get("KUBECONFIG", "")
        if not kubeconfig and IN_CLUSTER not in environ:
            raise Refused("KUBECONFIG", "must name a kubeconfig file where there is no service account to use")
        settings = cls(
            namespace=namespace,
            identity=_parsed(environ, "POD_NAME", parse_subdomain),
            kubeconfig=Path(kubeconfig) if kubeconfig else None,
            credential_secrets=tuple(filter(None, environ.get("HAVIP_CREDENTIAL_SECRETS", "").split(","))),
            port=int(_number(environ, "HAVIP_PORT", default=8080, low=0, high=65_535)),
            log_level=_level(environ, "HAVIP_LOG_LEVEL"),
            lease_seconds=_number(environ, "HAVIP_LEASE_SECONDS", default=15, low=1, high=600),
            renew_deadline=_number(environ, "HAVIP_LEASE_RENEW_SECONDS", default=10, low=0.5, high=600),
            retry_seconds=_number(environ, "HAVIP_LEASE_RETRY_SECONDS", default=2, low=0.1, high=60),
            resync_seconds=_number(environ, "HAVIP_RESYNC_SECONDS", default=600, low=1, high=86_400),
        )
        if settings.renew_deadline >= settings.lease_seconds:
            raise Refused(
                "HAVIP_LEASE_RENEW_SECONDS",
                f"must be below HAVIP_LEASE_SECONDS ({settings.lease_seconds:g}), or two replicas could write at once",
            )
        return settings


def _parsed(environ: Mapping[str, str], name: str, parse: object) -> str:
    value = environ.get(name, "")
    if not value:
        raise Refused(name, "is required")
    try:
        return str(parse(value)) if callable(parse) else value
    except Refused as refused:
        raise refused.under(name) from None


def _number(environ: Mapping[str, str], name: str, *, default: float, low: float, high: float) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise Refused(name, f"must be a number from {low:g} to {high:g}, not {shown(text)}")
    return value


def _level(environ: Mapping[str, str], name: str) -> str:
    level = environ.get(name, "") or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise Refused(name, f"must be DEBUG, INFO, WARNING or ERROR, not {shown(level)}")
    return level
