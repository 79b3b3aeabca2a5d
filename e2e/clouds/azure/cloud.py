"""The resource manager: paths, tokens, permissions, preconditions, operations; then each resource's own rules."""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from e2e.clouds.azure import balancers, interfaces, refusal, view
from e2e.clouds.azure.guesses import Guesses
from e2e.clouds.azure.refusal import JSON, Refused, Script
from e2e.clouds.azure.store import Json, Store, children, properties, reference, references
from e2e.clouds.service import Answer, Request, Trouble

API_VERSION = "2026-03-01"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = "rg1"
LOCATION = "westeurope"
_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/Microsoft\.Network"
    r"/(?P<kind>\w+)(/(?P<name>[^/]+))?(/(?P<inner>\w+)/(?P<child>[^/]+))?(?P<health>/health)?/?",
    re.IGNORECASE,
)
_OPERATION = re.compile(r".*/locations/[^/]+/(?P<what>operations|operationResults)/(?P<id>[^/]+)", re.IGNORECASE)
_KINDS = {
    name.lower(): name
    for name in ("loadBalancers", "networkInterfaces", "publicIPAddresses", "networkSecurityGroups", "virtualNetworks")
}
Health = Callable[[str, int], bool]
"""Whether a node's address answers a probe of a port."""


@dataclass(slots=True)
class _Operation:
    left: int
    ending: Json
    result: Json | None = None


class AzureCloud:
    """One subscription with resource groups. Everything may be asked from any thread.

    `tokens`: those that are taken. `polls`: how often an operation says that it is in progress. `page`: most items of
    a list's page. `lag`: seconds that a throttled answer asks for.
    """

    def __init__(
        self,
        *,
        tokens: Iterable[str] = ("a-token",),
        guesses: Guesses | None = None,
        polls: int = 0,
        page: int = 100,
        lag: int = 1,
    ) -> None:
        self.guesses = guesses or Guesses()
        self.tokens = set(tokens)
        self.denied: set[str] = set()
        self.polls = polls
        self.page = page
        self.lag = lag
        self._endpoint = ""
        self.health: Health = lambda address, port: True
        self._groups = {GROUP}
        self._store = Store()
        self._operations: dict[str, _Operation] = {}
        self._numbers = itertools.count(1)
        self._scripts: list[Script] = []
        self._lock = threading.RLock()

    # -- for whoever sets the scene ---------------------------------------------------------------------------------

    def save(self) -> Callable[[], None]:
        """Notes what is there while nobody writes; the answer puts it back, as often as it is called."""
        return self._store.save()

    def id(self, kind: str, name: str, *, group: str = GROUP) -> str:
        """A resource's id. `name` may go on to a child: `v/subnets/s`."""
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{kind}/{name}"

    def add_subnet(self, network: str, name: str, prefix: str, *, group: str = GROUP, security_group: str = "") -> str:
        inside: Json = {"addressPrefix": prefix}
        if security_group:
            inside["networkSecurityGroup"] = {"id": security_group}
        return self.add(self.id("virtualNetworks", f"{network}/subnets/{name}", group=group), {"properties": inside})

    def add_interface(
        self, name: str, address: str, subnet: str, *, group: str = GROUP, extra: Json | None = None
    ) -> str:
        """A node's. `extra` goes over its properties."""
        config = {
            "privateIPAddress": address,
            "privateIPAllocationMethod": "Dynamic",
            "privateIPAddressVersion": "IPv4",
            "primary": True,
            "subnet": {"id": subnet},
        }
        inside: Json = {
            "enableIPForwarding": False,
            "allowPort25Out": True,
            "macAddress": f"00-0D-3A-00-00-{next(self._numbers):02X}",
            "primary": True,
            "virtualMachine": {"id": f"/subscriptions/{SUBSCRIPTION}/x/{name}"},
            "ipConfigurations": [{"name": "ipconfig1", "properties": config}],
            **(extra or {}),
        }
        return self.add(self.id("networkInterfaces", name, group=group), {"kind": "Regular", "properties": inside})

    def add_balancer(self, name: str, *, sku: str = "Standard", group: str = GROUP, inside: Json | None = None) -> str:
        body = balancers.kept(self.guesses, {"sku": {"name": sku}, "properties": copy.deepcopy(inside or {})})
        return self.add(self.id("loadBalancers", name, group=group), body)

    def add_public_address(self, name: str, address: str, *, sku: str = "Standard", group: str = GROUP) -> str:
        inside = {"ipAddress": address, "publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
        body: Json = {"sku": {"name": sku}, "zones": ["1", "2", "3"], "properties": inside}
        return self.add(self.id("publicIPAddresses", name, group=group), body)

    def add_security_group(self, name: str, rules: Iterable[Json] = (), *, group: str = GROUP) -> str:
        """`rules`: properties with a name beside them; direction Inbound is added."""
        wire = [
            {
                "name": one["name"],
                "properties": {"direction": "Inbound", **{k: v for k, v in one.items() if k != "name"}},
            }
            for one in rules
        ]
        return self.add(self.id("networkSecurityGroups", name, group=group), {"properties": {"securityRules": wire}})

    def add(self, resource: str, body: Json) -> str:
        """Anything, as it is; a location is added."""
        with self._lock:
            self._groups.add(resource.split("/")[4])
            self._store.put(resource, {"location": LOCATION, **copy.deepcopy(body)})
            self._store.remember()
        return resource

    def script(self, *answers: Script) -> None:
        """What the next writes meet."""
        self._scripts.extend(answers)

    # -- for whoever asks what may pass -----------------------------------------------------------------------------

    def rules(self) -> tuple[view.Rule, ...]:
        with self._lock:
            return tuple(view.rules(self._store))

    def forwards(self, address: str) -> bool:
        with self._lock:
            return view.forwards(self._store, address)

    def resource(self, resource: str) -> Json | None:
        """As a reader sees it."""
        with self._lock:
            there = self._store.get(resource)
            return None if there is None else copy.deepcopy(self._shown(there))

    def everything(self) -> dict[str, Json]:
        with self._lock:
            found = [one for kind in _KINDS.values() for one in self._store.all(kind)]
            return {one["id"]: copy.deepcopy(self._shown(one)) for one in found}

    # -- the service ------------------------------------------------------------------------------------------------

    def reads(self, request: Request) -> bool:
        return request.method == "GET" or request.path.lower().endswith("/health")

    def answer(self, request: Request, trouble: Trouble | None) -> Answer:
        with self._lock:
            try:
                return self._answer(request, trouble)
            except Refused as refused:
                return refused.answer()

    def _answer(self, request: Request, trouble: Trouble | None) -> Answer:
        self._endpoint = f"http://{request.headers.get('host', '')}"
        if trouble in (Trouble.THROTTLED, Trouble.THROTTLED_SILENTLY):
            raise refusal.throttled(self.lag if trouble is Trouble.THROTTLED else None)
        if trouble is Trouble.UNAVAILABLE:
            raise refusal.unavailable()
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise refusal.no_token()
        version = request.query.get("api-version")
        if version != API_VERSION:
            text = f"The api-version query parameter must be {API_VERSION}, not {version}."
            raise refusal.bad("MissingApiVersionParameter" if version is None else "InvalidApiVersionParameter", text)
        if found := _OPERATION.fullmatch(request.path):
            return self._watched(found["id"], found["what"].lower() == "operationresults")
        path = _PATH.fullmatch(request.path)
        if path is None or path["kind"].lower() not in _KINDS:
            raise Refused(404, "InvalidResourceType", "The resource type could not be found.")
        if path["subscription"].lower() != SUBSCRIPTION:
            raise Refused(404, "SubscriptionNotFound", f"The subscription '{path['subscription']}' could not be found.")
        if path["group"].lower() not in {one.lower() for one in self._groups}:
            raise refusal.no_group(path["group"])
        return self._resource(request, path, trouble)

    def _resource(self, request: Request, path: re.Match[str], trouble: Trouble | None) -> Answer:
        kind = _KINDS[path["kind"].lower()]
        stale = trouble is Trouble.STALE
        if path["name"] is None:
            self._permit(f"{kind}/read", request.path)
            return self._listed(request, kind, path["group"], stale=stale)
        if path["inner"] is not None:
            return self._child(request, path, stale=stale)
        resource = self.id(kind, path["name"], group=path["group"])
        match request.method:
            case "GET":
                self._permit(f"{kind}/read", resource)
                return self._got(resource, stale=stale)
            case "PUT" | "PATCH" | "DELETE" if kind in ("loadBalancers", "networkInterfaces"):
                self._permit(f"{kind}/{'delete' if request.method == 'DELETE' else 'write'}", resource)
                if trouble is Trouble.OVERTAKEN:
                    self._overtake(resource)
                return self._write(request, kind, resource)
        raise Refused(405, "MethodNotAllowed", "The method is not allowed here.")

    def _child(self, request: Request, path: re.Match[str], *, stale: bool) -> Answer:
        home = self.id(_KINDS[path["kind"].lower()], path["name"], group=path["group"])
        inner = f"{path['kind']}/{path['inner']}".lower()
        if path["health"] and request.method == "POST":
            self._permit("loadBalancers/loadBalancingRules/health/action", home)
            return self._healthy(home, path["child"])
        if inner == "virtualnetworks/subnets" and request.method == "GET":
            self._permit("virtualNetworks/subnets/read", request.path)
            expanded = "ipconfigurations" in request.query.get("$expand", "").lower()
            return self._subnet(f"{home}/subnets/{path['child']}", stale=stale, expanded=expanded)
        if inner == "loadbalancers/backendaddresspools" and request.method == "PUT":
            self._permit("loadBalancers/backendAddressPools/write", home)
            raise balancers.pool_put_refused(self._store.get(home), path["child"])
        raise Refused(405, "MethodNotAllowed", "The method is not allowed here.")

    # -- reads ------------------------------------------------------------------------------------------------------

    def _permit(self, action: str, scope: str) -> None:
        if f"Microsoft.Network/{action}" in self.denied:
            raise refusal.forbidden(f"Microsoft.Network/{action}", scope)

    def _got(self, resource: str, *, stale: bool) -> Answer:
        there = self._store.get(resource, stale=stale)
        if there is None:
            raise refusal.not_found(resource)
        return _json(200, self._shown(there), {"ETag": there["etag"]})

    def _listed(self, request: Request, kind: str, group: str, *, stale: bool) -> Answer:
        found = [self._shown(one) for one in self._store.all(kind, group=group, stale=stale)]
        start = int(request.query.get("$skiptoken", "0"))
        body: Json = {"value": found[start : start + self.page]}
        if start + self.page < len(found):
            more = f"api-version={API_VERSION}&$skiptoken={start + self.page}"
            body["nextLink"] = f"{self._endpoint}{request.path}?{more}"
        return _json(200, body)

    def _shown(self, there: Json) -> Json:
        kind = there["id"].split("/")[7]
        if kind == "loadBalancers":
            return balancers.written(self._store, there)
        if kind == "networkInterfaces":
            return interfaces.written(there)
        out = {**there, "name": there["id"].rpartition("/")[2], "type": f"Microsoft.Network/{kind}"}
        out["properties"] = {**properties(there), "provisioningState": "Succeeded"}
        if kind == "publicIPAddresses":
            users = [
                name
                for name, one in balancers.configurations(self._store)
                if reference(one, "publicIPAddress").lower() == there["id"].lower()
            ]
            if users:
                out["properties"]["ipConfiguration"] = {"id": users[0]}
        return out

    def _subnet(self, resource: str, *, stale: bool, expanded: bool) -> Answer:
        there = self._store.get(resource, stale=stale)
        if there is None:
            raise refusal.not_found(resource)
        users = [
            {"id": name, **({"properties": properties(one)} if expanded else {})}
            for name, one in balancers.configurations(self._store)
            if reference(one, "subnet").lower() == resource.lower()
        ]
        inside = {
            **properties(there),
            "provisioningState": "Succeeded",
            **({"ipConfigurations": users} if users else {}),
        }
        return _json(200, {**there, "name": resource.rpartition("/")[2], "properties": inside})

    def _healthy(self, home: str, name: str) -> Answer:
        rule = next((one for one in view.rules(self._store) if (one.balancer, one.name) == (home, name)), None)
        if rule is None:
            raise refusal.not_found(f"{home}/loadBalancingRules/{name}")
        states = [
            {"ipAddress": one.address, "state": state, "reason": f"{state}_Probe_{'Success' if up else 'Timeout'}"}
            for one in rule.backends
            for up in [rule.probe_port is None or self.health(one.address, rule.probe_port)]
            for state in ["Up" if up else "Down"]
        ]
        up = sum(one["state"] == "Up" for one in states)
        result = {"up": up, "down": len(states) - up, "loadBalancerBackendAddresses": states}
        number = self._begin(_Operation(0, {"status": "Succeeded"}, result))
        return Answer(202, b"", {"Location": self._where("operationResults", number)})

    # -- writes -----------------------------------------------------------------------------------------------------

    def _write(self, request: Request, kind: str, resource: str) -> Answer:
        script = self._scripts.pop(0) if self._scripts else None
        if script in (Script.LOCKED, Script.NOT_PROVISIONED, Script.BUSY):
            answers = {Script.LOCKED: refusal.locked, Script.NOT_PROVISIONED: refusal.not_provisioned}
            raise answers.get(script, refusal.busy)()
        there = self._store.get(resource)
        self._precondition(request, there)
        if request.method == "DELETE":
            return self._deleted(resource, there, script)
        body = _parsed(request.body)
        if request.method == "PATCH":
            if there is None:
                raise refusal.not_found(resource)
            body = {**copy.deepcopy(there), "tags": body.get("tags") or {}}
        self._links(kind, resource, body)
        checked = balancers.checked if kind == "loadBalancers" else interfaces.checked
        checked(self._store, self.guesses, resource, body)
        if script is not None:
            return self._accepted(200, self._shown(there or {"id": resource, "etag": "", **body}), self._ending(script))
        self._store.remember()
        kept = balancers.kept(self.guesses, body) if kind == "loadBalancers" else interfaces.kept(there, body)
        if kind == "networkInterfaces" and self.guesses.etag_follows_members:
            for balancer in self._moved(there, kept):
                self._store.touch(balancer)
        shown = self._shown(self._store.put(resource, kept))
        status = 201 if there is None else 200
        if kind == "networkInterfaces" or request.method == "PATCH":
            return _json(status, shown)
        return self._accepted(status, shown, {"status": "Succeeded"})

    def _moved(self, before: Json | None, after: Json) -> set[str]:
        """Load balancers whose pools an interface joins or leaves by being written."""

        def pools(state: Json | None) -> set[tuple[str, str]]:
            found = children(state or {}, "ipConfigurations")
            return {
                (one["name"], to.lower()) for one in found for to in references(one, "loadBalancerBackendAddressPools")
            }

        if pools(before) == pools(after):
            return set()
        return interfaces.balancers_behind(before, after)

    def _precondition(self, request: Request, there: Json | None) -> None:
        match = request.headers.get("if-match")
        if match is not None and (there is None or match not in ("*", there["etag"])):
            if there is None and request.method == "DELETE":
                return  # nothing is there: 204
            raise refusal.precondition()
        none = request.headers.get("if-none-match")
        if none == "*" and there is not None and self.guesses.if_none_match:
            raise refusal.precondition()

    def _links(self, kind: str, resource: str, body: Json) -> None:
        """Permissions on what the body refers to."""
        if not self.guesses.join_is_asked:
            return
        ends = [*children(body, "ipConfigurations"), *children(body, balancers.FRONT_ENDS)]
        links = [("networkSecurityGroups/join/action", reference(body, "networkSecurityGroup"))]
        for one in ends:
            links += [
                ("virtualNetworks/subnets/join/action", reference(one, "subnet")),
                ("publicIPAddresses/join/action", reference(one, "publicIPAddress")),
            ]
            links += [
                ("loadBalancers/backendAddressPools/join/action", to)
                for to in references(one, "loadBalancerBackendAddressPools")
            ]
        for action, to in links:
            if to and f"Microsoft.Network/{action}" in self.denied:
                raise refusal.forbidden_link(f"Microsoft.Network/{action}", resource, to)

    def _deleted(self, resource: str, there: Json | None, script: Script | None) -> Answer:
        if there is None:
            return Answer(204)
        if script is None:
            if resource.split("/")[7] == "loadBalancers":
                balancers.gone(self._store, self.guesses, there)
            self._store.remember()
            self._store.delete(resource)
        return self._accepted(202, None, self._ending(script))

    def _overtake(self, resource: str) -> None:
        there = self._store.get(resource)
        if there is not None:
            self._store.remember()
            there["tags"] = {**(there.get("tags") or {}), "written-by-another": str(next(self._numbers))}
            self._store.touch(resource)

    # -- operations -------------------------------------------------------------------------------------------------

    @staticmethod
    def _ending(script: Script | None) -> Json:
        if script is Script.SUPERSEDED:
            text = "Operation was canceled: a newer one superseded it."
            return {"status": "Canceled", **refusal.error_body("CanceledAndSupersededDueToAnotherOperation", text)}
        if script is Script.FAILS_LATER:
            return {"status": "Failed", **refusal.error_body("InternalServerError", "An error occurred.")}
        return {"status": "Succeeded"}

    def _begin(self, operation: _Operation) -> str:
        number = f"00000000-0000-0000-0000-{next(self._numbers):012x}"
        self._operations[number] = operation
        return number

    def _where(self, what: str, number: str) -> str:
        home = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/locations/{LOCATION}/{what}/{number}"
        return f"{self._endpoint}{home}?api-version={API_VERSION}&t=1&c=2&s=3&h=4"

    def _accepted(self, status: int, body: Json | None, ending: Json) -> Answer:
        number = self._begin(_Operation(self.polls, ending))
        headers = {
            "Azure-AsyncOperation": self._where("operations", number),
            "Azure-AsyncNotification": "Enabled",
        }
        if body is None:
            return Answer(status, b"", {**headers, "Location": self._where("operationResults", number)})
        return _json(status, body, headers)

    def _watched(self, number: str, results: bool) -> Answer:
        operation = self._operations.get(number)
        if operation is None:
            raise Refused(404, "OperationNotFound", f"There is no operation {number}.")
        if operation.left > 0:
            operation.left -= 1
            return _json(200, {"status": "InProgress"})
        if results:
            return _json(200, operation.result) if operation.result is not None else Answer(204)
        return _json(200, operation.ending)


def _parsed(body: bytes) -> Json:
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise refusal.bad("InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    return found


def _json(status: int, body: Json, headers: Json | None = None) -> Answer:
    return Answer(status, json.dumps(body).encode(), {**JSON, **(headers or {})})
