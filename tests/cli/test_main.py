"""The command as a person meets it: exit codes, one line when it fails, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from havip.api.crd import KINDS
from havip.cli import main as command
from havip.cli.main import main


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Standard error; nothing may be on standard output."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HAVIP_NAMESPACE", "HAVIP_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.split(".")[0].isdigit()


def test_crds_print_is_what_kubectl_would_apply(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds", "print"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {each["spec"]["names"]["kind"] for each in documents} == {kind.name for kind in KINDS}


@pytest.mark.parametrize("words", [["crds", "apply"], ["crds", "verify"], ["status"], ["uninstall", "-n", "havip"]])
def test_without_a_cluster_one_line_says_how_to_name_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    text = said(capsys)
    assert text.startswith("havip: no way to a cluster")
    assert "KUBECONFIG" in text
    assert text.count("\n") == 1


def test_a_plan_without_a_cluster_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    file = tmp_path / "havip.yaml"
    file.write_text("apiVersion: havip.dev/v1alpha1\nkind: HAVip\nmetadata: {name: web}\n")
    assert main(["plan", "-n", "havip-system", "-f", str(file)]) == 1
    assert said(capsys).startswith(f"havip: no way to a cluster: {tmp_path}/nothing:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: Service", "document 1 must be one of HAVip, HAVipClass, BackendPool of havip.dev/v1alpha1"),
        ("apiVersion: havip.dev/v1alpha1\nkind: HAVip", "document 1: metadata.name: must be there"),
        (
            "apiVersion: havip.dev/v1alpha1\nkind: HAVip\nmetadata: {name: web}\nspec: {nodes: {candidats: 3}}",
            "document 1: spec.nodes.candidats: there is no such field",
        ),
        ("{", "expected"),
    ],
)
def test_a_plan_of_something_else_is_refused(
    text: str, told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "havip.yaml"
    file.write_text(text)
    assert main(["plan", "-n", "havip-system", "-f", str(file)]) == 2
    assert told in said(capsys)


def test_a_kubeconfig_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, content in enumerate(["", "[]", "a: b: c", "{}", "\x00", "clusters: 7\nkind: Config\n"]):
        path = tmp_path / str(number)
        path.write_text(content)
        assert main(["status", "--kubeconfig", str(path)]) == 1, content
        assert said(capsys).count("\n") == 1


def test_an_api_server_that_is_away_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config"
    path.write_text(
        json.dumps(
            {
                "kind": "Config",
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "clusters": [{"name": "it", "cluster": {"server": "http://127.0.0.1:9"}}],
                "users": [{"name": "it", "user": {"token": "secret-token"}}],
            }
        )
    )
    assert main(["status", "--kubeconfig", str(path)]) == 1
    text = said(capsys)
    assert text.startswith("havip: the API server does not answer")
    assert text.count("\n") == 1
    assert "secret-token" not in text


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bogus"],
        ["crds"],
        ["run"],
        ["run", "everything"],
        ["status", "extra"],
        ["uninstall", "--deadline", "soon"],
        ["uninstall", "--deadline", "-1"],
        ["uninstall", "--stall", "nan"],
        ["render"],
        ["render", "-f", "x", "--only", "passwd"],
    ],
)
def test_wrong_arguments_end_with_2_and_a_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said(capsys).startswith("usage: havip")


@pytest.mark.parametrize("name", ["", "Not-A-Label", "a.b", "a\nb"])
def test_the_operators_namespace_must_be_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["uninstall", "-n", name]) == 2
    assert said(capsys).startswith("havip: -n (or HAVIP_NAMESPACE), the operator's namespace: must be")


def test_a_bug_is_one_line_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: object) -> int:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(command, "_version", broken)
    assert main(["version"]) == 1
    assert said(capsys) == "havip: a bug: ZeroDivisionError: by zero (HAVIP_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("HAVIP_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["version"])


def test_a_reader_that_has_enough_is_no_failure() -> None:
    """`havip crds print | head -1`."""
    script = f"{sys.executable} -m havip.cli.main crds print | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_help_loads_no_kubernetes_client() -> None:
    """It takes a second; `havip version` must not."""
    script = "import sys, havip.cli.main as m; m.main(['version']); sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
