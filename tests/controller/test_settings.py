"""Settings come from the environment; what is wrong is said by the variable's name."""

from __future__ import annotations

import pytest

from havip.controller.settings import Settings
from havip.model.refusal import Refused

IN_A_POD = {
    "HAVIP_NAMESPACE": "havip-system",
    "POD_NAME": "havip-operator-5d4f-x2",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
}


def test_a_pod_needs_its_name_and_namespace_only() -> None:
    settings = Settings.from_env(IN_A_POD)
    assert (settings.namespace, settings.identity) == ("havip-system", "havip-operator-5d4f-x2")
    assert settings.kubeconfig is None
    assert (settings.lease_seconds, settings.renew_deadline, settings.retry_seconds) == (15, 10, 2)


def test_credential_secrets_are_names_joined_by_commas() -> None:
    assert Settings.from_env(IN_A_POD).credential_secrets == ()
    assert Settings.from_env({**IN_A_POD, "HAVIP_CREDENTIAL_SECRETS": "cloud,other"}).credential_secrets == (
        "cloud",
        "other",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HAVIP_NAMESPACE", ""),
        ("HAVIP_NAMESPACE", "Not A Label"),
        ("POD_NAME", ""),
        ("POD_NAME", "x\ny"),
        ("HAVIP_PORT", "eighty"),
        ("HAVIP_PORT", "70000"),
        ("HAVIP_LEASE_SECONDS", "nan"),
        ("HAVIP_LEASE_SECONDS", "0"),
        ("HAVIP_LEASE_RENEW_SECONDS", "15"),
        ("HAVIP_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variables_name(variable: str, value: str) -> None:
    with pytest.raises(Refused) as refused:
        Settings.from_env({**IN_A_POD, variable: value})
    assert refused.value.field == variable


def test_outside_a_pod_a_kubeconfig_is_asked_for() -> None:
    outside = {name: value for name, value in IN_A_POD.items() if name != "KUBERNETES_SERVICE_HOST"}
    with pytest.raises(Refused, match="KUBECONFIG"):
        Settings.from_env(outside)
