"""docs/benchmarks.json and docs/benchmarks.md: rows measured now replace their older values, the others stay."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from e2e.bench.why_missed import WHY_MISSED
from e2e.lab.compiled import checkout
from e2e.lab.pod import Flavour, chosen_flavour, image_root

JSON_PAGE = Path("docs/benchmarks.json")
PAGE = Path("docs/benchmarks.md")

_FOREWORD = """# Figures

Written by `make bench`; do not edit. Times in the unit of the row, over n measured values; with fewer than 100
values p99 is the worst one. Three nodes (network namespaces on one bridge) on one machine, whose CPUs the clients,
the nodes and the measuring programs share. `poweroff_raw_keepalived` is this machine's keepalived alone with its own
defaults, measured in the same run. A missed figure stays in the table as missed.
"""


def merged(old: Sequence[dict[str, object]], new: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Old rows with the new ones in their place; rows that are new at all come last."""
    fresh = {row["id"]: row for row in new}
    known = {row["id"] for row in old}
    return [fresh.get(row["id"], row) for row in old] + [row for row in new if row["id"] not in known]


def save(new: Sequence[dict[str, object]], *, command: str, root: Path | None = None) -> None:
    """Merge into both pages below `root` (default: the checkout)."""
    base = root or checkout()
    target = base / JSON_PAGE
    old = json.loads(target.read_text(encoding="utf-8")) if target.exists() else []
    rows = [explained(row) for row in merged(old, new)]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (base / PAGE).write_text(page(rows, command=command), encoding="utf-8")


def explained(row: dict[str, object]) -> dict[str, object]:
    """A row that was missed says why, where we know; one that was reached needs no note."""
    plain = {name: value for name, value in row.items() if name != "note"}
    why = WHY_MISSED.get(str(row["id"]))
    return {**plain, "note": why} if row.get("reached") is False and why else plain


def page(rows: Sequence[dict[str, object]], *, command: str) -> str:
    """The page for people."""
    versions = installed_versions()
    lines = [_FOREWORD]
    lines += [
        "| id | what | unit | n | min | median | p99 | max | reach | reached |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            f"`{row['id']}`",
            *(str(row[k]) for k in ("what", "unit", "n", "min", "median", "p99", "max", "reach")),
        ]
        lines.append("| " + " | ".join([*cells, _verdict(row["reached"])]) + " |")
    notes = [f"- `{row['id']}`: {row['note']}" for row in rows if row.get("note")]
    if notes:
        lines += ["", "## Notes", "", *notes]
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines += ["", "## How", "", f"Last run: `{command}`, {when}.", ""]
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    return "\n".join(lines) + "\n"


def _verdict(reached: object) -> str:
    if reached is None:
        return "comparison"
    return "yes" if reached else "**missed**"


def installed_versions() -> dict[str, str]:
    """What ran: machine, kernel, daemons."""
    inside = ["chroot", str(image_root("node"))] if chosen_flavour() is Flavour.IMAGE else []
    return {
        "machine": f"{os.cpu_count()} CPUs ({_cpu_model()}), {_memory_gib()} GiB of memory",
        "kernel": platform.release(),
        "keepalived": _keepalived(_first_line(*inside, "keepalived", "--version")),
        "haproxy": _first_line(*inside, "haproxy", "-v").removeprefix("HAProxy version ").split(" ")[0],
        "Python": _first_line(*inside, "python3", "--version").removeprefix("Python "),
        "keepalived of the comparison": _keepalived(_first_line("keepalived", "--version")),
    }


def _keepalived(line: str) -> str:
    return line.removeprefix("Keepalived v").split(" ")[0]


def _first_line(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    said = (done.stdout + done.stderr).strip().splitlines()
    return said[0] if said else "unknown"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
