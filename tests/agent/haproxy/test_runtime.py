"""What haproxy says on its sockets, read."""

from __future__ import annotations

from havip.agent.haproxy import master, runtime
from havip.agent.haproxy.check import first_alert

INFO = "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 10602\ndescription: havip-abc\nTainted: 0\n"
HEADER = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    " srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state"
    " bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr"
    " srv_agent_addr srv_agent_port"
)


def row(name: str, *, op: int, admin: int = 0, weight: int = 1) -> str:
    return f"5 shop.web 1 {name} 10.0.0.1 {op} {admin} {weight} 1 1 8 2 0 6 0 0 0 - 80 - 0 0 - - 0"


def test_a_worker_is_known_by_the_description_of_its_configuration() -> None:
    text = f"{INFO}\n1\n{HEADER}\n{row('a', op=2)}\n\n"
    running = runtime.parse(text)
    assert (running.digest, running.version, running.pid) == ("havip-abc", "2.6.12-1+deb12u4", 10602)
    assert running.servers == {"shop.web": {"a": runtime.ServerState(up=True, maintenance=False, weight=1)}}


def test_the_servers_come_as_haproxy_reads_them_from_a_state_file() -> None:
    running = runtime.parse(f"{INFO}\n1\n{HEADER}\n{row('a', op=2)}\n\n")
    assert running.servers_text.splitlines() == ["1", HEADER, row("a", op=2)]


def test_a_server_is_up_when_it_runs_and_is_not_in_maintenance() -> None:
    rows = [row("up", op=2), row("down", op=0), row("starting", op=1), row("leaving", op=2, admin=1)]
    servers = runtime.parse_servers("\n".join(["1", HEADER, *rows]))["shop.web"]
    assert {name: (state.up, state.maintenance) for name, state in servers.items()} == {
        "up": (True, False),
        "down": (False, False),
        "starting": (True, False),
        "leaving": (False, True),
    }


def test_an_answer_without_servers_or_sense_has_none() -> None:
    assert runtime.parse("").servers == {}
    assert runtime.parse("Unknown command").digest == ""
    assert runtime.parse_servers(f"1\n{HEADER}\n") == {}


def test_the_front_ends_that_are_bound_are_those_with_an_address_in_their_name() -> None:
    text = "# pxname,svname,\nhealth,FRONTEND,,\nshop.web:http:10.88.0.200:80,FRONTEND,,\nshop.web,BACKEND,,\n"
    assert runtime.parse_frontends(text) == {"shop.web:http:10.88.0.200:80"}


def test_commands_are_joined_into_lines_that_haproxy_can_take() -> None:
    lines = runtime.lines(["x" * 100] * 1000)
    assert sum(line.count("x") for line in lines) == 100_000
    assert max(map(len, lines)) < 16_000
    assert len(lines) < 20


def test_failed_reloads_are_counted_where_the_version_tells() -> None:
    header = "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
    assert master.failures(header + "28906           master          2 [failed: 1]   0d00h10m34s     2.6.12\n") == 1
    assert master.failures(header + "28906           master          0 [failed: 0]   0d00h10m34s     2.6.12\n") == 0
    assert master.failures(header + "28906           master          3               0d00h10m34s     3.0.1\n") == 0


def test_the_reason_of_a_refusal_is_the_first_alert() -> None:
    output = (
        "[NOTICE]   (1) : haproxy version is 2.6\n"
        "[WARNING]  (1) : config : something\n"
        "[ALERT]    (1) : config : parsing [x.cfg:12] : unknown keyword 'nonsense' in 'backend' section\n"
        "[ALERT]    (1) : config : Error(s) found in configuration file : x.cfg\n"
    )
    assert first_alert(output) == "config : parsing [x.cfg:12] : unknown keyword 'nonsense' in 'backend' section"
    assert first_alert("all is well") == ""


def test_haproxy_three_blames_the_front_end_that_could_not_be_bound() -> None:
    answer = (
        "Success=0\n--\n[NOTICE]   (1) : haproxy version is 3.0.11\n"
        "[ALERT]    (1) : Binding [/x.cfg:38] for frontend shop.web:b:127.0.0.1:51305: protocol tcpv4:"
        " cannot bind socket (Address already in use) for [127.0.0.1:51305].\n"
        "[ALERT]    (1) : [/usr/sbin/haproxy.main()] Some protocols failed to start their listeners! Exiting.\n"
    )
    assert master.blamed(answer) == {"shop.web:b:127.0.0.1:51305"}
    assert master.blamed("Success=1\n--\n[NOTICE] : Loading success.\n") == frozenset()
