"""The balancer against a real haproxy: reload, membership at runtime, taken ports, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.agent import orders
from tests.agent.haproxy import real
from tests.agent.haproxy.cases import CASES, FOLDERS, GOLDEN
from tests.agent.haproxy.real import FAST, WEB, Haproxy, Orders, Server, answers, connected, echoes, eventually, to

from havip.agent.haproxy import runtime
from havip.agent.haproxy.balancing import Balancer, BalancerState
from havip.agent.haproxy.context import configure
from havip.agent.haproxy.render import render
from havip.model.paths import Folders
from havip.model.pool import RealServer
from havip.model.states import Algorithm

pytestmark = pytest.mark.binaries


@pytest.fixture
def haproxy(folders: Folders) -> Iterator[Haproxy]:
    with Haproxy(folders) as process:
        yield process


@pytest.fixture
def balancer(haproxy: Haproxy) -> Balancer:
    return Balancer(haproxy.folders, binary=real.binary())


def rounds(balancer: Balancer, ordered: Orders, count: int = 1) -> BalancerState:
    desired = ordered.desired()

    async def all_of_them() -> BalancerState:
        state = await balancer.round(desired)
        for _ in range(count - 1):
            state = await balancer.round(desired)
        return state

    return asyncio.run(all_of_them())


def worker(haproxy: Haproxy) -> runtime.Running:
    return asyncio.run(runtime.observe(haproxy.folders.haproxy_runtime_socket))


@pytest.mark.parametrize("name", CASES)
def test_the_binary_takes_every_golden_file(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "haproxy.cfg"
    copy.write_bytes((GOLDEN / f"{name}.cfg").read_bytes())  # also a binary that sees only /tmp finds it
    done = subprocess.run([real.binary(), "-c", "-f", str(copy)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_binary_refuses_a_file_that_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.cfg"
    wrong.write_text((GOLDEN / "one.cfg").read_text().replace("balance roundrobin", "balance nonsense"))
    done = subprocess.run([real.binary(), "-c", "-f", str(wrong)], capture_output=True, check=False)
    assert done.returncode != 0, "otherwise the test above proves nothing"


_labels = st.sampled_from(["a", "0", "x-1", "1--2", "global", "defaults", "a" * 63])
_paths = st.text("abcXYZ019._~!$&()*+,;=:@%/?-", max_size=60).map("/".__add__)
_addresses = st.one_of(st.integers(0, 250).map("10.0.3.{}".format), st.integers(0, 0xFFFF).map("fd00::{:x}".format))
_checks = st.builds(
    lambda path, interval, rise, fall: {
        "httpPath": path,
        "intervalMilliseconds": interval,
        "timeoutMilliseconds": interval,
        "rise": rise,
        "fall": fall,
    },
    st.none() | _paths,
    st.integers(100, 3_600_000),
    st.integers(1, 100),
    st.integers(1, 100),
)
_servers = st.lists(st.tuples(_addresses, st.integers(1, 65_535), st.integers(0, 256)), max_size=5)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.tuples(_labels, st.sampled_from(["b", "a.b", "a.b.c", "listen", "9"])),
        st.tuples(_servers, st.none() | _checks, st.sampled_from(list(Algorithm))),
        max_size=6,
    ),
    _labels,
)
def test_whatever_the_typed_path_lets_through_the_binary_takes(
    tmp_path: Path,
    pools: dict[tuple[str, str], tuple[list[tuple[str, int, int]], orders.Body | None, Algorithm]],
    name: str,
) -> None:
    bodies, instances = [], []
    for number, ((namespace, pool), (servers, check, algorithm)) in enumerate(pools.items()):
        key = f"{namespace}/{pool}"
        bodies.append(orders.pool(key, servers=servers, healthCheck=check, algorithm=algorithm.value))
        front_end = orders.frontend(name, 1 + number, key)
        address = [f"10.88.0.{number + 1}"]
        instances.append(orders.instance(key, vrid=number + 1, addresses=address, frontends=[front_end]))
    desired = orders.desired(orders.spec(*instances), *bodies)
    assert (desired.left_out, desired.pool_errors) == ((), {})
    file = tmp_path / "haproxy.cfg"
    file.write_text(render(configure(desired)[0], FOLDERS))
    done = subprocess.run([real.binary(), "-c", "-f", str(file)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_health_socket_answers_200_from_the_first_moment(haproxy: Haproxy) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(10)
        one.connect(str(haproxy.folders.haproxy_health_socket))
        one.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in one.recv(100).split(b"\r\n")[0]
    assert Path(haproxy.folders.haproxy_health_socket).stat().st_mode & 0o777 == 0o660
    assert Path(haproxy.folders.haproxy_runtime_socket).stat().st_mode & 0o777 == 0o660


def test_a_front_end_answers_after_one_round_and_says_so(haproxy: Haproxy, balancer: Balancer) -> None:
    with Server("a") as a, Server("b") as b:
        port = real.free_port()
        state = rounds(balancer, Orders({"http": port}, to(a, b)))
        assert {answers(port), answers(port)} == {"a", "b"}
        (report,) = state.pools
        assert (report.pool, report.digest, report.healthy, report.total) == (WEB, "one", 2, 2)
        assert (state.error, state.left_out, state.generation) == ("", (), 1)
        assert state.version.startswith(("2.", "3."))


def test_a_reload_cuts_no_connection(haproxy: Haproxy, balancer: Balancer) -> None:
    with Server("a") as a:
        first, second = real.free_port(), real.free_port()
        ordered = Orders({"http": first}, to(a))
        rounds(balancer, ordered)
        with connected(first) as (one, _):
            before = worker(haproxy).pid
            rounds(balancer, replace(ordered, ports={"http": first, "more": second}))
            assert worker(haproxy).pid != before
            assert echoes(one)
        assert (answers(first), answers(second)) == ("a", "a")


def test_servers_come_and_go_without_a_reload(haproxy: Haproxy, balancer: Balancer) -> None:
    with Server("a") as a, Server("b") as b, Server("c") as c:
        port = real.free_port()
        ordered = Orders({"http": port}, to(a, b))
        rounds(balancer, ordered)
        before = worker(haproxy).pid
        state = rounds(balancer, replace(ordered, servers=to(b, c), digest="two"))
        assert worker(haproxy).pid == before
        assert {answers(port) for _ in range(4)} == {"b", "c"}
        assert state.pools[0].digest == "two"
        assert f"127.0.0.1:{c.port}" in Path(haproxy.folders.haproxy_config_file).read_text(), "for its next start"


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_checked_server_can_be_added_at_runtime_under_every_algorithm(
    haproxy: Haproxy, balancer: Balancer, algorithm: Algorithm
) -> None:
    with Server("a") as a, Server("b") as b:
        port = real.free_port()
        ordered = Orders({"http": port}, to(a), algorithm, FAST)
        rounds(balancer, ordered)
        before = worker(haproxy).pid
        rounds(balancer, replace(ordered, servers=to(b)))
        assert worker(haproxy).pid == before
        eventually(lambda: answers(port) == "b")
        b.__exit__()
        eventually(lambda: rounds(balancer, replace(ordered, servers=to(b))).pools[0].healthy == 0)


def test_a_server_that_leaves_keeps_its_connections_and_goes_with_the_last_one(
    haproxy: Haproxy, balancer: Balancer
) -> None:
    with Server("a") as a, Server("b") as b:
        port = real.free_port()
        ordered = Orders({"http": port}, to(a))
        rounds(balancer, ordered)
        with connected(port) as (one, name):
            assert name == "a"
            state = rounds(balancer, replace(ordered, servers=to(b)))
            assert answers(port) == "b"
            assert echoes(one)
            assert (state.pools[0].total, state.left_out) == (1, ())

        def only_b_is_left() -> bool:
            rounds(balancer, replace(ordered, servers=to(b)))
            return set(worker(haproxy).servers["shop.web"]) == {f"127.0.0.1_{b.port}"}

        eventually(only_b_is_left)


def test_a_weight_of_zero_takes_new_connections_away_and_keeps_the_open_ones(
    haproxy: Haproxy, balancer: Balancer
) -> None:
    with Server("a") as a, Server("b") as b:
        port = real.free_port()
        ordered = Orders({"http": port}, to(a))
        rounds(balancer, ordered)
        with connected(port) as (one, _):
            rounds(balancer, replace(ordered, servers=(*to(a, weight=0), *to(b))))
            assert {answers(port) for _ in range(4)} == {"b"}
            assert echoes(one)


def test_a_dead_server_is_still_known_to_be_dead_after_a_reload(haproxy: Haproxy, balancer: Balancer) -> None:
    with Server("a") as a, Server("b") as dead:
        port = real.free_port()
        slow = replace(FAST, interval_ms=60_000, rise=2)
        ordered = Orders({"http": port}, to(a, dead), check=FAST)
        rounds(balancer, ordered)
        dead.__exit__()
        eventually(lambda: rounds(balancer, ordered).pools[0].healthy == 1)
        after = rounds(balancer, replace(ordered, check=slow, ports={"http": port, "more": real.free_port()}))
        assert after.pools[0].healthy == 1, "a worker that began with every server up would say 2"


def test_a_pool_without_servers_holds_its_port_and_closes(haproxy: Haproxy, balancer: Balancer) -> None:
    port = real.free_port()
    state = rounds(balancer, Orders({"http": port}))
    assert answers(port) == ""
    assert (state.pools[0].healthy, state.pools[0].total, state.left_out) == (0, 0, ())


def test_an_http_check_asks_for_exactly_the_path_and_believes_the_answer(haproxy: Haproxy, balancer: Balancer) -> None:
    asked: list[bytes] = []
    path = "/healthz?from=$x;a,b(1)%20*&c=~!@:+"

    def serve(server: socket.socket, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as good, socket.create_server(("127.0.0.1", 0)) as bad:
        for server, answer in ((good, b"200 OK"), (bad, b"503 Service Unavailable")):
            threading.Thread(target=serve, args=(server, answer), daemon=True).start()
        servers = tuple(RealServer(real.LOOPBACK, one.getsockname()[1]) for one in (good, bad))
        ordered = Orders({"http": real.free_port()}, servers, check=replace(FAST, http_path=path))
        eventually(lambda: rounds(balancer, ordered).pools[0].healthy == 1)
        for one in (good, bad):
            one.shutdown(socket.SHUT_RDWR)
    line, *headers = asked[0].decode().split("\r\n")
    assert line == f"GET {path} HTTP/1.1"
    assert "host: havip" in [header.lower() for header in headers]


def test_ipv6_front_ends_and_servers_are_bound_and_reached(haproxy: Haproxy, balancer: Balancer) -> None:
    loopback = ipaddress.ip_address("::1")
    with Server("six", family=socket.AF_INET6) as six:
        port = real.free_port()
        ordered = Orders({"http": port}, (RealServer(loopback, six.port),), address=loopback)
        assert rounds(balancer, ordered).error == ""
        with socket.create_connection(("::1", port), timeout=10) as one:
            assert one.recv(100) == b"six\n"
        before = worker(haproxy).pid
        with Server("more", family=socket.AF_INET6) as more:
            rounds(balancer, replace(ordered, servers=(RealServer(loopback, more.port),)))
            with socket.create_connection(("::1", port), timeout=10) as one:
                assert one.recv(100) == b"more\n"
        assert worker(haproxy).pid == before


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_front_end_whose_port_is_taken_is_left_out_and_comes_when_it_is_free(
    haproxy: Haproxy, folders: Folders, address: str
) -> None:
    now = 0.0
    balancer = Balancer(folders, binary=real.binary(), clock=lambda: now)
    with Server("a") as a:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as other:
            taken, free = other.getsockname()[1], real.free_port()
            ordered = Orders({"http": taken, "more": free}, to(a))
            state = rounds(balancer, ordered, 2)
            (left_out,) = state.left_out
            assert (left_out.havip, left_out.reason) == ("shop/web", "PortTaken")
            assert left_out.field == "frontends[http].port"
            assert f"port {taken} is taken on this node" in left_out.message
            assert answers(free) == "a"
            assert state.pools[0].digest == "one"
        now += 10
        assert rounds(balancer, ordered).left_out == ()
        assert answers(taken) == "a"


def test_our_own_haproxy_is_not_taken_for_somebody_else(haproxy: Haproxy, folders: Folders) -> None:
    with Server("a") as a:
        first, second = real.free_port(), real.free_port()
        ordered = Orders({"http": first}, to(a))
        rounds(Balancer(folders, binary=real.binary()), ordered)
        restarted = Balancer(folders, binary=real.binary())
        state = rounds(restarted, replace(ordered, ports={"http": first, "more": second}))
        assert state.left_out == ()
        assert (answers(first), answers(second)) == ("a", "a")


def test_an_agent_that_was_restarted_changes_nothing(haproxy: Haproxy, folders: Folders) -> None:
    with Server("a") as a:
        ordered = Orders({"http": real.free_port()}, to(a))
        before = rounds(Balancer(folders, binary=real.binary()), ordered), worker(haproxy).pid
        restarted = Balancer(folders, binary=real.binary())
        assert (rounds(restarted, ordered), worker(haproxy).pid) == before
        assert restarted.reloads == 0


def test_a_haproxy_that_was_restarted_goes_on_with_the_last_file(haproxy: Haproxy, balancer: Balancer) -> None:
    with Server("a") as a:
        port = real.free_port()
        ordered = Orders({"http": port}, to(a))
        rounds(balancer, ordered)
        haproxy.stop()
        assert "does not answer" in rounds(balancer, ordered).error
        haproxy.start()
        assert answers(port) == "a"
        assert rounds(balancer, ordered).error == ""


def test_a_port_that_was_taken_while_haproxy_was_away_does_not_keep_it_from_starting(
    haproxy: Haproxy, balancer: Balancer
) -> None:
    with Server("a") as a:
        lost, kept = real.free_port(), real.free_port()
        ordered = Orders({"http": lost, "more": kept}, to(a))
        rounds(balancer, ordered)
        haproxy.stop()
        with real.listening_on(lost):
            assert [item.reason for item in rounds(balancer, ordered).left_out] == ["PortTaken"]
            haproxy.start()
            assert answers(kept) == "a"


def test_a_port_that_looked_free_and_was_not_is_found_by_the_reload(
    haproxy: Haproxy, balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second gate: /proc/net shows nothing, as for a socket that is bound and does not listen yet."""
    with Server("a") as a, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        taken, first, second = bound.getsockname()[1], real.free_port(), real.free_port()
        rounds(balancer, Orders({"a": first}, to(a)))
        ordered = Orders({"a": first, "b": taken, "c": second}, to(a), generation=2)
        state = rounds(balancer, ordered)
        assert [(item.reason, item.field) for item in state.left_out] == [("Refused", "frontends[b].port")]
        assert (answers(first), answers(second)) == ("a", "a")
        assert state.generation == 2
        assert f":{taken} " not in Path(haproxy.folders.haproxy_config_file).read_text()


def _picky(folder: Path, word: str) -> str:
    """A haproxy binary that refuses every file with `word` in it, for whatever reason."""
    script = folder / "haproxy"
    script.write_text(
        f"#!/bin/sh\nif grep -q '{word}' \"$3\"; then\n"
        f"  echo '[ALERT]    (1) : config : cannot stand {word}'; exit 1\nfi\nexec {real.binary()} \"$@\"\n"
    )
    script.chmod(0o755)
    return str(script)


def test_a_front_end_that_the_binary_refuses_is_left_out_alone(haproxy: Haproxy, folders: Folders, root: Path) -> None:
    with Server("a") as a:
        bad, good = real.free_port(), real.free_port()
        balancer = Balancer(folders, binary=_picky(root, f":{bad} "))
        state = rounds(balancer, Orders({"bad": bad, "good": good}, to(a)), 2)
        (left_out,) = state.left_out
        assert (left_out.reason, left_out.field) == ("Refused", "frontends[bad].port")
        assert "cannot stand" in left_out.message
        assert answers(good) == "a"


def test_a_pool_that_the_binary_refuses_keeps_its_last_good_form(
    haproxy: Haproxy, folders: Folders, root: Path
) -> None:
    with Server("a") as a, Server("b") as b:
        port = real.free_port()
        balancer = Balancer(folders, binary=_picky(root, "leastconn"))
        ordered = Orders({"http": port}, to(a))
        rounds(balancer, ordered)
        worse = replace(ordered, servers=to(b), algorithm=Algorithm.LEAST_CONNECTIONS, digest="two")
        state = rounds(balancer, worse, 2)
        assert answers(port) == "a"
        assert state.pools[0].digest == "one", "what is applied is what is told"
        assert [(item.reason, item.field) for item in state.left_out] == [("Refused", "frontends[http].poolRef")]


def test_a_binary_that_refuses_everything_changes_nothing(haproxy: Haproxy, folders: Folders, root: Path) -> None:
    with Server("a") as a:
        port = real.free_port()
        rounds(Balancer(folders, binary=real.binary()), Orders({"http": port}, to(a)))
        before = Path(folders.haproxy_config_file).read_text()
        balancer = Balancer(folders, binary=_picky(root, "frontend"))
        state = rounds(balancer, Orders({"http": port, "more": real.free_port()}, to(a), generation=2))
        assert re.search("refuses every configuration.*cannot stand frontend", state.error)
        assert Path(folders.haproxy_config_file).read_text() == before
        assert answers(port) == "a"


def test_what_failed_as_a_whole_is_not_tried_every_second(haproxy: Haproxy, folders: Folders, root: Path) -> None:
    now = 0.0
    picky = Path(_picky(root, "frontend"))
    balancer = Balancer(folders, binary=str(picky), clock=lambda: now)
    ordered = Orders({"http": real.free_port()})
    first = rounds(balancer, ordered)
    picky.unlink()
    picky.symlink_to(real.binary())
    assert rounds(balancer, ordered).error == first.error
    now += 61
    assert rounds(balancer, ordered).error == ""


def test_a_binary_that_is_not_there_changes_nothing_and_is_named(haproxy: Haproxy, folders: Folders) -> None:
    balancer = Balancer(folders, binary="/nowhere/haproxy")
    before = Path(folders.haproxy_config_file).read_text()
    state = rounds(balancer, Orders({"http": real.free_port()}))
    assert state.error == "/nowhere/haproxy cannot be run: No such file or directory"
    assert Path(folders.haproxy_config_file).read_text() == before


def test_haproxy_logs_nothing_that_alarms_when_all_is_well(haproxy: Haproxy, balancer: Balancer) -> None:
    with Server("a") as a:
        rounds(balancer, Orders({"http": real.free_port()}, to(a)))
    assert "[ALERT]" not in haproxy.log()
    assert "state file" not in haproxy.log()
