"""`python3 -m e2e.setup GOAL`: has everything there that the goal needs; a second run makes only what changed."""

import argparse
import fcntl
import os
import time
from pathlib import Path

from e2e.setup import binaries, environment, images, packages
from e2e.setup.preflight import objection
from e2e.setup.workshop import Step, StepFailed, Workshop, refuse, say, take

PACKAGES = Step("Debian packages", packages.made, packages.make)
ENVIRONMENT = Step("Python environment", environment.made, environment.make)
GO = Step("Go", binaries.go_made, binaries.make_go)
BINARIES = Step("Kubernetes, etcd and Helm", binaries.made, binaries.make)
BASE = Step("base image", images.base_made, images.make_base)
PRODUCTS = Step("product images", images.products_made, images.make_products)
ROOTS = Step("root file systems for the lab", images.roots_made, images.make_roots, needs_network=False)

GOALS = {
    "environment": (PACKAGES, ENVIRONMENT),
    "binaries": (PACKAGES, ENVIRONMENT, GO, BINARIES),
    "images": (PACKAGES, ENVIRONMENT, BASE, PRODUCTS, ROOTS),
    "everything": (PACKAGES, ENVIRONMENT, GO, BINARIES, BASE, PRODUCTS, ROOTS),
}
CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.setup", description=__doc__)
    parser.add_argument("goal", choices=GOALS)
    goal = parser.parse_args().goal
    cache = Path(os.environ.get("HAVIP_CACHE") or CHECKOUT / ".cache")
    _check_machine(cache, GOALS[goal])
    workshop = Workshop(CHECKOUT, cache)
    begun = time.monotonic()
    say(f"Setup for {goal}, kept in {cache}:")
    with Alone(cache):
        workshop.log.unlink(missing_ok=True)  # of the run before
        for step in GOALS[goal]:
            try:
                take(step, workshop)
            except StepFailed as problem:
                refuse(f"{step.name} failed:\n{problem}")
    say(f"Setup: {time.monotonic() - begun:.0f} s")


def _check_machine(cache: Path, steps: tuple[Step, ...]) -> None:
    """Before anything is done, the log included."""
    first_run = not all((cache / "bin" / program.name).exists() for program in binaries.programs(CHECKOUT))
    reason = objection(cache=cache, first_run=first_run, needs_network=first_run)
    if reason:
        refuse(reason)


class Alone:
    """Two setups on one cache take turns: both would write the same files."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / "setup.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("  another setup works on this cache; waiting for its end")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *exc: object) -> None:
        self._file.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        refuse("\nInterrupted; the next run continues from here.")
