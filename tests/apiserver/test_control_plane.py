"""The tests' own API server: what is missing is named, what ends leaves nothing, what restarts remembers."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.cluster.control_plane import CHECKOUT, ControlPlane, KubectlError, MissingBinary
from e2e.cluster.daemon import Daemon, Died


def test_a_missing_binary_is_named_with_what_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAVIP_CACHE", str(tmp_path))
    with pytest.raises(MissingBinary, match=rf"etcd is not in {tmp_path}/bin: run `make binaries`"), ControlPlane():
        pass


def test_a_program_that_ends_by_itself_shows_the_end_of_its_log(tmp_path: Path) -> None:
    daemon = Daemon("wrong", ["ls", tmp_path / "nothing-here"], log=tmp_path / "log")
    daemon.wait()
    with pytest.raises(Died, match=r"(?s)wrong ended with 2; .*No such file or directory"):
        daemon.check()


STARTER = """
import pathlib, signal, sys, time
from e2e.cluster.daemon import Daemon
started = Daemon("sleeper", ["sleep", "600"], log=pathlib.Path(sys.argv[1]))
while pathlib.Path(f"/proc/{started.pid}/comm").read_text() != "sleep\\n":
    time.sleep(0.01)  # before it is what it is to be, the kernel has not been told yet
print(started.pid, flush=True)
signal.pause()
"""


def test_a_killed_test_run_takes_its_programs_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        ends = os.pidfd_open(pid)
        run.kill()
    ready, _, _ = select.select([ends], [], [], 10)
    os.close(ends)
    assert ready, f"the program {pid} still runs"


@pytest.mark.apiserver
def test_after_the_end_nothing_is_left() -> None:
    with ControlPlane() as control:
        daemons = [control.etcd, control.api_server]
        pids = [daemon.pid for daemon in daemons if daemon is not None]
        assert len(pids) == 2
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert not control.folder.exists()


@pytest.mark.apiserver
def test_a_restarted_api_server_and_etcd_still_know_their_objects() -> None:
    with ControlPlane() as control:
        control.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        control.stop_api_server()
        with pytest.raises(KubectlError, match="was refused"):
            control.kubectl("get", "configmap", "kept")
        control.stop_etcd()
        control.start_etcd()
        control.start_api_server()
        assert control.get("configmap", "kept")["data"] == {"a": "b"}


@pytest.mark.apiserver
def test_a_user_is_who_the_certificate_says(api_server: ControlPlane) -> None:
    api_server.kubeconfig("jane", groups=["shop:people"])
    who = api_server.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo}", user="jane")
    assert '"username":"jane"' in who
    assert '"shop:people"' in who
    with pytest.raises(KubectlError, match='User "jane" cannot list resource "secrets"'):
        api_server.kubectl("get", "secrets", user="jane")


@pytest.mark.apiserver
def test_keys_are_readable_by_their_owner_only(api_server: ControlPlane) -> None:
    keys = list(api_server.folder.glob("*.key"))
    assert keys
    assert [key for key in keys if key.stat().st_mode & 0o077] == []
