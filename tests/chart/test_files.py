"""The chart's files themselves, without helm."""

from __future__ import annotations

import yaml
from tests.chart.rendering import CHART, CHECKOUT


def test_the_charts_definitions_are_those_of_the_repository() -> None:
    ours = {path.name: path.read_bytes() for path in (CHECKOUT / "crds").glob("*.yaml")}
    charts = {path.name: path.read_bytes() for path in (CHART / "crds").glob("*.yaml")}
    assert ours
    assert charts == ours


def test_chart_and_product_have_one_version() -> None:
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    tags = {values["image"][name]["tag"] for name in ("operator", "node", "haproxy")}
    assert {chart["version"], chart["appVersion"], *tags} == {project["version"]}


def test_no_template_reaches_for_what_helm_cannot_know_offline() -> None:
    """`lookup` gives nothing under `helm template` and GitOps tools: a chart that needs it renders two ways."""
    for path in (CHART / "templates").iterdir():
        assert "lookup" not in path.read_text(), path.name
