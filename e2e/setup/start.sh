#!/bin/sh
# Starts the setup, which is written in Python, on a machine that may not have Python yet.
set -eu
cd "$(dirname "$0")/../.."
python=/usr/bin/python3
if ! $python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "This needs root: it installs packages and makes network namespaces; run it as root or with sudo." >&2
        exit 1
    fi
    if ! command -v apt-get >/dev/null; then
        echo "This needs Debian 12 or something like it: there is no apt-get here to install packages with." >&2
        exit 1
    fi
    echo "  Python ..."
    if ! { apt-get update -q && apt-get install -q -y --no-install-recommends python3; } >/dev/null 2>&1; then
        echo "This needs the network for the first run: apt-get cannot install python3." >&2
        exit 1
    fi
    if ! $python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "This needs Python 3.11 or later, as Debian 12 has it." >&2
        exit 1
    fi
fi
exec $python -m e2e.setup "$@"
