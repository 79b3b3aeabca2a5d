"""`python -m e2e.bench`: measure, print, write down.

Each row is saved as soon as it is measured, so that an interrupted run keeps what it has.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import shlex
import sys
import time

from e2e.bench import results
from e2e.bench.rows import FULL, QUICK, Effort, registered

_MODULES = (
    "e2e.bench.lab_rows",
    "e2e.bench.operator_rows",
    "e2e.bench.cluster_rows",
    "e2e.bench.cloud_rows",
    "e2e.bench.clone_rows",
)
"""Where rows come from. A module that does not exist brings none."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description=__doc__)
    parser.add_argument("--rows", default="", help="only these ids, separated by commas")
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it works, not to publish")
    parser.add_argument("--list", action="store_true", help="print the ids and what each is")
    asked = parser.parse_args()
    for module in _MODULES:
        if importlib.util.find_spec(module):
            importlib.import_module(module)
    known = {row.id: row for rows, _ in registered() for row in rows}
    if asked.list:
        for row in known.values():
            print(f"{row.id:28} {row.what} [{row.unit}], {row.reach}")
        return 0
    wanted = set(filter(None, asked.rows.split(","))) or set(known)
    if unknown := sorted(wanted - set(known)):
        print(f"no such row: {', '.join(unknown)}; known are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    try:
        return _run(wanted, QUICK if asked.quick else FULL)
    except KeyboardInterrupt:
        print("interrupted; what was measured until here is saved", file=sys.stderr)
        return 130


def _run(wanted: set[str], effort: Effort) -> int:
    command = shlex.join(["python", "-m", "e2e.bench", *sys.argv[1:]])
    missed: list[str] = []
    failed: list[str] = []
    print(f"{'row':28} {'n':>3} {'min':>9} {'median':>9} {'p99':>9} {'max':>9}  unit   reach")
    for rows, measure in registered():
        if not wanted & {row.id for row in rows}:
            continue
        started = time.monotonic()
        try:
            values = measure(effort)
        except Exception as error:  # one row that cannot be measured must not cost the others
            failed += [row.id for row in rows]
            print(f"{rows[0].id}: not measured: {type(error).__name__}: {error}", flush=True)
            continue
        summaries = [row.summary(values[row.id]) for row in rows if values.get(row.id)]
        for summary in summaries:
            print(
                f"{summary['id']!s:28} {summary['n']:>3} {summary['min']:>9} {summary['median']:>9} "
                f"{summary['p99']:>9} {summary['max']:>9}  {summary['unit']!s:6} {summary['reach']} "
                f"{'' if summary['reached'] is None else 'reached' if summary['reached'] else 'MISSED'}",
                flush=True,
            )
            if summary["reached"] is False:
                missed.append(str(summary["id"]))
        results.save(summaries, command=command)
        print(f"  ({', '.join(row.id for row in rows)}: {time.monotonic() - started:.0f} s)", flush=True)
    if missed:
        print(f"missed: {', '.join(missed)}")
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
