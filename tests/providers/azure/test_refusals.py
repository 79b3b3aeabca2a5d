"""Each answer that is documented, or was seen, and what it is in our words."""

from __future__ import annotations

import json

import pytest

from havip.provider import Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable
from havip_providers.azure.refusals import failure

SCOPE = "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.Network/loadBalancers/lb"


def body(code, message="Something.", *details):
    inner = [{"code": code, "message": text} for code, text in details]
    return json.dumps({"error": {"code": code, "message": message, "details": inner}})


LOCKED = ("RetryableErrorDueToAnotherOperation", "Operation X is updating resource lb. Can be retried in 14 seconds.")
STALE = ("PreconditionFailedEtagMismatch", "Etag provided in if-match header")
LOST = f"Resource {SCOPE} referenced by resource x was not found."
DENIED = (
    "The client 'a' with object id 'b' does not have authorization to perform action"
    f" 'Microsoft.Network/loadBalancers/write' over scope '{SCOPE}' or the scope is invalid."
)
LINK_DENIED = (
    f"The client has permission to perform action 'Microsoft.Network/networkInterfaces/write' on scope '{SCOPE}';"
    " however, it does not have permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action'"
    f" on the linked scope(s) '{SCOPE}'."
)


@pytest.mark.parametrize(
    ("status", "text", "kind", "wait"),
    [
        (429, body("SubscriptionRequestsThrottled", "Please try again after '6' seconds."), Throttled, 6),
        (429, "", Throttled, None),
        (429, body("RetryableError", "A retryable error occurred.", LOCKED), Throttled, 14),
        (429, body("RetryableError", "", ("ReferencedResourceNotProvisioned", "Not ready.")), Throttled, None),
        (409, body("AnotherOperationInProgress"), Throttled, None),
        (409, body("CanceledAndSupersededDueToAnotherOperation"), Conflict, None),
        (409, body("Conflict"), Conflict, None),
        (
            412,
            body("PreconditionFailed", "Precondition failed.", STALE),
            Conflict,
            None,
        ),
        (500, body("InternalServerError"), Unavailable, None),
        (503, "<html>", Unavailable, None),
        (200, body("InternalServerError"), Unavailable, None),
        (200, body("CanceledAndSupersededDueToAnotherOperation"), Conflict, None),
        (200, body("RetryableError", "", LOCKED), Throttled, 14),
        (401, body("ExpiredAuthenticationToken", "The access token expired."), Forbidden, None),
        (404, body("ResourceNotFound", f"The Resource '{SCOPE}' was not found."), NotFound, None),
        (
            400,
            body("InvalidResourceReference", LOST),
            NotFound,
            None,
        ),
        (400, body("PrivateIPAddressIsAllocated"), Invalid, None),
        (400, "[]", Invalid, None),
    ],
)
def test_an_answer_is_one_of_our_failures(status, text, kind, wait):
    found = failure(status, text.encode(), {}, "write load balancer lb")
    assert type(found) is kind
    assert found.wait == wait
    assert str(found).startswith("write load balancer lb: ")


def test_the_header_says_how_long_before_the_text_does():
    assert failure(429, body("X", "retried in 14 seconds"), {"retry-after": "3"}, "read").wait == 3


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (DENIED, "Microsoft.Network/loadBalancers/write"),
        (LINK_DENIED, "Microsoft.Network/virtualNetworks/subnets/join/action"),
    ],
)
def test_what_is_missing_is_named_and_not_what_is_there(text, action):
    assert failure(403, body("AuthorizationFailed", text), {}, "write").permission == action


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ("PrivateIPAddressIsAllocated", "spec.addresses"),
        ("PublicIPAddressInUse", "spec.publicIp"),
        ("RulesUseSameFrontendPortProtocolAndIPConfig", "spec.frontends"),
        ("LocationRequired", "spec.azure.loadBalancer.create.location"),
        ("SomethingNew", ""),
    ],
)
def test_a_refused_value_is_of_a_field_of_ours(code, field):
    assert failure(400, body(code), {}, "write").field == field


def test_what_is_referred_to_and_not_there_is_named():
    found = failure(400, body("InvalidResourceReference", LOST), {}, "write")
    assert found.what == SCOPE


def test_a_message_is_one_line_of_bounded_length():
    found = str(failure(400, body("X", "a\nb " * 500), {}, "write"))
    assert "\n" not in found
    assert len(found) < 500
