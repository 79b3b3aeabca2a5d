"""`havip render`: the files a node would have, by the code of the node, from files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from havip.cli.main import main
from havip.model.election import read_election

ORDERS: dict[str, Any] = {
    "generation": 7,
    "spec": {
        "className": "edge",
        "nodeName": "n1",
        "interface": {"name": "eth0"},
        "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
        "redundant": True,
        "instances": [
            {
                "havip": "shop/web",
                "virtualRouterId": 51,
                "priority": 209,
                "addresses": ["10.88.0.200"],
                "sourceAddress": "10.88.0.11",
                "peers": [{"nodeName": "n2", "address": "10.88.0.12"}],
                "frontends": [{"name": "http", "port": 80, "protocol": "TCP", "pool": "shop/web"}],
            }
        ],
    },
}
POOL: dict[str, Any] = {
    "version": 1,
    "pool": "shop/web",
    "engine": "HAProxy",
    "algorithm": "RoundRobin",
    "healthCheck": None,
    "servers": [{"address": "10.1.0.5", "port": 8080}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.json").write_text(json.dumps(ORDERS))
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "shop.web.json").write_text(json.dumps(POOL))
    return tmp_path


def _only(what: str, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["render", "-f", str(path), "--only", what]) == 0
    return capsys.readouterr().out


def test_the_election_document_is_one_that_the_keeper_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    election, left_out = read_election(json.loads(_only("election.json", folder / "node.json", capsys)))
    assert not left_out
    assert (election.generation, election.interface) == (7, "eth0")
    assert election.instances[0].tracked


def test_keepalived_and_haproxy_get_what_they_are_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keepalived = _only("keepalived.conf", folder / "node.json", capsys)
    assert "virtual_router_id 51" in keepalived
    assert "10.88.0.200/32 dev eth0" in keepalived
    haproxy = _only("haproxy.cfg", folder / "node.json", capsys)
    assert "10.88.0.200:80" in haproxy
    assert "10.1.0.5:8080" in haproxy


def test_all_three_are_printed_under_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "-f", str(folder / "node.json")]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("# ---- ")] == [
        "# ---- election.json",
        "# ---- haproxy.cfg",
        "# ---- keepalived.conf",
    ]


def test_it_takes_an_object_as_kubectl_gives_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = {"kind": "HAVipNode", "metadata": {"name": "edge.n1", "generation": 3}, "spec": ORDERS["spec"]}
    path = folder / "node.yaml"
    path.write_text(yaml.safe_dump(body))
    assert json.loads(_only("election.json", path, capsys))["generation"] == 3


def test_what_a_node_would_leave_out_is_named_and_the_rest_rendered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = copy.deepcopy(ORDERS)
    second = copy.deepcopy(ORDERS["spec"]["instances"][0])
    second.update(havip="shop/second", virtualRouterId=300)
    lonely = copy.deepcopy(ORDERS["spec"]["instances"][0])
    lonely.update(havip="shop/lonely", virtualRouterId=52, addresses=["10.88.0.201"], peers=[], frontends=[])
    orders["spec"]["instances"] += [second, lonely]
    (folder / "node.json").write_text(json.dumps(orders))
    assert main(["render", "-f", str(folder / "node.json"), "--only", "keepalived.conf"]) == 1
    captured = capsys.readouterr()
    assert "virtual_router_id 51" in captured.out
    assert "virtual_router_id 52" not in captured.out
    assert "left out: shop/second (Invalid): instances[1].virtualRouterId: must be" in captured.err
    assert "left out: shop/lonely (NoPeers): peers: has no peers" in captured.err


def test_two_havips_with_one_address_are_one_to_every_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = copy.deepcopy(ORDERS)
    twin = copy.deepcopy(ORDERS["spec"]["instances"][0])
    twin.update(havip="shop/younger", virtualRouterId=52)
    twin["frontends"][0]["port"] = 81
    orders["spec"]["instances"].append(twin)
    (folder / "node.json").write_text(json.dumps(orders))
    assert main(["render", "-f", str(folder / "node.json"), "--only", "haproxy.cfg"]) == 1
    captured = capsys.readouterr()
    assert "10.88.0.200:80" in captured.out
    assert "10.88.0.200:81" not in captured.out
    assert "left out: shop/younger (Invalid): instances[1].addresses: 10.88.0.200 is already held by" in captured.err


def test_an_interface_that_only_the_node_knows_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = copy.deepcopy(ORDERS)
    orders["spec"]["interface"] = {"fromDefaultRoute": {}}
    path = folder / "node.json"
    path.write_text(json.dumps(orders))
    assert main(["render", "-f", str(path)]) == 2
    assert "give --interface" in capsys.readouterr().err
    assert main(["render", "-f", str(path), "--interface", "ens3", "--only", "keepalived.conf"]) == 0
    assert "dev ens3" in capsys.readouterr().out
    assert main(["render", "-f", str(path), "--interface", "a b"]) == 2
    assert capsys.readouterr().err.startswith("havip: --interface: must be")


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[1]",
    "no spec": b"{}",
    "a spec that is a list": b'{"spec": []}',
    "an unknown field": b'{"spec": {"evil": 1}}',
    "bytes": b"\xff\xfe\x00",
    "YAML that builds objects": b"!!python/object/apply:os.system ['id']",
    "deep nesting": b"[" * 5_000,
    "a generation of text": json.dumps({**ORDERS, "generation": "7"}).encode(),
    "metadata of another kind": json.dumps({"metadata": [], "spec": ORDERS["spec"]}).encode(),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_order_is_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "node.json"
    path.write_bytes(BROKEN[case])
    assert main(["render", "-f", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"havip: {path}: ")
    assert captured.err.count("\n") == 1


def test_a_pool_that_is_not_understood_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pools" / "shop.web.json").write_text('{"version": 2}')
    assert main(["render", "-f", str(folder / "node.json"), "--only", "haproxy.cfg"]) == 1
    assert "left out: shop/web (PoolInvalid): frontends[http].poolRef: pool shop/web is not understood" in (
        capsys.readouterr().err
    )
