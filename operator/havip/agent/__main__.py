"""`python3 -m havip.agent` runs the agent, `python3 -m havip.agent prepare` writes haproxy's empty configuration."""

from __future__ import annotations

import asyncio
import os
import sys

from havip.agent import app, logs
from havip.agent.haproxy.files import prepare
from havip.agent.settings import read_folders, read_settings
from havip.model.refusal import Refused


def main(arguments: list[str], environ: dict[str, str]) -> int:
    """The exit code: 0 done or ended by a signal, 2 asked for something that cannot be."""
    try:
        match arguments:
            case ["prepare"]:
                prepare(read_folders(environ))
            case []:
                settings = read_settings(environ)
                logs.start(debug=settings.debug)
                asyncio.run(app.run(settings))
            case _:
                return _refuse("usage: python3 -m havip.agent [prepare]")
    except Refused as refused:
        return _refuse(str(refused))
    return 0


def _refuse(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
