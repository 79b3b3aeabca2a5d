"""Refusals in Azure's words, and the scripted ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from e2e.clouds.service import Answer

JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Detail:
    code: str
    message: str


class Refused(Exception):
    """An error answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: tuple[Detail, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(code, message, details)
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        return Answer(self.status, json.dumps(self.body).encode(), {**JSON, **self.headers})


def error_body(code: str, message: str, details: tuple[Detail, ...] = ()) -> dict[str, object]:
    inner = [{"code": one.code, "message": one.message} for one in details]
    return {"error": {"code": code, "message": message, "details": inner}}


class Script(StrEnum):
    """Answers to the next write that are not about the request itself."""

    LOCKED = "Locked"
    """429 as a locked object gives it, with the wait in the text alone."""
    NOT_PROVISIONED = "NotProvisioned"
    """429 because something that is referred to is not ready."""
    BUSY = "Busy"
    """409, another operation is in progress."""
    SUPERSEDED = "Superseded"
    """Accepted; the operation then ends as canceled by another one. Nothing is done."""
    FAILS_LATER = "FailsLater"
    """Accepted; the operation then fails. Nothing is done."""


def locked() -> Refused:
    text = "Operation PutOperation is updating resource {}. The call can be retried in 14 seconds."
    return Refused(
        429,
        "RetryableError",
        "A retryable error occurred.",
        details=(Detail("RetryableErrorDueToAnotherOperation", text.format("lb")),),
    )


def not_provisioned() -> Refused:
    text = "Cannot proceed with operation because a resource it uses is not in Succeeded state."
    return Refused(
        429,
        "RetryableError",
        "A retryable error occurred.",
        details=(Detail("ReferencedResourceNotProvisioned", text),),
    )


def busy() -> Refused:
    text = "Another operation on this or dependent resource is in progress."
    return Refused(409, "AnotherOperationInProgress", text)


def throttled(seconds: int | None) -> Refused:
    after = f" Please try again after '{seconds}' seconds." if seconds is not None else ""
    headers = {"Retry-After": str(seconds)} if seconds is not None else {}
    return Refused(
        429, "SubscriptionRequestsThrottled", f"Number of requests exceeded the limit.{after}", headers=headers
    )


def unavailable() -> Refused:
    return Refused(503, "ServiceUnavailable", "The service is unavailable.")


def forbidden(action: str, scope: str) -> Refused:
    text = (
        "The client '00000000-0000-0000-0000-00000000c11e' with object id '00000000-0000-0000-0000-00000000c11e' does"
        f" not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access"
        " was recently granted, please refresh your credentials."
    )
    return Refused(403, "AuthorizationFailed", text)


def forbidden_link(action: str, link: str, scope: str) -> Refused:
    """`action` is what is missing on what is referred to; the write itself would be allowed."""
    text = (
        f"The client has permission to perform action 'Microsoft.Network/networkInterfaces/write' on scope '{link}';"
        f" however, it does not have permission to perform action(s) '{action}' on the linked scope(s) '{scope}'"
        " (respectively) or the linked scope(s) are invalid."
    )
    return Refused(403, "LinkedAuthorizationFailed", text)


def no_token() -> Refused:
    text = "The access token is invalid."
    return Refused(
        401, "InvalidAuthenticationToken", text, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
    )


def not_found(resource: str) -> Refused:
    parts = resource.split("/")
    name = "/".join(parts[6:])
    return Refused(404, "ResourceNotFound", f"The Resource '{name}' under resource group '{parts[4]}' was not found.")


def no_group(name: str) -> Refused:
    return Refused(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def precondition() -> Refused:
    text = "Etag provided in if-match header does not match etag of resource"
    return Refused(
        412,
        "PreconditionFailed",
        "Precondition failed.",
        details=(Detail("PreconditionFailedEtagMismatch", text),),
    )


def bad(code: str, message: str) -> Refused:
    return Refused(400, code, message)


def lost_reference(what: str, user: str) -> Refused:
    return bad(
        "InvalidResourceReference",
        f"Resource {what} referenced by resource {user} was not found. Please make sure that the referenced resource"
        " exists, and that both resources are in the same region.",
    )
