"""Whether the API of Kubeflow Pipelines is there; and those of its calls that the emulator has no use for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.emulator.documents import Document
from headrace.emulator.kfp.resources import BASE
from headrace.emulator.routing import Call, Route, refused

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator


def _health(emulator: Emulator, call: Call) -> Document:
    return {"multi_user": False, "pipeline_store": "database"}


def _authorize(emulator: Emulator, call: Call) -> Document:
    """Everybody may do everything."""
    return {}


_WORKFLOWS = "it runs no Argo workflows, whose controllers report in this way"
ROUTES = (
    Route("GET", f"{BASE}/healthz", _health, "kfp.Client.get_kfp_healthz"),
    Route("GET", f"{BASE}/auth", _authorize, "kfp.Client.auths.auth_service_authorize"),
    refused(
        "POST",
        f"{BASE}/visualizations/{{namespace}}",
        "kfp.Client.visualizations.visualization_service_create_visualization_v1",
        "visualizations are pages of a user interface, which it has not",
    ),
    refused("POST", f"{BASE}/workflows", "kfp.Client.reports.report_service_report_workflow", _WORKFLOWS),
    refused(
        "POST",
        f"{BASE}/scheduledworkflows",
        "kfp.Client.reports.report_service_report_scheduled_workflow",
        _WORKFLOWS,
    ),
    refused(
        "GET",
        f"{BASE}/filters",
        "kfp.Client.dummy_filters.dummy_filter_service_get_filter",
        "it is there for the generator of the client alone",
    ),
)
