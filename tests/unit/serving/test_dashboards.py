"""The dashboard and the alerts ask for nothing that the metrics page does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from headrace.artifacts.bundle import Bundle
from headrace.serving.metrics import Metrics

FOLDER = Path(__file__).parents[3] / "serving" / "dashboards"


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "grafana.json").read_text())
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return shown + [rule["expr"] for rule in rules]


@pytest.fixture(scope="module")
def series(bundles: dict[str, Path]) -> dict[str, set[str]]:
    """Name -> its labels, of all that a page may have."""
    found: dict[str, set[str]] = {}
    for kind, width in (("binary", 2), ("multiclass", 3)):
        metrics = Metrics()
        counted = metrics.version(Bundle.open(bundles[kind]))
        counted.serves(100)
        counted.scored("/predict", 0.1, np.full((1, width), 0.5, np.float32))
        for line in metrics.text().decode().splitlines():
            if not line.startswith("#"):
                name, _, labels = line.rpartition(" ")[0].partition("{")
                found.setdefault(name, set()).update(re.findall(r'([a-z]+)="', labels))
    return found


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_there(expression: str, series: dict[str, set[str]]) -> None:
    names = re.findall(r"\b(?:headrace|process)_[a-z_]+", expression)
    assert names
    for name in names:
        assert name in series, name
    known = set().union(*(series[name] for name in names))
    for listed in re.findall(r"by \(([a-z, ]+)\)", expression):
        assert set(listed.split(", ")) <= known, expression
    for selector in re.findall(r"\{(.*?)\}", expression):
        assert set(re.findall(r'([a-z]+)(?:=~|!=|=)"', selector)) <= known, expression
    assert expression.count("(") == expression.count(")")
    assert not re.search(r"rate\(headrace_[a-z_]*(?:_percent|_info|progress|queued|connections)\[", expression)


def test_panels_do_not_cover_one_another() -> None:
    panels = json.loads((FOLDER / "grafana.json").read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels) and len({panel["id"] for panel in panels}) == len(panels)
