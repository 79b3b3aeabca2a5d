"""The Jobs around upgrade and uninstall: what must be there before what, and that they are as confined as the rest."""

from __future__ import annotations

import pytest
from tests.chart.rendering import Body, one, render

pytestmark = pytest.mark.helm


@pytest.fixture(scope="module")
def release() -> list[Body]:
    return render(upgrade=True)


def _hooks(release: list[Body], moment: str) -> list[Body]:
    return [each for each in release if each["metadata"].get("annotations", {}).get("helm.sh/hook") == moment]


def _weight(document: Body) -> int:
    return int(document["metadata"]["annotations"]["helm.sh/hook-weight"])


@pytest.mark.parametrize(("moment", "name"), [("pre-upgrade", "havip-crds"), ("pre-delete", "havip-uninstall")])
def test_account_and_rights_are_there_before_the_job(release: list[Body], moment: str, name: str) -> None:
    hooks = _hooks(release, moment)
    job = one(hooks, "Job", name)
    account = one(hooks, "ServiceAccount", name)
    roles = [each for each in hooks if each["kind"] in ("Role", "ClusterRole")]
    bindings = [each for each in hooks if each["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert roles
    assert bindings
    assert max(map(_weight, [account, *roles])) < min(map(_weight, bindings))
    assert max(map(_weight, bindings)) < _weight(job)
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == name


@pytest.mark.parametrize("moment", ["pre-upgrade", "pre-delete"])
def test_a_hook_leaves_nothing_behind_and_can_be_repeated(release: list[Body], moment: str) -> None:
    for document in _hooks(release, moment):
        policy = document["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("havip-crds", ["havip", "crds", "apply"]),
        ("havip-uninstall", ["havip", "uninstall", "--deadline", "120", "--stall", "30"]),
    ],
)
def test_a_hook_runs_a_command_that_exists(release: list[Body], name: str, command: list[str]) -> None:
    from havip.cli.main import arguments

    (container,) = one(release, "Job", name)["spec"]["template"]["spec"]["containers"]
    assert container["command"] == command
    assert arguments(command[1:])


def test_a_hook_is_as_confined_as_the_operator(release: list[Body]) -> None:
    (operator,) = one(release, "Deployment", "havip-operator")["spec"]["template"]["spec"]["containers"]
    for name in ("havip-crds", "havip-uninstall"):
        (container,) = one(release, "Job", name)["spec"]["template"]["spec"]["containers"]
        assert container["securityContext"] == operator["securityContext"]
        assert container["image"] == operator["image"]
    context = operator["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_uninstall_job_may_finish_what_it_began(release: list[Body]) -> None:
    from havip.cli.uninstalling import Patience

    job = one(release, "Job", "havip-uninstall")
    patience = Patience()
    by_hand = patience.emptied + patience.ended
    assert job["spec"]["activeDeadlineSeconds"] > patience.deadline + by_hand


def test_hooks_can_be_switched_off() -> None:
    documents = render({"hooks": {"upgradeCRDs": False, "uninstall": {"enabled": False}}}, upgrade=True)
    assert not _hooks(documents, "pre-upgrade")
    assert not _hooks(documents, "pre-delete")
