"""`headrace validate`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.pipelines.commands.options import spec_argument


@click.command("validate")
@spec_argument
def command(spec: Path) -> None:
    """Check SPEC, that its source can be read, and that every column it names is there."""
    from headrace.pipelines.check import check_spec

    checked, head = check_spec(spec)
    source, label = checked.data.source, checked.data.label.name
    others = len({*head.column_names} - {label})
    click.echo(
        f"{spec}: fine. {checked.task} of `{label}` from {others} other column{'s' * (others != 1)} of "
        f"{source if isinstance(source, str) else ', '.join(source)}"
    )
