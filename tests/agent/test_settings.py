"""The agent's environment: what is taken, and refusals that name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from havip.agent.__main__ import main
from havip.agent.settings import SERVICE_ACCOUNT, ApiAccess, read_settings
from havip.model.refusal import Refused

POD = {
    "HAVIP_CLASS": "edge",
    "HAVIP_NODE": "n1.example",
    "HAVIP_NAMESPACE": "havip-system",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
}


def test_in_a_pod_the_service_account_is_used() -> None:
    settings = read_settings(POD)
    assert settings.api == ApiAccess("10.96.0.1", 443, True, SERVICE_ACCOUNT / "ca.crt", SERVICE_ACCOUNT / "token")
    assert str(settings.folders.root) == "/run/havip"
    assert settings.metrics is None, "a port would clash with the next class on the same node"


def test_in_a_pod_with_ipv6_the_server_is_reached_too() -> None:
    settings = read_settings({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert settings.api is not None
    assert settings.api.host == "fd00::1"


def test_a_given_server_wins_over_the_pods() -> None:
    settings = read_settings(
        {**POD, "HAVIP_API_SERVER": "https://127.0.0.1:6443", "HAVIP_API_CA": "/ca", "HAVIP_API_TOKEN_FILE": "/token"}
    )
    assert settings.api == ApiAccess("127.0.0.1", 6443, True, Path("/ca"), Path("/token"))


def test_a_folder_needs_no_server_and_no_namespace() -> None:
    settings = read_settings({"HAVIP_CLASS": "edge", "HAVIP_NODE": "n1", "HAVIP_SOURCE": "/orders"})
    assert settings.folder == Path("/orders")
    assert settings.api is None


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"HAVIP_CLASS": ""}, "HAVIP_CLASS"),
        ({"HAVIP_CLASS": "Edge"}, "HAVIP_CLASS"),
        ({"HAVIP_NODE": ""}, "HAVIP_NODE"),
        ({"HAVIP_NODE": "n1\nhttp: x"}, "HAVIP_NODE"),
        ({"HAVIP_NAMESPACE": "a.b"}, "HAVIP_NAMESPACE"),
        ({"KUBERNETES_SERVICE_HOST": ""}, "HAVIP_API_SERVER"),
        ({"KUBERNETES_SERVICE_PORT": "70000"}, "KUBERNETES_SERVICE_HOST"),
        ({"HAVIP_API_SERVER": "127.0.0.1:6443"}, "HAVIP_API_SERVER"),
        ({"HAVIP_API_SERVER": "https://user@host"}, "HAVIP_API_SERVER"),
        ({"HAVIP_RUN": "run"}, "HAVIP_RUN"),
        ({"HAVIP_RUN": "/run/a b"}, "HAVIP_RUN"),
        ({"HAVIP_RUN": "/" + "x" * 81}, "HAVIP_RUN"),
        ({"HAVIP_METRICS_ADDRESS": "9400"}, "HAVIP_METRICS_ADDRESS"),
        ({"HAVIP_METRICS_ADDRESS": "127.0.0.1:0"}, "HAVIP_METRICS_ADDRESS"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(changes: dict[str, str], variable: str) -> None:
    with pytest.raises(Refused) as refused:
        read_settings({**POD, **changes})
    assert refused.value.field == variable


def test_the_command_says_what_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {"HAVIP_CLASS": "edge"}) == 2
    assert capsys.readouterr().err.startswith("HAVIP_NODE: must be")
    assert main(["prepare", "twice"], {}) == 2
    assert "usage" in capsys.readouterr().err


def test_prepare_writes_an_empty_configuration_once(root: Path) -> None:
    (root / "haproxy-config").mkdir()
    environ = {"HAVIP_RUN": str(root)}
    assert main(["prepare"], environ) == 0
    file = root / "haproxy-config" / "haproxy.cfg"
    assert "frontend health" in file.read_text()
    file.write_text("what the agent wrote since")
    assert main(["prepare"], environ) == 0
    assert file.read_text() == "what the agent wrote since"
