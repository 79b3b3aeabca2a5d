"""Who is calling: TC3-HMAC-SHA256 over content type, host and body, computed anew from the account's key."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from e2e.clouds.service import Request
from e2e.clouds.tencent.refusal import Refused

TOLERANCE = 300
"""Seconds that the caller's clock may be wrong."""
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<date>\d{4}-\d\d-\d\d)/(?P<service>[a-z]+)/tc3_request, "
    r"SignedHeaders=(?P<headers>[a-z;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Account:
    """A key that is taken. `token`: what must come with it, None = it is a permanent one."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def check(request: Request, accounts: Mapping[str, Account], now: float) -> None:
    """Raises `Refused` for a request that is unsigned, signed wrongly, or signed too long ago."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refused("AuthFailure.SignatureFailure", "The request carries no TC3-HMAC-SHA256 signature.")
    sent = request.headers.get("x-tc-timestamp", "")
    if not sent.isdigit() or abs(now - int(sent)) > TOLERANCE:
        raise Refused("AuthFailure.SignatureExpire", "The signature has expired.")
    account = accounts.get(found["id"])
    if account is None:
        raise Refused("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    if account.token is not None and request.headers.get("x-tc-token") != account.token:
        raise Refused("AuthFailure.TokenFailure", "The token is invalid or has expired.")
    day = datetime.fromtimestamp(int(sent), UTC).strftime("%Y-%m-%d")
    signed = found["headers"].split(";")
    if found["date"] != day or found["service"] != "vpc" or not {"content-type", "host"} <= set(signed):
        raise Refused("AuthFailure.SignatureFailure", "The scope of the signature is wrong.")
    if not hmac.compare_digest(_signature(request, account, signed, sent, day), found["signature"]):
        raise Refused("AuthFailure.SignatureFailure", "The signature does not match.")


def _signature(request: Request, account: Account, signed: list[str], sent: str, day: str) -> str:
    headers = "".join(f"{name}:{request.headers.get(name, '').strip().lower()}\n" for name in signed)
    query = ""
    canonical = "\n".join((request.method, request.path, query, headers, ";".join(signed), _digest(request.body)))
    scope = f"{day}/vpc/tc3_request"
    text = "\n".join(("TC3-HMAC-SHA256", sent, scope, _digest(canonical.encode())))
    key = f"TC3{account.secret_key}".encode()
    for part in (day, "vpc", "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
