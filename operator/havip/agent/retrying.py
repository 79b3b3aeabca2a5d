"""How long to wait before trying again: longer after each failure, and spread, so that nodes do not knock in step."""

from __future__ import annotations

import random
from collections.abc import Sequence


def pause(delays: Sequence[float], failures: int) -> float:
    """Seconds to wait after `failures` (at least 1) in a row, of `delays` that grow; the last one repeats."""
    return delays[min(failures, len(delays)) - 1] * spread(0.5, 1.0)


def spread(low: float, high: float) -> float:
    """Somewhere between the two."""
    return random.uniform(low, high)  # noqa: S311  # spreads load, keeps no secret
