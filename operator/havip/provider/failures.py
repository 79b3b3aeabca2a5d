"""What can go wrong with a cloud, in our words: one vocabulary for conditions, back-off and tests.

A provider's `client.py` turns its SDK's exceptions into these, and nothing else may leave it: an SDK's own text can
hold a request with its credentials. Messages are for people and end up in conditions.
"""

from __future__ import annotations


class CloudFailed(Exception):
    """A call did not do what it was for.

    `again`: whether trying the same again can help without anybody's doing. `wait`: seconds the cloud asks for before
    that; None = it does not say.
    """

    again = True

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.wait = wait


class Throttled(CloudFailed):
    """Too many calls, or another operation holds the object; `wait` says how long to keep still."""


class Conflict(CloudFailed):
    """Somebody else wrote in between, or the object is busy: read again and plan anew."""


class Unavailable(CloudFailed):
    """No answer, or an answer that says nothing about the request (5xx): it may have been carried out all the same."""


class Forbidden(CloudFailed):
    """The credentials lack a permission, which `permission` names as the cloud does; "" = they are wrong altogether."""

    again = False

    def __init__(self, message: str, *, permission: str = "") -> None:
        super().__init__(message)
        self.permission = permission


class NotFound(CloudFailed):
    """Something that was referred to is not there; `what` names it."""

    again = False

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what


class Invalid(CloudFailed):
    """The cloud refuses a value; `field` is ours where it is known, as in `spec.azure.loadBalancer`."""

    again = False

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field
