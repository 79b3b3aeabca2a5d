"""What the API server takes and what it refuses, as one table. Every refusal names the field and what is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from e2e.cluster.control_plane import ControlPlane
from tests.apiserver.asking import Asking, Refusal
from tests.apiserver.samples import Body, having, sample, without

pytestmark = pytest.mark.apiserver

VIP, POOL, CLASS, NODE = "HAVip", "BackendPool", "HAVipClass", "HAVipNode"
ONE_ADDRESS = "must be one IPv4 or IPv6 address such as 192.0.2.10 or 2001:db8::10"
A_NODE_CAN_HOLD = "must be a unicast address that a node can hold"
ONE_OF_EACH = "must be one IPv4 or one IPv6 address, or one of each"
A_NETWORK = "must be a network such as 192.0.2.0/24 or 2001:db8::/64, without host bits"
UNKNOWN = 'strict decoding error: unknown field "{}"'


@dataclass(frozen=True, slots=True)
class Accepted:
    """`change` maps paths to new values; None removes what is there."""

    what: str
    kind: str
    change: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """As `Accepted`; the refusal blames `field` (below spec) and says `accepted`."""

    what: str
    kind: str
    change: dict[str, Any]
    field: str
    accepted: str


def changed(kind: str, change: dict[str, Any]) -> Body:
    body = sample(kind)
    for path, value in change.items():
        body = without(body, f"spec.{path}") if value is None else having(body, f"spec.{path}", value)
    return body


def front_end(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "port": port, "poolRef": {"name": "web"}}


CLOUDS: dict[str, Body] = {
    "Azure": {
        "subscriptionId": "00000000-0000-0000-0000-000000000000",
        "resourceGroup": "cluster",
        "loadBalancer": {"name": "vips"},
    },
    "Huawei": {"region": "eu-west-101", "projectId": "p1", "networkId": "n1", "subnetId": "s1"},
    "Tencent": {"region": "ap-guangzhou", "vpcId": "vpc-1", "subnetId": "subnet-1"},
}
LARGEST_CLASS = {
    "nodes": {
        "selector": {"matchLabels": {f"{'p' * 60}.example.org/{'n' * 60}{n:03}": "v" * 63 for n in range(16)}},
        "tolerations": [{"key": f"k{n}", "value": "v" * 63, "effect": "NoExecute"} for n in range(16)],
    },
    "addressRanges": [f"2001:db8:1111:2222:3333:4444:5555:{n:04x}/128" for n in range(32)],
    "namespaces": {"names": [f"{'n' * 61}{n:02}" for n in range(64)]},
    "reservedPorts": list(range(1, 65)),
}


def largest_node() -> dict[str, Any]:
    """A node with as many VIPs as there are virtual router ids, each as large as it can be."""
    [instance] = sample(NODE)["spec"]["instances"]
    full = {
        **instance,
        "peers": [
            {"nodeName": f"{'n' * 60}{n}", "address": f"2001:db8:1111:2222:3333:4444:5555:{n}"} for n in range(4)
        ],
        "preferred": [f"{'n' * 60}{n}" for n in range(5)],
        "frontends": [
            {"name": f"{'f' * 60}{n:02}", "port": 8000 + n, "protocol": "TCP", "pool": f"{'s' * 60}/{'p' * 60}"}
            for n in range(16)
        ],
    }
    return {"instances": [{**full, "havip": f"{'s' * 60}/{'v' * 60}{n:03}"} for n in range(255)]}


def server(last: int, port: int = 80) -> dict[str, Any]:
    return {"address": f"10.{last // 65536}.{last // 256 % 256}.{last % 256}", "port": port}


ACCEPTED = [
    Accepted("everything set", VIP, {}),
    Accepted("an IPv4 address alone", VIP, {"addresses": ["10.88.0.200"]}),
    Accepted("an IPv6 address alone", VIP, {"addresses": ["fd00::200"]}),
    Accepted("IPv6 before IPv4", VIP, {"addresses": ["fd00::200", "10.88.0.200"]}),
    Accepted("an IPv6 address in upper case", VIP, {"addresses": ["FD00:0:0::AB"]}),
    Accepted("no class", VIP, {"className": None}),
    Accepted("no nodes", VIP, {"nodes": None}),
    Accepted("one candidate", VIP, {"nodes.candidates": 1}),
    Accepted(
        "five candidates and five preferred",
        VIP,
        {"nodes": {"candidates": 5, "preferred": ["a", "b", "c", "d", "e.example.org"]}},
    ),
    Accepted("an empty list of preferred nodes", VIP, {"nodes.preferred": []}),
    Accepted("failback Immediate", VIP, {"failback": "Immediate", "failbackDelaySeconds": None}),
    Accepted("a failback delay of a day", VIP, {"failbackDelaySeconds": 86_400}),
    Accepted("no front ends", VIP, {"frontends": None}),
    Accepted("an empty list of front ends", VIP, {"frontends": []}),
    Accepted("sixteen front ends", VIP, {"frontends": [front_end(f"f{n}", 8000 + n) for n in range(16)]}),
    Accepted("the highest port", VIP, {"frontends.0.port": 65_535}),
    Accepted("everything set", POOL, {}),
    Accepted("members alone", POOL, {"engine": None, "algorithm": None, "healthCheck": None}),
    Accepted("a Service", POOL, {"members": {"service": {"name": "web", "port": 8080}}}),
    Accepted("256 static members", POOL, {"members": {"static": [server(n) for n in range(256)]}}),
    Accepted("no static members", POOL, {"members": {"static": []}}),
    Accepted("one address with two ports", POOL, {"members": {"static": [server(1, 80), server(1, 81)]}}),
    Accepted("a member that drains", POOL, {"members.static.0.weight": 0}),
    Accepted("algorithm Source", POOL, {"algorithm": "Source"}),
    Accepted("a timeout as long as the interval", POOL, {"healthCheck.timeoutMilliseconds": 1000}),
    Accepted("an HTTP check without a path", POOL, {"healthCheck.http": {}}),
    Accepted("a path with a query", POOL, {"healthCheck.http.path": "/a/b?c=d&e=%20"}),
    Accepted("everything set", CLASS, {}),
    Accepted("only what is required", CLASS, {"nodes": None, "election": None, "reservedPorts": None}),
    Accepted("the default route's interface", CLASS, {"interface": {"fromDefaultRoute": {}}}),
    Accepted("the interface of the addresses' subnet", CLASS, {"interface": {"fromAddressSubnet": {}}}),
    Accepted("an interface with a VLAN", CLASS, {"interface": {"name": "bond0.100"}}),
    Accepted("every namespace", CLASS, {"namespaces": {"all": {}}}),
    Accepted("namespaces by label", CLASS, {"namespaces": {"selector": {"matchLabels": {"team": "shop"}}}}),
    Accepted("a single address as a range", CLASS, {"addressRanges": ["192.0.2.1/32", "2001:db8::1/128"]}),
    Accepted("one virtual router id", CLASS, {"election.vrrp.virtualRouterIds": {"first": 7, "last": 7}}),
    Accepted("only the first virtual router id", CLASS, {"election.vrrp.virtualRouterIds": {"first": 200}}),
    Accepted("no reserved ports", CLASS, {"reservedPorts": []}),
    Accepted("every taint tolerated", CLASS, {"nodes.tolerations": [{"operator": "Exists"}]}),
    Accepted("everything set", NODE, {}),
    Accepted("everything at its largest", CLASS, LARGEST_CLASS),
    Accepted("nothing to do", NODE, {"instances": []}),
    Accepted("everything at its largest", NODE, largest_node()),
]

REFUSED = [
    Refused("an address that is no address", VIP, {"addresses": ["web"]}, "addresses[0]", ONE_ADDRESS),
    Refused("an empty address", VIP, {"addresses": [""]}, "addresses[0]", "at least 2 chars"),
    Refused("an octet above 255", VIP, {"addresses": ["999.1.1.1"]}, "addresses[0]", ONE_ADDRESS),
    Refused("three octets", VIP, {"addresses": ["10.0.0"]}, "addresses[0]", ONE_ADDRESS),
    Refused("five octets", VIP, {"addresses": ["10.0.0.1.2"]}, "addresses[0]", ONE_ADDRESS),
    Refused("an octal octet", VIP, {"addresses": ["010.0.0.1"]}, "addresses[0]", "no leading zeros"),
    Refused("a hexadecimal number", VIP, {"addresses": ["0x0a000001"]}, "addresses[0]", ONE_ADDRESS),
    Refused("a decimal number", VIP, {"addresses": ["167772161"]}, "addresses[0]", ONE_ADDRESS),
    Refused("full-width digits", VIP, {"addresses": ["１０.0.0.1"]}, "addresses[0]", ONE_ADDRESS),
    Refused("a prefix length", VIP, {"addresses": ["10.0.0.5/24"]}, "addresses[0]", "no prefix length"),
    Refused("a zone", VIP, {"addresses": ["fd00::1%eth0"]}, "addresses[0]", "no zone"),
    Refused("an IPv4-mapped address", VIP, {"addresses": ["::ffff:10.0.0.5"]}, "addresses[0]", "no IPv4-mapped form"),
    Refused("a trailing newline", VIP, {"addresses": ["10.0.0.5\n"]}, "addresses[0]", ONE_ADDRESS),
    Refused("a leading space", VIP, {"addresses": [" 10.0.0.5"]}, "addresses[0]", ONE_ADDRESS),
    Refused(
        "text for keepalived.conf", VIP, {"addresses": ['10.0.0.5\n } notify "/bin/sh"']}, "addresses[0]", ONE_ADDRESS
    ),
    Refused("a loopback address", VIP, {"addresses": ["127.0.0.1"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("the IPv6 loopback address", VIP, {"addresses": ["::1"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("the unspecified address", VIP, {"addresses": ["0.0.0.0"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("the unspecified IPv6 address", VIP, {"addresses": ["::"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("an address of 0.0.0.0/8", VIP, {"addresses": ["0.1.2.3"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("the broadcast address", VIP, {"addresses": ["255.255.255.255"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("a reserved address", VIP, {"addresses": ["240.0.0.1"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("a multicast address", VIP, {"addresses": ["224.0.0.18"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("an IPv6 multicast address", VIP, {"addresses": ["ff02::1"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("a link-local address", VIP, {"addresses": ["169.254.1.1"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused("an IPv6 link-local address", VIP, {"addresses": ["fe80::1"]}, "addresses[0]", A_NODE_CAN_HOLD),
    Refused(
        "Azure's platform address",
        VIP,
        {"addresses": ["168.63.129.16"]},
        "addresses[0]",
        "must not be an address that clouds answer themselves",
    ),
    Refused(
        "an IPv6 metadata address",
        VIP,
        {"addresses": ["fd00:ec2::254"]},
        "addresses[0]",
        "must not be an address that clouds answer themselves",
    ),
    Refused("no address", VIP, {"addresses": []}, "addresses", "at least 1 items"),
    Refused("addresses left out", VIP, {"addresses": None}, "addresses", "Required value"),
    Refused("an address instead of a list", VIP, {"addresses": "10.0.0.1"}, "addresses", "must be of type array"),
    Refused("an address that is a number", VIP, {"addresses": [167_772_161]}, "addresses[0]", "must be of type string"),
    Refused("two IPv4 addresses", VIP, {"addresses": ["10.0.0.1", "10.0.0.2"]}, "addresses", ONE_OF_EACH),
    Refused("two IPv6 addresses", VIP, {"addresses": ["fd00::1", "fd00::2"]}, "addresses", ONE_OF_EACH),
    Refused("one address twice", VIP, {"addresses": ["10.0.0.1", "10.0.0.1"]}, "addresses", ONE_OF_EACH),
    Refused(
        "three addresses",
        VIP,
        {"addresses": ["10.0.0.1", "fd00::1", "10.0.0.2"]},
        "addresses",
        "must have at most 2 items",
    ),
    Refused(
        "ten thousand addresses",
        VIP,
        {"addresses": [server(n)["address"] for n in range(10_000)]},
        "addresses",
        "must have at most 2 items",
    ),
    Refused("an upper-case class", VIP, {"className": "Edge"}, "className", "at most 40 lower-case letters"),
    Refused("an empty class", VIP, {"className": ""}, "className", "at least 1 chars"),
    Refused("a class of 41 characters", VIP, {"className": "e" * 41}, "className", "may not be more than 40"),
    Refused("no candidates", VIP, {"nodes.candidates": 0}, "nodes.candidates", "greater than or equal to 1"),
    Refused("six candidates", VIP, {"nodes.candidates": 6}, "nodes.candidates", "less than or equal to 5"),
    Refused("candidates as text", VIP, {"nodes.candidates": "3"}, "nodes.candidates", "must be of type integer"),
    Refused("half a candidate", VIP, {"nodes.candidates": 2.5}, "nodes.candidates", "must be of type integer"),
    Refused("six preferred nodes", VIP, {"nodes.preferred": list("abcdef")}, "nodes.preferred", "at most 5 items"),
    Refused(
        "ten thousand preferred nodes",
        VIP,
        {"nodes.preferred": [f"n{n}" for n in range(10_000)]},
        "nodes.preferred",
        "at most 5 items",
    ),
    Refused("a node preferred twice", VIP, {"nodes.preferred": ["a", "b", "a"]}, "nodes.preferred", "each node once"),
    Refused(
        "a node's name with a slash", VIP, {"nodes.preferred": ["a/b"]}, "nodes.preferred[0]", "must be a node's name"
    ),
    Refused(
        "a node's name with two dots", VIP, {"nodes.preferred": ["a..b"]}, "nodes.preferred[0]", "must be a node's name"
    ),
    Refused(
        "failback in lower case",
        VIP,
        {"failback": "never"},
        "failback",
        'supported values: "Never", "Immediate", "Delayed"',
    ),
    Refused(
        "failback Delayed without a delay",
        VIP,
        {"failbackDelaySeconds": None},
        "failbackDelaySeconds",
        "required when failback is Delayed: 1 to 86400 seconds",
    ),
    Refused(
        "a delay without failback Delayed",
        VIP,
        {"failback": "Never"},
        "failbackDelaySeconds",
        "must be absent unless failback is Delayed",
    ),
    Refused(
        "a delay of nothing", VIP, {"failbackDelaySeconds": 0}, "failbackDelaySeconds", "greater than or equal to 1"
    ),
    Refused(
        "a delay of more than a day",
        VIP,
        {"failbackDelaySeconds": 86_401},
        "failbackDelaySeconds",
        "less than or equal to 86400",
    ),
    Refused(
        "front ends with one name",
        VIP,
        {"frontends": [front_end("a", 80), front_end("a", 81)]},
        "frontends[1]",
        "Duplicate value",
    ),
    Refused(
        "front ends with one port",
        VIP,
        {"frontends": [front_end("a", 80), front_end("b", 80)]},
        "frontends",
        "each port of a protocol once",
    ),
    Refused(
        "seventeen front ends",
        VIP,
        {"frontends": [front_end(f"f{n}", 8000 + n) for n in range(17)]},
        "frontends",
        "must have at most 16 items",
    ),
    Refused(
        "ten thousand front ends",
        VIP,
        {"frontends": [front_end(f"f{n}", 8000 + n) for n in range(10_000)]},
        "frontends",
        "must have at most 16 items",
    ),
    Refused("a front end without a name", VIP, {"frontends.0.name": None}, "frontends[0].name", "Required value"),
    Refused(
        "a front end's name with a dot", VIP, {"frontends.0.name": "a.b"}, "frontends[0].name", "must be a DNS label"
    ),
    Refused("port 0", VIP, {"frontends.0.port": 0}, "frontends[0].port", "greater than or equal to 1"),
    Refused("port 65536", VIP, {"frontends.0.port": 65_536}, "frontends[0].port", "less than or equal to 65535"),
    Refused("a port by name", VIP, {"frontends.0.port": "http"}, "frontends[0].port", "must be of type integer"),
    Refused("UDP", VIP, {"frontends.0.protocol": "UDP"}, "frontends[0].protocol", 'supported values: "TCP"'),
    Refused(
        "a pool in another namespace",
        VIP,
        {"frontends.0.poolRef.name": "shop/web"},
        "frontends[0].poolRef.name",
        "must be an object's name",
    ),
    Refused("no pool", VIP, {"frontends.0.poolRef": None}, "frontends[0].poolRef", "Required value"),
    Refused(
        "both kinds of members",
        POOL,
        {"members.service": {"name": "web", "port": 80}},
        "members",
        "exactly one of static or service",
    ),
    Refused("no kind of members", POOL, {"members": {}}, "members", "exactly one of static or service"),
    Refused("members left out", POOL, {"members": None}, "members", "Required value"),
    Refused(
        "a member by host name",
        POOL,
        {"members.static.0.address": "web.example.org"},
        "members.static[0].address",
        ONE_ADDRESS,
    ),
    Refused(
        "a member on loopback",
        POOL,
        {"members.static.0.address": "127.0.0.1"},
        "members.static[0].address",
        A_NODE_CAN_HOLD,
    ),
    Refused(
        "the metadata service as a member",
        POOL,
        {"members.static.0.address": "169.254.169.254"},
        "members.static[0].address",
        A_NODE_CAN_HOLD,
    ),
    Refused(
        "a member without a port", POOL, {"members.static.0.port": None}, "members.static[0].port", "Required value"
    ),
    Refused(
        "a member's port 0", POOL, {"members.static.0.port": 0}, "members.static[0].port", "greater than or equal to 1"
    ),
    Refused("a member twice", POOL, {"members.static": [server(1), server(1)]}, "members.static[1]", "Duplicate value"),
    Refused(
        "257 static members",
        POOL,
        {"members.static": [server(n) for n in range(257)]},
        "members.static",
        "must have at most 256 items",
    ),
    Refused(
        "ten thousand static members",
        POOL,
        {"members.static": [server(n) for n in range(10_000)]},
        "members.static",
        "must have at most 256 items",
    ),
    Refused(
        "a weight below 0",
        POOL,
        {"members.static.0.weight": -1},
        "members.static[0].weight",
        "greater than or equal to 0",
    ),
    Refused(
        "a weight of 257",
        POOL,
        {"members.static.0.weight": 257},
        "members.static[0].weight",
        "less than or equal to 256",
    ),
    Refused(
        "a Service's port by name",
        POOL,
        {"members": {"service": {"name": "web", "port": "http"}}},
        "members.service.port",
        "must be of type integer",
    ),
    Refused(
        "a Service in another namespace",
        POOL,
        {"members": {"service": {"name": "shop/web", "port": 80}}},
        "members.service.name",
        "must be a DNS label",
    ),
    Refused("an engine that does not work yet", POOL, {"engine": "LVS"}, "engine", 'supported values: "HAProxy"'),
    Refused(
        "an unknown algorithm",
        POOL,
        {"algorithm": "Random"},
        "algorithm",
        'supported values: "RoundRobin", "LeastConnections", "Source"',
    ),
    Refused(
        "a timeout longer than the interval",
        POOL,
        {"healthCheck.timeoutMilliseconds": 1001},
        "healthCheck.timeoutMilliseconds",
        "must not be greater than intervalMilliseconds",
    ),
    Refused(
        "an interval of 99 ms",
        POOL,
        {"healthCheck.intervalMilliseconds": 99},
        "healthCheck.intervalMilliseconds",
        "greater than or equal to 100",
    ),
    Refused("rise 0", POOL, {"healthCheck.rise": 0}, "healthCheck.rise", "greater than or equal to 1"),
    Refused("fall 101", POOL, {"healthCheck.fall": 101}, "healthCheck.fall", "less than or equal to 100"),
    Refused(
        "a path without its slash",
        POOL,
        {"healthCheck.http.path": "healthz"},
        "healthCheck.http.path",
        "must be a path such as /healthz",
    ),
    Refused(
        "a path with a space",
        POOL,
        {"healthCheck.http.path": "/health z"},
        "healthCheck.http.path",
        "no space, quote or backslash",
    ),
    Refused(
        "a path with a carriage return",
        POOL,
        {"healthCheck.http.path": "/\r\nHost: x"},
        "healthCheck.http.path",
        "no space, quote or backslash",
    ),
    Refused(
        "a path of 1025 characters",
        POOL,
        {"healthCheck.http.path": "/" + "a" * 1024},
        "healthCheck.http.path",
        "may not be more than 1024",
    ),
    Refused(
        "a provider that does not exist",
        CLASS,
        {"provider": "Amazon"},
        "provider",
        'supported values: "None", "Azure", "Huawei", "Tencent"',
    ),
    *(
        Refused(
            f"provider {name} without its block",
            CLASS,
            {"provider": name},
            name.lower(),
            f"required with provider {name}",
        )
        for name in CLOUDS
    ),
    *(
        Refused(
            f"the block of {name} with another provider",
            CLASS,
            {name.lower(): block},
            name.lower(),
            f"must be absent unless provider is {name}",
        )
        for name, block in CLOUDS.items()
    ),
    Refused(
        "credentials of no cloud",
        CLASS,
        {"credentialsSecret": "of-the-cloud"},
        "credentialsSecret",
        "must be absent with provider None",
    ),
    Refused(
        "a subscription that is no id",
        CLASS,
        {"provider": "Azure", "azure": {**CLOUDS["Azure"], "subscriptionId": "x" * 36}},
        "azure.subscriptionId",
        "must be an id such as 00000000-0000-0000-0000-000000000000",
    ),
    Refused(
        "an endpoint with a path",
        CLASS,
        {"provider": "Tencent", "tencent": {**CLOUDS["Tencent"], "endpoint": "https://vpc.example.com/v2"}},
        "tencent.endpoint",
        "without path",
    ),
    Refused(
        "a probe more often than Azure takes",
        CLASS,
        {"provider": "Azure", "azure": {**CLOUDS["Azure"], "probe": {"intervalSeconds": 4}}},
        "azure.probe.intervalSeconds",
        "greater than or equal to 5",
    ),
    Refused("a public address with a space", VIP, {"publicIp": "eip 1"}, "publicIp", "by the cloud's own id"),
    Refused("no provider", CLASS, {"provider": None}, "provider", "Required value"),
    Refused(
        "no interface",
        CLASS,
        {"interface": {}},
        "interface",
        "exactly one of name, fromDefaultRoute or fromAddressSubnet",
    ),
    Refused(
        "two ways to an interface",
        CLASS,
        {"interface.fromDefaultRoute": {}},
        "interface",
        "exactly one of name, fromDefaultRoute or fromAddressSubnet",
    ),
    Refused("the loopback interface", CLASS, {"interface.name": "lo"}, "interface.name", "not lo"),
    Refused(
        "an interface with a command",
        CLASS,
        {"interface.name": "eth0; reboot"},
        "interface.name",
        "must be a network interface's name such as eth0",
    ),
    Refused(
        "an interface with a path",
        CLASS,
        {"interface.name": "../x"},
        "interface.name",
        "must be a network interface's name such as eth0",
    ),
    Refused(
        "an interface of 16 characters",
        CLASS,
        {"interface.name": "e" * 16},
        "interface.name",
        "may not be more than 15",
    ),
    Refused("no address ranges", CLASS, {"addressRanges": []}, "addressRanges", "at least 1 items"),
    Refused(
        "33 address ranges",
        CLASS,
        {"addressRanges": [f"10.0.{n}.0/24" for n in range(33)]},
        "addressRanges",
        "must have at most 32 items",
    ),
    Refused(
        "ten thousand address ranges",
        CLASS,
        {"addressRanges": [f"10.{n // 256}.{n % 256}.0/24" for n in range(10_000)]},
        "addressRanges",
        "must have at most 32 items",
    ),
    Refused("a range with host bits", CLASS, {"addressRanges": ["192.0.2.5/24"]}, "addressRanges[0]", A_NETWORK),
    Refused("a range without a prefix length", CLASS, {"addressRanges": ["192.0.2.5"]}, "addressRanges[0]", A_NETWORK),
    Refused("a prefix length of 33", CLASS, {"addressRanges": ["192.0.2.0/33"]}, "addressRanges[0]", A_NETWORK),
    Refused("a negative prefix length", CLASS, {"addressRanges": ["192.0.2.0/-1"]}, "addressRanges[0]", A_NETWORK),
    Refused("a netmask", CLASS, {"addressRanges": ["192.0.2.0/255.255.255.0"]}, "addressRanges[0]", A_NETWORK),
    Refused(
        "every address there is",
        CLASS,
        {"addressRanges": ["0.0.0.0/0"]},
        "addressRanges[0]",
        "must not be the whole address space",
    ),
    Refused(
        "a range twice",
        CLASS,
        {"addressRanges": ["192.0.2.0/24", "192.0.2.0/24"]},
        "addressRanges[1]",
        "Duplicate value",
    ),
    Refused("nobody allowed", CLASS, {"namespaces": {}}, "namespaces", "exactly one of names, selector or all"),
    Refused("namespaces left out", CLASS, {"namespaces": None}, "namespaces", "Required value"),
    Refused(
        "named and all namespaces", CLASS, {"namespaces.all": {}}, "namespaces", "exactly one of names, selector or all"
    ),
    Refused("a list of no namespaces", CLASS, {"namespaces.names": []}, "namespaces.names", "at least 1 items"),
    Refused(
        "a wildcard for namespaces", CLASS, {"namespaces.names": ["*"]}, "namespaces.names[0]", "must be a DNS label"
    ),
    Refused(
        "a selector of nothing",
        CLASS,
        {"namespaces": {"selector": {"matchLabels": {}}}},
        "namespaces.selector.matchLabels",
        "at least 1 properties",
    ),
    Refused(
        "a bad label key",
        CLASS,
        {"nodes.selector.matchLabels": {"a b": "c"}},
        "nodes.selector.matchLabels",
        "must be a label key such as example.com/edge",
    ),
    Refused(
        "a bad label value",
        CLASS,
        {"nodes.selector.matchLabels": {"a": "b c"}},
        "nodes.selector.matchLabels[a]",
        "must be a label's value",
    ),
    Refused(
        "seventeen labels",
        CLASS,
        {"nodes.selector.matchLabels": {f"l{n}": "x" for n in range(17)}},
        "nodes.selector.matchLabels",
        "must have at most 16 items",
    ),
    Refused(
        "a toleration of a value that exists",
        CLASS,
        {"nodes.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        "nodes.tolerations[0].value",
        "must be absent when operator is Exists",
    ),
    Refused(
        "a toleration without a key",
        CLASS,
        {"nodes.tolerations": [{"value": "b"}]},
        "nodes.tolerations[0].key",
        "required when operator is Equal",
    ),
    Refused(
        "an unknown taint effect",
        CLASS,
        {"nodes.tolerations.0.effect": "Never"},
        "nodes.tolerations[0].effect",
        'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ),
    Refused(
        "an advert interval of 9 ms",
        CLASS,
        {"election.vrrp.advertIntervalMilliseconds": 9},
        "election.vrrp.advertIntervalMilliseconds",
        "greater than or equal to 10",
    ),
    Refused(
        "an advert interval above VRRP's",
        CLASS,
        {"election.vrrp.advertIntervalMilliseconds": 40_960},
        "election.vrrp.advertIntervalMilliseconds",
        "less than or equal to 40950",
    ),
    Refused(
        "an advert interval between VRRP's steps",
        CLASS,
        {"election.vrrp.advertIntervalMilliseconds": 105},
        "election.vrrp.advertIntervalMilliseconds",
        "multiple of 10",
    ),
    Refused(
        "an advert interval with its unit",
        CLASS,
        {"election.vrrp.advertIntervalMilliseconds": "100ms"},
        "election.vrrp.advertIntervalMilliseconds",
        "must be of type integer",
    ),
    Refused(
        "one missed advert",
        CLASS,
        {"election.vrrp.missedAdverts": 1},
        "election.vrrp.missedAdverts",
        "greater than or equal to 2",
    ),
    Refused(
        "101 missed adverts",
        CLASS,
        {"election.vrrp.missedAdverts": 101},
        "election.vrrp.missedAdverts",
        "less than or equal to 100",
    ),
    Refused(
        "virtual router id 0",
        CLASS,
        {"election.vrrp.virtualRouterIds.first": 0},
        "election.vrrp.virtualRouterIds.first",
        "greater than or equal to 1",
    ),
    Refused(
        "virtual router id 256",
        CLASS,
        {"election.vrrp.virtualRouterIds.last": 256},
        "election.vrrp.virtualRouterIds.last",
        "less than or equal to 255",
    ),
    Refused(
        "virtual router ids backwards",
        CLASS,
        {"election.vrrp.virtualRouterIds": {"first": 9, "last": 8}},
        "election.vrrp.virtualRouterIds.first",
        "must not be greater than last",
    ),
    Refused(
        "a settle time below 0",
        CLASS,
        {"election.vrrp.settleSeconds": -1},
        "election.vrrp.settleSeconds",
        "greater than or equal to 0",
    ),
    Refused("a reserved port 0", CLASS, {"reservedPorts": [0]}, "reservedPorts[0]", "greater than or equal to 1"),
    Refused("a reserved port twice", CLASS, {"reservedPorts": [22, 22]}, "reservedPorts[1]", "Duplicate value"),
    Refused(
        "ten thousand reserved ports",
        CLASS,
        {"reservedPorts": list(range(1, 10_001))},
        "reservedPorts",
        "must have at most 64 items",
    ),
    Refused(
        "an instance without a namespace", NODE, {"instances.0.havip": "web"}, "instances[0].havip", "should match"
    ),
    Refused(
        "a priority outside the budget",
        NODE,
        {"instances.0.priority": 255},
        "instances[0].priority",
        "less than or equal to 209",
    ),
    Refused(
        "five peers",
        NODE,
        {"instances.0.peers": [{"nodeName": f"n{n}", "address": "10.0.0.9"} for n in range(5)]},
        "instances[0].peers",
        "must have at most 4 items",
    ),
    Refused(
        "256 instances",
        NODE,
        {"instances": [{**sample(NODE)["spec"]["instances"][0], "havip": f"shop/v{n}"} for n in range(256)]},
        "instances",
        "must have at most 255 items",
    ),
]

UNKNOWN_FIELDS = [
    (VIP, "spec.adresses"),
    (VIP, "spec.verbatim"),
    (VIP, "spec.nodes.prefered"),
    (VIP, "spec.frontends.0.poolRef.namespace"),
    (POOL, "spec.extraConfig"),
    (POOL, "spec.healthCheck.script"),
    (POOL, "spec.members.pods"),
    (CLASS, "spec.amazon"),
    (CLASS, "spec.credentials"),
    (CLASS, "spec.election.lease"),
    (NODE, "spec.instances.0.virtualRouterID"),
]


@pytest.fixture(scope="module")
def ask(api_server: ControlPlane) -> Iterator[Asking]:
    api_server.kubectl("create", "namespace", "accept-and-reject")
    asking = Asking(api_server, "accept-and-reject")
    yield asking
    asking.close()


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: f"{case.kind}: {case.what}")
def test_is_accepted(ask: Asking, case: Accepted) -> None:
    answer = ask.create(changed(case.kind, case.change))
    assert isinstance(answer, dict), answer


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.kind}: {case.what}")
def test_is_refused_naming_the_field_and_what_is_accepted(ask: Asking, case: Refused) -> None:
    answer = ask.create(changed(case.kind, case.change))
    assert isinstance(answer, Refusal), "it was accepted"
    assert answer.code == 422
    assert f"spec.{case.field}" in answer.fields
    assert f"spec.{case.field}: " in answer.message
    assert case.accepted in answer.message


@pytest.mark.parametrize(("kind", "path"), UNKNOWN_FIELDS, ids=lambda value: str(value))
def test_an_unknown_field_is_refused_by_name(ask: Asking, kind: str, path: str) -> None:
    answer = ask.create(having(sample(kind), path, "x"))
    assert isinstance(answer, Refusal), "it was accepted"
    shown = path.replace(".0", "[0]")
    assert UNKNOWN.format(shown) in answer.message


@pytest.mark.parametrize(
    ("kind", "name", "accepted"),
    [
        (VIP, "v" * 64, "metadata.name must be at most 63 characters"),
        (POOL, "p" * 64, "metadata.name must be at most 63 characters"),
        (CLASS, "c" * 41, "metadata.name must be at most 40 lower-case letters"),
        (CLASS, "edge.west", "metadata.name must be at most 40 lower-case letters"),
        (NODE, "edge.n2", "metadata.name must be <className>.<nodeName>"),
    ],
)
def test_a_name_that_others_cannot_be_made_from_is_refused(ask: Asking, kind: str, name: str, accepted: str) -> None:
    answer = ask.create(sample(kind, name=name))
    assert isinstance(answer, Refusal), "it was accepted"
    assert accepted in answer.message


@pytest.mark.parametrize(("kind", "name"), [(VIP, "v" * 63), (VIP, "web.eu"), (POOL, "p" * 63), (CLASS, "c" * 40)])
def test_the_longest_names_are_accepted(ask: Asking, kind: str, name: str) -> None:
    assert isinstance(ask.create(sample(kind, name=name)), dict)


UPDATES_REFUSED = [
    Refused("another class", VIP, {"className": "other"}, "className", "className is immutable once set"),
    Refused("the class removed", VIP, {"className": None}, "className", "className is immutable once set"),
    Refused(
        "another address",
        VIP,
        {"addresses": ["192.0.2.201", "2001:db8::200"]},
        "addresses",
        "addresses is immutable; create a new object instead",
    ),
    Refused(
        "one address fewer",
        VIP,
        {"addresses": ["192.0.2.200"]},
        "addresses",
        "addresses is immutable; create a new object instead",
    ),
    Refused("addresses shrunk to none", VIP, {"addresses": []}, "addresses", "at least 1 items"),
    Refused("address ranges shrunk to none", CLASS, {"addressRanges": []}, "addressRanges", "at least 1 items"),
    Refused("namespaces shrunk to none", CLASS, {"namespaces.names": []}, "namespaces.names", "at least 1 items"),
    Refused("another class for a node", NODE, {"className": "other"}, "className", "className is immutable"),
    Refused("another node", NODE, {"nodeName": "n9"}, "nodeName", "nodeName is immutable"),
]
UPDATES_ACCEPTED = [
    Accepted("front ends shrunk to none", VIP, {"frontends": []}),
    Accepted("another order of nodes", VIP, {"nodes.preferred": ["n9", "n1"]}),
    Accepted("failback Never", VIP, {"failback": "Never", "failbackDelaySeconds": None}),
    Accepted("static members shrunk to none", POOL, {"members.static": []}),
    Accepted("a Service instead of static members", POOL, {"members": {"service": {"name": "web", "port": 80}}}),
    Accepted("no health check of its own", POOL, {"healthCheck": None}),
    Accepted("other address ranges", CLASS, {"addressRanges": ["198.51.100.0/24"]}),
    Accepted("instances shrunk to none", NODE, {"instances": []}),
]


@pytest.fixture(scope="module")
def stored(api_server: ControlPlane) -> Iterator[Asking]:
    """One object of every kind, as the samples say, in a namespace of its own."""
    api_server.kubectl("create", "namespace", "updates")
    asking = Asking(api_server, "updates")
    for kind in (VIP, POOL, NODE, CLASS):
        answer = asking.create(sample(kind), keep=True)
        assert isinstance(answer, dict), answer
    yield asking
    asking.close()
    api_server.kubectl("delete", "havipclass", "edge")


@pytest.mark.parametrize("case", UPDATES_REFUSED, ids=lambda case: f"{case.kind}: {case.what}")
def test_an_update_is_refused_naming_the_field_and_what_is_accepted(stored: Asking, case: Refused) -> None:
    answer = stored.replace(changed(case.kind, case.change))
    assert isinstance(answer, Refusal), "it was accepted"
    assert answer.code == 422
    assert f"spec.{case.field}" in answer.fields
    assert case.accepted in answer.message


@pytest.mark.parametrize("case", UPDATES_ACCEPTED, ids=lambda case: f"{case.kind}: {case.what}")
def test_an_update_is_accepted(stored: Asking, case: Accepted) -> None:
    answer = stored.replace(changed(case.kind, case.change))
    assert isinstance(answer, dict), answer


def test_a_class_may_be_named_later_only_as_the_one_in_use(ask: Asking) -> None:
    body = without(sample(VIP, name="classless"), "spec.className")
    assert isinstance(ask.create(body, keep=True), dict)
    named = {"kind": VIP, "metadata": {"name": "classless"}}
    in_use = ask.update({**named, "status": {"className": "edge"}}, subresource="/status", keep=True)
    assert isinstance(in_use, dict), in_use

    other = ask.update({**named, "spec": {"className": "other"}})
    assert isinstance(other, Refusal), "it was accepted"
    assert "spec.className is immutable: a class is in use already, status.className says which" in other.message

    same = ask.update({**named, "spec": {"className": "edge"}})
    assert isinstance(same, dict), same
