"""Where the emulated cloud guesses. Each is tried in both positions; the docs list them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guesses:
    """As we think that Azure behaves."""

    if_none_match: bool = True
    """A PUT with `If-None-Match: *` on something that is there is refused with 412. Otherwise the header is ignored."""
    pool_with_members_stays: bool = True
    """A backend address pool, or the load balancer with it, cannot go while interfaces are in it. Otherwise Azure takes
    them out of it."""
    etag_follows_members: bool = True
    """The load balancer's ETag changes when an interface joins or leaves one of its pools."""
    mixed_front_ends: bool = False
    """Internal and public front ends may be on one load balancer."""
    floating_ip_is_fixed: bool = True
    """`enableFloatingIP` of an existing rule cannot be changed: the request is refused."""
    join_is_asked: bool = True
    """A write needs join/action on everything that it refers to, on every write."""
    secondary_floats: bool = True
    """A secondary IP configuration may be in a pool of a rule with floating IP (the document only says that it does
    not work)."""
    writes_defaults: bool = True
    """Defaults are written back for fields that were absent."""
