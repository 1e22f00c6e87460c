"""`headrace doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.pipelines.commands.options import home_option

if TYPE_CHECKING:
    from headrace.platforms.running import Finding

_SPEC = Path("spec.yaml")


@click.command("doctor")
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option(
    "--on",
    type=click.Choice(["local", "kubeflow", "vertex"]),
    default="local",
    show_default=True,
    help="What to look at: this machine, or the place as well.",
)
@click.option("--endpoint", default="", metavar="URL", help="The API's address; an emulator's, by http.")
@click.option("--project", default="", help="Vertex AI: the project.")
@click.option("--location", default="", help="Vertex AI: the region.")
@click.option("--namespace", default="", help="Kubeflow: the user's namespace.")
@click.option("--root", default="", metavar="URL", help="Where runs put what they make: gs://... or s3://...")
@click.option("--service-account", default="", help="In whose name the tasks work.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object per line.")
@home_option
def command(spec: Path | None, on: str, as_json: bool, home: Path, **given: Any) -> None:
    """Look at this machine, at SPEC, and at Kubeflow or Vertex AI: what is well, and what to do about what is not.

    Nothing is changed anywhere. SPEC is ./spec.yaml, where there is one. Exits with 1 where something is missing that a
    run needs.
    """
    from headrace.pipelines.doctor import local_findings, spec_findings

    file = spec / "spec.yaml" if spec and spec.is_dir() else spec or (_SPEC if _SPEC.exists() else None)
    well = _tell("This machine", local_findings(home), as_json)
    if file is not None:
        well &= _tell(str(file), spec_findings(file), as_json)
    if on != "local":
        well &= _place(file, on, as_json, given)
    sys.exit(0 if well else 1)


def _place(file: Path | None, on: str, as_json: bool, given: dict[str, Any]) -> bool:
    from headrace.artifacts.errors import HeadraceError
    from headrace.pipelines.doctor import place_findings
    from headrace.pipelines.submission import Asked, place
    from headrace.platforms.running import Finding

    try:
        planned = place(file, Asked(on=on, **given))
    except HeadraceError as error:
        return _tell(on, [Finding(on, False, str(error))], as_json)
    return _tell(planned.where.shown, place_findings(planned), as_json)


def _tell(title: str, findings: Iterable[Finding], as_json: bool) -> bool:
    """Prints what was found; returns whether nothing is missing."""
    from headrace.pipelines.local.views.view import can_show

    signs = {True: "✓", False: "✗", None: "·"}
    if not can_show(sys.stdout, "".join(signs.values())):
        signs = {True: "+", False: "x", None: "."}
    if not as_json:
        click.echo(f"{title}:")
    well = True
    for finding in findings:
        well &= finding.ok is not False
        if as_json:
            click.echo(json.dumps({"of": title, **asdict(finding)}))
            continue
        click.echo(f"  {signs[finding.ok]} {finding.what}: {finding.told}")
        if finding.remedy:
            click.echo(f"      {finding.remedy}")
    return well
