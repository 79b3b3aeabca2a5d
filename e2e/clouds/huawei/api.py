"""The HTTP side: `/v1/{project}/ports` and `/v2.0/ports` over one store, `/v1/{project}/publicips` and `../subnets`.

Who calls must have signed, with a known access key and for the right project, and may do what was not denied.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from e2e.clouds.huawei.store import Guesses, Network, Refused, Store, Wire
from e2e.clouds.service import Answer, Request, Trouble

_PATH = re.compile(
    r"/(?:v1/(?P<project>[^/]+)/(?P<kind>ports|publicips|subnets)|v2\.0/(?P<native>ports))(?:/(?P<id>[^/]+))?(?:\.json)?"
)
_SIGNED = re.compile(r"SDK-HMAC-SHA256 Access=(?P<key>[^,]+), SignedHeaders=(?P<headers>[^,]+), Signature=[0-9a-f]{64}")
_FILTERS = frozenset({"name", "id", "network_id", "device_id", "device_owner", "status", "mac_address"})
MOST = 2000
"""Most things on a page."""
_ACTIONS = {
    ("ports", "GET", False): "vpc:ports:get",
    ("ports", "GET", True): "vpc:ports:get",
    ("ports", "POST", False): "vpc:ports:create",
    ("ports", "PUT", True): "vpc:ports:update",
    ("ports", "DELETE", True): "vpc:ports:delete",
    ("subnets", "GET", True): "vpc:subnets:get",
    ("publicips", "GET", False): "vpc:publicIps:list",
    ("publicips", "GET", True): "vpc:publicIps:get",
    ("publicips", "PUT", True): "vpc:publicIps:update",
}
"""Which permission a request needs, by kind, method and whether it names one thing."""


class HuaweiCloud:
    """One project. `keys`: access keys that are known, with the security token each must come with ("" = none).

    `store` is for whoever asks or prepares, under `lock`.
    """

    def __init__(
        self,
        project: str,
        networks: Iterable[Network],
        *,
        keys: Mapping[str, str],
        guesses: Guesses | None = None,
    ) -> None:
        self.project = project
        self.keys = dict(keys)
        self.guesses = guesses or Guesses()
        self.denied: set[str] = set()
        self.lock = threading.RLock()
        self.store = Store(project, {one.id: one for one in networks}, self.guesses)
        self._before: Store | None = None

    def save(self) -> Callable[[], None]:
        """Notes what is there while nobody writes; the answer puts it back, as often as it is called."""
        saved = copy.deepcopy((self.store, self._before))

        def restore() -> None:
            self.store, self._before = copy.deepcopy(saved)

        return restore

    def reads(self, request: Request) -> bool:
        return request.method == "GET"

    def answer(self, request: Request, trouble: Trouble | None) -> Answer:
        with self.lock:
            if trouble in (Trouble.THROTTLED, Trouble.THROTTLED_SILENTLY):
                return _throttled(told=trouble is Trouble.THROTTLED)
            if trouble is Trouble.UNAVAILABLE:
                return _gateway(503, "APIGW.0106", "The backend is unavailable.")
            return self._unauthenticated(request) or self._routed(request, trouble)

    def _unauthenticated(self, request: Request) -> Answer | None:
        signed = _SIGNED.fullmatch(request.headers.get("authorization", ""))
        if signed is None or "x-sdk-date" not in request.headers or "host" not in signed["headers"].split(";"):
            return _gateway(401, "APIGW.0301", "Incorrect IAM authentication information: not signed")
        key = signed["key"]
        if key not in self.keys:
            text = f"Incorrect IAM authentication information: get secretKey failed, ak:{key}, err:ak not exist"
            return _gateway(401, "APIGW.0301", text)
        if request.headers.get("x-security-token", "") != self.keys[key]:
            return _gateway(401, "APIGW.0301", "Incorrect IAM authentication information: decrypt token fail")
        return None

    def _routed(self, request: Request, trouble: Trouble | None) -> Answer:
        path = _PATH.fullmatch(request.path)
        kind = (path["kind"] or path["native"]) if path else ""
        action = _ACTIONS.get((kind, request.method, bool(path and path["id"])))
        if path is None or action is None:
            return _gateway(404, "APIGW.0101", "The API does not exist or has not been published.")
        if (path["project"] or request.headers.get("x-project-id")) != self.project:
            return _json(403, {"code": "VPC.0010", "message": "The project is not that of the credentials."})
        if action in self.denied:
            named = f"Policy doesn't allow {action} to be performed."
            text = named if self.guesses.names_action else "Access denied."
            return _json(403, {"error_code": "VPC.0010", "error_msg": text})
        neutron = bool(path["native"]) or (kind == "ports" and self.guesses.neutron_errors)
        try:
            return self._done(request, kind, path["id"] or "", trouble=trouble)
        except Refused as refused:
            return _refusal(refused, neutron=neutron)

    def _done(self, request: Request, kind: str, identity: str, *, trouble: Trouble | None) -> Answer:
        if request.method == "GET":
            store = self._before if trouble is Trouble.STALE and self._before is not None else self.store
            if kind == "subnets":
                return _json(200, {"subnet": store.subnet(identity)})
            return _ports(store, request, identity) if kind == "ports" else _eips(store, request, identity)
        before = copy.deepcopy(self.store)
        body = _read(request)
        if trouble is Trouble.OVERTAKEN:
            self._overtaken(request, kind, identity, body=body)
        answer = self._written(request, kind, identity, body=body)
        self._before = before
        return answer

    def _written(self, request: Request, kind: str, identity: str, *, body: Wire) -> Answer:
        if kind == "publicips":
            return _json(200, {"publicip": self.store.bind_eip(identity, body["publicip"].get("port_id") or "")})
        if request.method == "POST":
            return _json(200, {"port": self.store.create_port(body["port"])})
        if request.method == "PUT":
            return _json(200, {"port": self.store.update_port(identity, body["port"])})
        self.store.delete_port(identity)
        return Answer(204)

    def _overtaken(self, request: Request, kind: str, identity: str, *, body: Wire) -> None:
        """Somebody else is faster by a moment: takes the address, or changes the thing."""
        if request.method == "POST":
            self.store.add_port(body["port"]["network_id"], body["port"]["fixed_ips"], name="of-somebody-else")
        elif kind == "ports" and identity in self.store.ports:
            pairs = self.store.ports[identity]["allowed_address_pairs"]
            self.store.ports[identity]["allowed_address_pairs"] = [*pairs, {"ip_address": "10.99.99.99"}]
        elif kind == "publicips" and body["publicip"].get("port_id"):
            other = self.store.add_port(next(iter(self.store.networks)), [{"ip_address": "10.99.99.98"}])
            self.store.bind_eip(identity, other["id"])


def _ports(store: Store, request: Request, identity: str) -> Answer:
    if identity:
        return _json(200, {"port": store.port(identity)})
    fixed = request.query.get("fixed_ips", "")
    filters = {name: value for name, value in request.query.items() if name in _FILTERS}
    if unknown := request.query.keys() - _FILTERS - {"fixed_ips", "limit", "marker"}:
        raise Refused(400, "VPC.2500", "BadRequest", f"unknown filter {', '.join(sorted(unknown))}")
    found = [
        port
        for port in store.ports.values()
        if all(str(port.get(name, "")) == value for name, value in filters.items()) and _has(port, fixed)
    ]
    return _json(200, {"ports": _page(found, request)})


def _has(port: Wire, fixed: str) -> bool:
    name, _, value = fixed.partition("=")
    if name == "ip_address":
        wished = ipaddress.ip_address(value)
        return any(ipaddress.ip_address(one["ip_address"]) == wished for one in port["fixed_ips"])
    return not fixed or any(one["subnet_id"] == value for one in port["fixed_ips"])


def _eips(store: Store, request: Request, identity: str) -> Answer:
    if identity:
        return _json(200, {"publicip": store.eip(identity)})
    return _json(200, {"publicips": _page(list(store.eips.values()), request)})


def _page(found: list[Wire], request: Request) -> list[Wire]:
    text = request.query.get("limit", str(MOST))
    if not text.isdigit() or not 1 <= int(text) <= MOST:
        raise Refused(400, "VPC.2500", "BadRequest", f"limit must be 1 to {MOST}")
    found.sort(key=lambda one: str(one["id"]))
    marker = request.query.get("marker", "")
    return [one for one in found if str(one["id"]) > marker][: int(text)]


def _read(request: Request) -> Wire:
    if request.method == "DELETE":
        return {}
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refused(400, "VPC.0003", "BadRequest", "the body must be application/json")
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not all(isinstance(one, dict) for one in body.values()) or len(body) != 1:
        raise Refused(400, "VPC.0002", "HTTPBadRequest", "the body must be one JSON object")
    return body


def _refusal(refused: Refused, *, neutron: bool) -> Answer:
    if neutron:
        inner = {"type": refused.kind, "message": refused.message, "detail": ""}
        return _json(refused.status, {"NeutronError": inner})
    return _json(refused.status, {"code": refused.code, "message": refused.message})


def _throttled(*, told: bool) -> Answer:
    text = "The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute."
    answer = _gateway(429, "APIGW.0308", text)
    return Answer(429, answer.body, {**answer.headers, **({"Retry-After": "1"} if told else {})})


def _gateway(status: int, code: str, text: str) -> Answer:
    return _json(status, {"error_code": code, "error_msg": text, "request_id": "0f"})


def _json(status: int, body: Any) -> Answer:
    headers = {"Content-Type": "application/json", "X-Request-Id": "0f"}
    return Answer(status, json.dumps(body).encode(), headers)
