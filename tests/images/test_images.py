"""The images carry what the pods count on, and nothing that an intruder would like to find."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from e2e.setup.images import Image
from tests.images.archive import configuration, content, files

pytestmark = pytest.mark.cluster

NAMES = ("operator", "node", "haproxy")
MIB = 1 << 20
CAP_NET_BIND_SERVICE = 10
EFFECTIVE = 1  # of a file capability's header: granted at once, not only permitted


def versions(image: Image) -> dict[str, str]:
    """Debian package -> version."""
    status = content(image.archive, "var/lib/dpkg/status").decode()
    return dict(re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL))


def python_in(image: Image, code: str) -> str:
    """What Python says in the image's root file system, with no file of this machine in reach."""
    command = ["chroot", str(image.root), "python3", "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin"}
    ).stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_as_its_own_user(images: dict[str, Image], name: str) -> None:
    user = {"operator": "64103:64103", "node": "64101:64100", "haproxy": "64102:64100"}[name]
    uid = user.split(":")[0]
    assert configuration(images[name].archive)["User"] == user
    assert f":x:{uid}:" in content(images[name].archive, "etc/passwd").decode()


def test_haproxy_ends_at_once_when_its_container_is_stopped(images: dict[str, Image]) -> None:
    assert configuration(images["haproxy"].archive)["StopSignal"] == "SIGTERM"


def test_haproxy_starts_as_a_master_on_the_agents_file(images: dict[str, Image]) -> None:
    entry = configuration(images["haproxy"].archive)["Entrypoint"]
    options = dict(pairwise(entry))
    assert "-W" in entry
    assert options["-f"] == "/run/havip/haproxy-config/haproxy.cfg"
    assert options["-S"] == "/run/havip/haproxy/master.sock,mode,660"


def test_haproxy_may_bind_low_ports_and_nothing_else(images: dict[str, Image]) -> None:
    value = os.getxattr(images["haproxy"].root / "usr/sbin/haproxy", "security.capability")
    header, permitted, inherited = struct.unpack_from("<III", value)
    assert header & 0xFF == EFFECTIVE
    assert permitted == 1 << CAP_NET_BIND_SERVICE
    assert inherited == 0


def test_only_haproxy_has_a_capability(images: dict[str, Image]) -> None:
    gifted = [
        entry.name
        for name in NAMES
        for entry in files(images[name].archive)
        if "SCHILY.xattr.security.capability" in entry.pax_headers
    ]
    assert gifted == ["usr/sbin/haproxy"]


def test_the_agent_checks_with_the_haproxy_that_will_run(images: dict[str, Image]) -> None:
    node, haproxy = versions(images["node"])["haproxy"], versions(images["haproxy"])["haproxy"]
    assert node == haproxy
    assert node.startswith("3.0.")


def test_the_node_has_keepalived_2_3_and_python_3_13(images: dict[str, Image]) -> None:
    installed = versions(images["node"])
    assert installed["keepalived"].split(":")[-1].startswith("2.3.")
    assert installed["python3"].startswith("3.13.")


def test_keepalived_finds_its_libraries(images: dict[str, Image]) -> None:
    """Perl's modules are cut out of the image; the library that SNMP links is not."""
    said = subprocess.run(
        ["/usr/sbin/chroot", str(images["node"].root), "/usr/sbin/keepalived", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Keepalived v2.3" in said.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_image_carries_no_caches_and_no_installer(images: dict[str, Image], name: str) -> None:
    leftovers = re.compile(
        r"^(root/\.cache/.+|tmp/.+|var/cache/apt/.*\.bin|var/cache/apt/archives/.*\.deb|var/lib/apt/lists/.*_Packages"
        r"|src/.+|build/.+|wheels/.+|usr(/local)?/bin/pip3?|.*/dist-packages/pip/.*|machine/.+|mnt/.+|etc/pip\.conf)$"
    )
    assert [entry.name for entry in files(images[name].archive) if leftovers.match(entry.name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_file_in_an_image_lends_its_owners_rights_beyond_debians_own(images: dict[str, Image], name: str) -> None:
    lending = {entry.name for entry in files(images[name].archive) if entry.isfile() and entry.mode & 0o4000}
    debian = {"chfn", "chsh", "gpasswd", "mount", "newgrp", "passwd", "su", "umount"}
    assert {Path(path).name for path in lending} <= debian


def test_haproxys_image_has_no_interpreter(images: dict[str, Image]) -> None:
    assert not list(images["haproxy"].root.glob("usr/bin/python3*"))
    assert not list(images["haproxy"].root.glob("usr/sbin/keepalived"))


def test_the_keeper_loads_nothing_but_the_standard_library_and_the_model(images: dict[str, Image]) -> None:
    code = (
        "import json, sys; import havip.keeper.app;"
        "print(json.dumps(sorted(n for n in sys.modules if n.partition('.')[0] not in sys.stdlib_module_names)))"
    )
    debians_own = {"__main__", "sitecustomize"}
    loaded = [name for name in json.loads(python_in(images["node"], code)) if name not in debians_own]
    assert "havip.keeper.app" in loaded
    assert [name for name in loaded if not re.match(r"havip($|\.keeper($|\.)|\.model($|\.))", name)] == []


def test_the_node_has_no_operator_in_it(images: dict[str, Image]) -> None:
    packages = next(images["node"].root.glob("usr/local/lib/python3.*/dist-packages"))
    assert {path.name for path in (packages / "havip").iterdir() if path.is_dir()} - {"__pycache__"} == {
        "agent",
        "keeper",
        "model",
    }
    assert not (packages / "kopf").exists()
    assert not (packages / "kubernetes").exists()


def test_the_agent_starts_without_a_file_of_the_checkout(images: dict[str, Image]) -> None:
    assert python_in(images["node"], "import havip.agent.app; print('loaded')").strip() == "loaded"


def test_the_operator_brings_the_definitions_of_its_version(images: dict[str, Image]) -> None:
    found = {
        entry.name for entry in files(images["operator"].archive) if entry.name.startswith("usr/share/havip/crds/")
    }
    assert {Path(name).stem for name in found if name.endswith(".yaml")} == {
        "havip.dev_backendpools",
        "havip.dev_havipclasses",
        "havip.dev_havipnodes",
        "havip.dev_havips",
    }


@pytest.mark.parametrize(("name", "most"), [("operator", 340), ("node", 180), ("haproxy", 110)])
def test_an_image_stays_small(images: dict[str, Image], name: str, most: int) -> None:
    """MiB; every node of a cluster pulls the latter two. 76 of the operator's are the SDKs of three clouds."""
    assert images[name].archive.stat().st_size / MIB < most
