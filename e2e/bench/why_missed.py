"""Why a figure is missed, by row id: shown beside the row while it is missed, and only then."""

from __future__ import annotations

from collections.abc import Mapping

WHY_MISSED: Mapping[str, str] = {}
