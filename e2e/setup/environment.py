"""The virtual environment: exactly what the lock file says, and the project itself, editable."""

import subprocess
import sys
from pathlib import Path

from e2e.setup.workshop import Workshop, digest, stamped

LOCK = "requirements.lock"
_LOCKED = ("--require-hashes", f"--requirement={LOCK}")


def made(workshop: Workshop) -> bool:
    return stamped(workshop.checkout / ".venv" / "setup.stamp", _key(workshop)) and _works(workshop)


def make(workshop: Workshop) -> None:
    if not _works(workshop):
        workshop.run([sys.executable, "-m", "venv", "--clear", workshop.checkout / ".venv"])
    # Not compiled: Python does that for the modules that are loaded, a tenth of what is installed.
    kept = ["--no-compile", "--no-index", f"--find-links={_fetched(workshop)}"]
    workshop.run([*workshop.pip("install"), *kept, *_LOCKED])
    # The lock has what builds the project, so nothing is asked for that is not in it.
    workshop.run([*workshop.pip("install"), "--no-index", "--no-deps", "--no-build-isolation", "--editable", "."])
    (workshop.checkout / ".venv" / "setup.stamp").write_text(_key(workshop))


def _fetched(workshop: Workshop) -> Path:
    """What the lock file names, kept for the next checkout: to fetch it takes longer than to install it."""
    packages = workshop.cache / "packages"
    wanted = digest((workshop.checkout / LOCK).read_bytes(), sys.version)
    if not stamped(packages / "setup.stamp", wanted):
        packages.mkdir(exist_ok=True)
        workshop.run([*workshop.pip("download"), "--no-deps", "--only-binary=:all:", f"--dest={packages}", *_LOCKED])
        (packages / "setup.stamp").write_text(wanted)
    return packages


def _key(workshop: Workshop) -> str:
    return digest(*((workshop.checkout / name).read_bytes() for name in (LOCK, "pyproject.toml")))


def _works(workshop: Workshop) -> bool:
    """A checkout that was moved, or whose Python was upgraded away, has an environment that does not start."""
    try:
        done = subprocess.run([workshop.python, "-m", "pip", "--version"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0
